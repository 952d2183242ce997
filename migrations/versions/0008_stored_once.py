"""finding everything that refers to an object

Revision: 0008
Follows: 0007
"""

from __future__ import annotations

from alembic import op

from strvsocial.schema_changes import create_index, drop_index

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = {"attachments": "source_key", "renditions": "key", "uploads": "key"}


def upgrade() -> None:
    for table, column in TABLES.items():
        create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table, column in TABLES.items():
        drop_index(op.f(f"ix_{table}_{column}"))
