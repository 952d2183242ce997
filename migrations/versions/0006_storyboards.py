"""storyboards, previews and waveforms

Revision: 0006
Follows: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BEFORE = "'variant', 'playback', 'poster', 'pcm', 'frames', 'rung', 'playlist'"
NEW = "'storyboard', 'preview', 'waveform'"


def upgrade() -> None:
    _replace(f"{BEFORE}, {NEW}")


def downgrade() -> None:
    op.execute(f"delete from renditions where role in ({NEW})")
    _replace(BEFORE)


def _replace(roles: str) -> None:
    op.drop_constraint(op.f("ck_renditions_role"), "renditions")
    op.execute(f"alter table renditions add constraint ck_renditions_role check (role in ({roles})) not valid")
