"""Attachments: rows for stored files, and the end of both."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.ids import new_id
from strvsocial.jobs import enqueue
from strvsocial.media.incoming import StoredFile
from strvsocial.media.models import Attachment, Rendition

_KEYS_PER_JOB = 500


async def attach(
    db: AsyncSession, post_id: int, files: Sequence[tuple[StoredFile, str]], position: int = 0
) -> list[Attachment]:
    """Makes stored files, each with its alt text, the media of a post from `position` on. They wait to be processed."""
    attachments = [
        Attachment(
            public_id=new_id(),
            post_id=post_id,
            position=position + number,
            kind=file.media_type,
            status="processing",
            source_key=file.key,
            source_mime=file.mime,
            byte_size=file.byte_size,
            sha256=file.sha256,
            alt=alt,
        )
        for number, (file, alt) in enumerate(files)
    ]
    db.add_all(attachments)
    await db.flush()
    return attachments


async def detach(db: AsyncSession, attachment_ids: Sequence[int]) -> None:
    """Deletes attachments: their rows now, their bytes by a job after the commit."""
    originals = select(Attachment.source_key).where(Attachment.id.in_(attachment_ids))
    made = select(Rendition.key).where(Rendition.attachment_id.in_(attachment_ids))
    keys = [*(await db.scalars(originals)), *(await db.scalars(made))]
    await db.execute(delete(Attachment).where(Attachment.id.in_(attachment_ids)))
    await want_deletion(db, keys)


async def want_deletion(db: AsyncSession, keys: Sequence[str]) -> None:
    """Wants stored bytes deleted once the caller's transaction commits."""
    for start in range(0, len(keys), _KEYS_PER_JOB):
        payload = {"keys": list(keys[start : start + _KEYS_PER_JOB])}
        await enqueue(db, "media.delete_objects", payload, queue="quick")
