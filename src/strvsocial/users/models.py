"""Tables of people: accounts, sessions, API tokens, follows, what admins did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from strvsocial.db import Base, Timestamp, bigint_id


class User(Base):
    """A person. `username_key` is the case-folded name, `username_skeleton` its look-alike skeleton (UTS 39).

    `quota_bytes` and `quota_daily_bytes` take the place of the site's quotas: None is the site's, 0 no limit.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role in ('member', 'admin')", name="role"),
        Index(
            "ix_users_username_trgm",
            "username_key",
            postgresql_using="gin",
            postgresql_ops={"username_key": "gin_trgm_ops"},
        ),
        Index(
            "ix_users_display_name_trgm",
            "display_name",
            postgresql_using="gin",
            postgresql_ops={"display_name": "gin_trgm_ops"},
        ),
    )

    id: Mapped[int] = bigint_id()
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    username: Mapped[str] = mapped_column(String(30))
    username_key: Mapped[str] = mapped_column(String(60), unique=True)
    username_skeleton: Mapped[str] = mapped_column(String(120), unique=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    display_name: Mapped[str] = mapped_column(String(80), server_default="")
    bio: Mapped[str] = mapped_column(String(255), server_default="")
    avatar_key: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16), server_default="member")
    theme: Mapped[str] = mapped_column(String(32), server_default="system")
    is_demo: Mapped[bool] = mapped_column(server_default="false")
    suspended_at: Mapped[datetime | None] = mapped_column(Timestamp)
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)
    quota_daily_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Session(Base):
    """A signed-in browser. Only the sha256 of the cookie's token is kept."""

    __tablename__ = "sessions"

    id: Mapped[int] = bigint_id()
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_agent: Mapped[str] = mapped_column(String(255), server_default="")
    address: Mapped[str] = mapped_column(String(64), server_default="")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(Timestamp, index=True)


class ApiToken(Base):
    """A bearer token. Only its sha256 is kept."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = bigint_id()
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    seen_at: Mapped[datetime | None] = mapped_column(Timestamp)


class Follow(Base):
    """`follower_id` sees the posts of `followed_id`."""

    __tablename__ = "follows"
    __table_args__ = (
        CheckConstraint("follower_id <> followed_id", name="not_self"),
        Index("ix_follows_followed", "followed_id", "created_at"),
    )

    follower_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    followed_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class AuditEntry(Base):
    """Something that an admin did. `actor` is the name at that time; the entry outlives the account."""

    __tablename__ = "audit_entries"

    id: Mapped[int] = bigint_id()
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    actor: Mapped[str] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(64))
    about: Mapped[str] = mapped_column(String(255))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    request_id: Mapped[str] = mapped_column(String(64), server_default="")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
