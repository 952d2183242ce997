"""captions by their author, and switched off

Revision: 0004
Follows: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attachments", sa.Column("captions_by", sa.String(8), server_default="machine", nullable=False))
    op.add_column("attachments", sa.Column("captions_shown", sa.Boolean(), server_default="true", nullable=False))
    op.execute(
        "alter table attachments add constraint ck_attachments_captions_by"
        " check (captions_by in ('machine', 'author')) not valid"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_attachments_captions_by"), "attachments")
    op.drop_column("attachments", "captions_shown")
    op.drop_column("attachments", "captions_by")
