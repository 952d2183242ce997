"""Tables of media: uploads under way, attachments, their renditions and transcripts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from strvsocial.db import Base, Timestamp, bigint_id


class Upload(Base):
    """A tus upload.

    `parts` are the ETags of the parts stored so far, all of `part_bytes` but the last of the file. `offset` counts the
    bytes that are safe: those parts, and the beginning of the next one, which lies in storage as `tails/{public_id}`.
    Who holds `lock_token` until `locked_until` may add to it.
    """

    __tablename__ = "uploads"
    __table_args__ = (CheckConstraint("state in ('open', 'finished', 'used')", name="state"),)

    id: Mapped[int] = bigint_id()
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16), server_default="open")
    key: Mapped[str] = mapped_column(String(200), index=True)
    multipart_id: Mapped[str] = mapped_column(Text, server_default="")
    parts: Mapped[list[str]] = mapped_column(JSONB, server_default="[]")
    part_bytes: Mapped[int]
    length: Mapped[int] = mapped_column(BigInteger)
    offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    filename: Mapped[str] = mapped_column(String(255), server_default="")
    media_type: Mapped[str | None] = mapped_column(String(8))
    mime: Mapped[str | None] = mapped_column(String(64))
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    lock_token: Mapped[int | None] = mapped_column(BigInteger)
    locked_until: Mapped[datetime | None] = mapped_column(Timestamp)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(Timestamp, index=True)


class UploadHold(Base):
    """Room that a form under way takes of its sender's quota, until `expires_at`, which moves while bytes come."""

    __tablename__ = "upload_holds"

    id: Mapped[int] = bigint_id()
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    byte_size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(Timestamp)


class Attachment(Base):
    """One medium of a post. `source_key` is the original as it was uploaded, never served as it is; equal bytes are
    stored once, so several may name one.

    `generation` counts how often its renditions were made anew, `pipeline` says by which `media.products.PIPELINE`.
    `progress` is how much of the processing is done, in percent; it moves while a film is transcoded. `captions_by` is
    `author` once the author has changed a word: then no model writes the transcript any more.
    """

    __tablename__ = "attachments"
    __table_args__ = (
        CheckConstraint("kind in ('image', 'gif', 'audio', 'video')", name="kind"),
        CheckConstraint("status in ('processing', 'ready', 'failed')", name="status"),
        CheckConstraint("captions_by in ('machine', 'author')", name="captions_by"),
        Index("ix_attachments_post", "post_id", "position"),
        Index("ix_attachments_sha256", "sha256"),
    )

    id: Mapped[int] = bigint_id()
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(server_default="0")
    kind: Mapped[str] = mapped_column(String(8))
    status: Mapped[str] = mapped_column(String(16), server_default="processing")
    failure: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    source_key: Mapped[str] = mapped_column(String(200), index=True)
    source_mime: Mapped[str] = mapped_column(String(64))
    byte_size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    alt: Mapped[str] = mapped_column(String(2000), server_default="")
    width: Mapped[int | None]
    height: Mapped[int | None]
    duration: Mapped[float | None]
    has_audio: Mapped[bool | None]
    placeholder: Mapped[str | None] = mapped_column(String(64))
    language: Mapped[str | None] = mapped_column(String(8))
    captions_by: Mapped[str] = mapped_column(String(8), server_default="machine")
    captions_shown: Mapped[bool] = mapped_column(server_default="true")
    generation: Mapped[int] = mapped_column(server_default="0")
    pipeline: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Rendition(Base):
    """One thing made from an attachment and kept in storage.

    `role`: `variant` (image sizes, other codecs), `playback` (MP4, M4A), `poster`, `rung` (one size of a film for
    streaming) with its `playlist`, `storyboard` (a sheet of small frames for scrubbing), `preview` (a few silent seconds
    for cards), `waveform` (peaks), and for the embedder only, never served, `pcm` (mono 16 kHz little-endian int16) and
    `frames` (RGB uint8, n x 256 x 256 x 3). A row whose `state` is `wanted` or `failed` has no bytes; `progress` is in
    percent.
    """

    __tablename__ = "renditions"
    __table_args__ = (
        UniqueConstraint("attachment_id", "name", name="uq_renditions_name"),
        CheckConstraint(
            "role in ('variant', 'playback', 'poster', 'pcm', 'frames', 'rung', 'playlist', 'storyboard', 'preview',"
            " 'waveform')",
            name="role",
        ),
        CheckConstraint("state in ('wanted', 'ready', 'failed')", name="state"),
    )

    id: Mapped[int] = bigint_id()
    attachment_id: Mapped[int] = mapped_column(ForeignKey("attachments.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(8), server_default="ready")
    progress: Mapped[int] = mapped_column(SmallInteger, server_default="100")
    key: Mapped[str] = mapped_column(String(200), index=True)
    mime: Mapped[str] = mapped_column(String(64))
    byte_size: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    bitrate: Mapped[int | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class TranscriptSegment(Base):
    """A stretch of speech. Times are seconds from the start of the attachment."""

    __tablename__ = "transcript_segments"
    __table_args__ = (
        Index("ix_transcript_text_trgm", "text", postgresql_using="gin", postgresql_ops={"text": "gin_trgm_ops"}),
    )

    attachment_id: Mapped[int] = mapped_column(ForeignKey("attachments.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[float]
    end: Mapped[float]
    text: Mapped[str] = mapped_column(Text)
