"""renditions that are yet to be made, and the sizes of films

Revision: 0005
Follows: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROLES = "'variant', 'playback', 'poster', 'pcm', 'frames', 'rung', 'playlist'"


def upgrade() -> None:
    op.add_column("renditions", sa.Column("state", sa.String(8), server_default="ready", nullable=False))
    op.add_column("renditions", sa.Column("progress", sa.SmallInteger(), server_default="100", nullable=False))
    op.execute(
        "alter table renditions add constraint ck_renditions_state"
        " check (state in ('wanted', 'ready', 'failed')) not valid"
    )
    op.drop_constraint(op.f("ck_renditions_role"), "renditions")
    op.execute(f"alter table renditions add constraint ck_renditions_role check (role in ({ROLES})) not valid")


def downgrade() -> None:
    op.execute("delete from renditions where state <> 'ready' or role in ('rung', 'playlist')")
    op.drop_constraint(op.f("ck_renditions_role"), "renditions")
    op.create_check_constraint(
        op.f("ck_renditions_role"), "renditions", "role in ('variant', 'playback', 'poster', 'pcm', 'frames')"
    )
    op.drop_column("renditions", "progress")
    op.drop_column("renditions", "state")
