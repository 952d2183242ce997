"""Tables of what people share: posts, tags, interactions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from strvsocial.db import Base, Timestamp, bigint_id

MEDIA_TYPES = ("text", "image", "gif", "audio", "video")
VISIBILITIES = ("public", "followers", "private")
STATUSES = ("processing", "ready", "failed")


class Post(Base):
    """A post of one of five kinds. `version` rises with every change that its embedding or its card depends on."""

    __tablename__ = "posts"
    __table_args__ = (
        CheckConstraint(f"media_type in {MEDIA_TYPES}", name="media_type"),
        CheckConstraint(f"visibility in {VISIBILITIES}", name="visibility"),
        CheckConstraint(f"status in {STATUSES}", name="status"),
        Index(
            "uq_posts_idempotency",
            "author_id",
            "idempotency_key",
            unique=True,
            postgresql_where="idempotency_key is not null",
        ),
        Index("ix_posts_author_latest", "author_id", "created_at", "id"),
        Index("ix_posts_latest", "created_at", "id", postgresql_where="status = 'ready'"),
        Index("ix_posts_kind_latest", "media_type", "created_at", "id"),
        Index("ix_posts_title_trgm", "title", postgresql_using="gin", postgresql_ops={"title": "gin_trgm_ops"}),
        Index("ix_posts_text_trgm", "text", postgresql_using="gin", postgresql_ops={"text": "gin_trgm_ops"}),
    )

    id: Mapped[int] = bigint_id()
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(255))
    text: Mapped[str] = mapped_column(Text, server_default="")
    text_html: Mapped[str] = mapped_column(Text, server_default="")
    media_type: Mapped[str] = mapped_column(String(8))
    visibility: Mapped[str] = mapped_column(String(16), server_default="public")
    status: Mapped[str] = mapped_column(String(16), server_default="processing")
    failure: Mapped[str | None] = mapped_column(Text)
    pending: Mapped[list[str]] = mapped_column(ARRAY(String(16)), server_default="{}")
    version: Mapped[int] = mapped_column(server_default="1")
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    import_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    is_demo: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class PostCounter(Base):
    """Counts that change often, kept beside the post so that the post's row stays still."""

    __tablename__ = "post_counters"

    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True)
    views: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Tag(Base):
    """`name` is case-folded, without the hash sign."""

    __tablename__ = "tags"
    __table_args__ = (
        Index("ix_tags_name_trgm", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}),
    )

    id: Mapped[int] = bigint_id()
    name: Mapped[str] = mapped_column(String(64), unique=True)


class PostTag(Base):
    """A tag on a post, in the order that its author gave. `created_at` is the post's: a tag's page is read in order."""

    __tablename__ = "post_tags"
    __table_args__ = (Index("ix_post_tags_tag", "tag_id", "created_at", "post_id"),)

    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Interaction(Base):
    """What somebody did with a post; append-only. Ranking lives on it."""

    __tablename__ = "interactions"
    __table_args__ = (
        Index("ix_interactions_user", "user_id", "created_at"),
        Index("ix_interactions_post", "post_id", "kind", "created_at"),
    )

    id: Mapped[int] = bigint_id()
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    visitor: Mapped[str | None] = mapped_column(String(64))
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(32), server_default="")
    position: Mapped[int | None]
    value: Mapped[float | None]
    propensity: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
