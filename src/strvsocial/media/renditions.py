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
from strvsocial.media.products import Made, Product, size_of


async def record(db: AsyncSession, attachment_id: int, made: Made, folder: Path) -> bool:
    """Records what was made; renditions of an earlier run that are no more go. False when the attachment is gone."""
    attachment = await db.scalar(select(Attachment).where(Attachment.id == attachment_id).with_for_update())
    if attachment is None:
        return False
    rows = [_row(attachment, product, size_of(folder, product.name)) for product in made.products]
    rows += [_row(attachment, product, None) for product in made.wanted]
    await _upsert(db, rows)
    gone = await db.scalars(
        delete(Rendition)
        .where(Rendition.attachment_id == attachment_id, Rendition.name.not_in([row["name"] for row in rows]))
        .returning(Rendition.key)
    )
    if keys := list(gone):
        await want_deletion(db, keys)
    attachment.kind = made.kind
    attachment.status, attachment.failure, attachment.progress = "ready", None, 100
    attachment.width, attachment.height, attachment.duration = made.width, made.height, made.duration
    attachment.has_audio, attachment.placeholder = made.has_audio, made.placeholder
    return True


async def add(db: AsyncSession, attachment_id: int, products: Sequence[Product], folder: Path) -> bool:
    """Records what was made later than the rest. False when the attachment is gone."""
    attachment = await db.scalar(select(Attachment).where(Attachment.id == attachment_id).with_for_update())
    if attachment is None:
        return False
    await _upsert(db, [_row(attachment, product, size_of(folder, product.name)) for product in products])
    return True


def _row(attachment: Attachment, product: Product, byte_size: int | None) -> dict[str, Any]:
    """The row of a product; of one that is still to be made when there is no size."""
    return {
        "attachment_id": attachment.id,
        "name": product.name,
        "role": product.role,
        "state": "wanted" if byte_size is None else "ready",
        "progress": 0 if byte_size is None else 100,
        "key": product.key(attachment.public_id),
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
