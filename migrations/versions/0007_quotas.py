"""quotas, and how often and by which pipeline media were made

Revision: 0007
Follows: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("quota_bytes", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("quota_daily_bytes", sa.BigInteger(), nullable=True))
    op.add_column("attachments", sa.Column("generation", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attachments", sa.Column("pipeline", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_table(
        "upload_holds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_upload_holds_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_holds")),
    )
    op.create_index(op.f("ix_upload_holds_user_id"), "upload_holds", ["user_id"])


def downgrade() -> None:
    op.drop_table("upload_holds")
    op.drop_column("attachments", "pipeline")
    op.drop_column("attachments", "generation")
    op.drop_column("users", "quota_daily_bytes")
    op.drop_column("users", "quota_bytes")
