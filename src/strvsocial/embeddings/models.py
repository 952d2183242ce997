"""Tables of vectors: spaces, the vectors of posts, what was found out about single attachments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Sequence,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from strvsocial.db import Base, Timestamp, bigint_id


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


embedding_changes = Sequence("embedding_changes", metadata=Base.metadata)


class EmbeddingSpace(Base):
    """Vectors that may be compared: one model, one revision, one pooling. Spaces never mix."""

    __tablename__ = "embedding_spaces"
    __table_args__ = (
        CheckConstraint("name in ('text', 'look', 'sound')", name="name"),
        CheckConstraint("state in ('building', 'active', 'retired')", name="state"),
        Index("uq_embedding_spaces_active", "name", unique=True, postgresql_where=text("state = 'active'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=False), primary_key=True)
    name: Mapped[str] = mapped_column(String(8))
    profile: Mapped[str] = mapped_column(String(255))
    model: Mapped[str] = mapped_column(String(255))
    revision: Mapped[str] = mapped_column(String(255))
    dim: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), server_default="building")
    calibration: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Embedding(Base):
    """The vector of a post in one space: little-endian float32, L2-normalised; null is a tombstone.

    `change` rises with every write and `transaction` is the writing transaction, so that a reader can follow the
    changes without missing one that committed late. A tombstone outlives its post, hence no foreign key.
    """

    __tablename__ = "embeddings"
    __table_args__ = (Index("ix_embeddings_transaction", "space_id", "transaction"),)

    space_id: Mapped[int] = mapped_column(ForeignKey("embedding_spaces.id", ondelete="CASCADE"), primary_key=True)
    post_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)
    input_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    change: Mapped[int] = mapped_column(BigInteger, server_default=text("nextval('embedding_changes')"))
    transaction: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class AttachmentAnalysis(Base):
    """What a model found in one attachment, kept so that a changed title costs no second look or listen.

    `vector` is as in `Embedding`; `details` holds image labels (`labels: [[name, probability], …]`) or, for speech,
    `{"speech": bool}`.
    """

    __tablename__ = "attachment_analyses"
    __table_args__ = (UniqueConstraint("attachment_id", "model", name="uq_attachment_analyses_model"),)

    id: Mapped[int] = bigint_id()
    attachment_id: Mapped[int] = mapped_column(ForeignKey("attachments.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(255))
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class SiteFact(Base):
    """A fact decided once for the whole site, such as the model profile."""

    __tablename__ = "site_facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(JSONB)
