"""Rows of what was made of an attachment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.media.attachments import want_deletion
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.products import PIPELINE, Made, Product, size_of


async def record(db: AsyncSession, attachment_id: int, made: Made, folder: Path, generation: int = 0) -> bool:
    """Records what was made; renditions of an earlier run that are no more go. False when there is no use for it: the
    attachment is gone, or has renditions of a later generation."""
    attachment = await _find(db, attachment_id)
    if attachment is None or attachment.generation > generation:
        return False
    before = set(await db.scalars(select(Rendition.key).where(Rendition.attachment_id == attachment_id)))
    attachment.generation, attachment.pipeline = generation, PIPELINE
    rows = [_row(attachment, product, size_of(folder, product.name)) for product in made.products]
    rows += [_row(attachment, product, None) for product in made.wanted]
    await _upsert(db, rows)
    others = Rendition.name.not_in([row["name"] for row in rows])
    await db.execute(delete(Rendition).where(Rendition.attachment_id == attachment_id, others))
    if gone := before - {row["key"] for row in rows}:
        await want_deletion(db, sorted(gone))
    attachment.kind = made.kind
    attachment.status, attachment.failure, attachment.progress = "ready", None, 100
    attachment.width, attachment.height, attachment.duration = made.width, made.height, made.duration
    attachment.has_audio, attachment.placeholder = made.has_audio, made.placeholder
    return True


async def add(
    db: AsyncSession, attachment_id: int, products: Sequence[Product], folder: Path, generation: int = 0
) -> bool:
    """Records what was made later than the rest. False when there is no use for it, as for `record`."""
    attachment = await _find(db, attachment_id)
    if attachment is None or attachment.generation != generation:
        return False
    await _upsert(db, [_row(attachment, product, size_of(folder, product.name)) for product in products])
    return True


async def _find(db: AsyncSession, attachment_id: int) -> Attachment | None:
    """The attachment, locked: nothing adopts its renditions while they change."""
    return await db.scalar(select(Attachment).where(Attachment.id == attachment_id).with_for_update())


def _row(attachment: Attachment, product: Product, byte_size: int | None) -> dict[str, Any]:
    """The row of a product; of one that is still to be made when there is no size."""
    return {
        "attachment_id": attachment.id,
        "name": product.name,
        "role": product.role,
        "state": "wanted" if byte_size is None else "ready",
        "progress": 0 if byte_size is None else 100,
        "key": product.key(attachment.public_id, attachment.generation),
        "mime": product.mime,
        "byte_size": byte_size or 0,
        "width": product.width,
        "height": product.height,
        "bitrate": product.bitrate,
        "details": product.details,
    }


async def _upsert(db: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    upsert = insert(Rendition).values(rows)
    changing = ("role", "state", "progress", "key", "mime", "byte_size", "width", "height", "bitrate", "details")
    await db.execute(
        upsert.on_conflict_do_update(
            "uq_renditions_name",
            # The time is part of the ETag: what was made anew must not be taken for what it replaces.
            set_={**{name: upsert.excluded[name] for name in changing}, "created_at": func.clock_timestamp()},
        )
    )
