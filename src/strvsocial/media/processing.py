"""From the bytes that somebody sent to what the site shows. May run twice, or again after a crash: nothing doubles."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from pathlib import Path

from sqlalchemy import select, update

from strvsocial import meters
from strvsocial.db import Database
from strvsocial.media.audio import make_audio
from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.gifs import make_gif
from strvsocial.media.images import make_images
from strvsocial.media.models import Attachment
from strvsocial.media.probing import probe
from strvsocial.media.products import Made
from strvsocial.media.progress import Progress, Tell, nobody, report_progress
from strvsocial.media.renditions import record
from strvsocial.media.sandbox import DecoderFailed
from strvsocial.media.video import make_video
from strvsocial.media.workplaces import store, workplace
from strvsocial.settings import Settings
from strvsocial.storage import Storage

__all__ = ["CannotDecode", "process"]


async def process(
    settings: Settings, database: Database, storage: Storage, attachment_id: int, tell: Tell = nobody
) -> str | None:
    """Makes an attachment ready and returns its real kind, which may differ from what its first bytes suggested.

    `tell` is called in each transaction that writes how far the work is. None when the attachment is gone. Raises
    CannotDecode for hopeless files, TookTooLong, DecoderFailed or Unavailable (storage that is away, a full disk) for what
    may go better next time.
    """
    async with database.read() as reader:
        columns = Attachment.public_id, Attachment.kind, Attachment.status, Attachment.source_key
        found = (await reader.execute(select(*columns).where(Attachment.id == attachment_id))).one_or_none()
    if found is None:
        return None
    if found.status == "ready":
        return str(found.kind)
    async with workplace(settings) as folder:
        await storage.get_file(found.source_key, folder / "source")
        row = update(Attachment).where(Attachment.id == attachment_id)
        async with report_progress(database, row, tell) as on_progress:
            made = await _measured(found.kind, make(settings, folder, found.kind, on_progress))
        await store(storage, folder, found.public_id, made.products)
        async with database.transaction() as db:
            is_there = await record(db, attachment_id, made, folder)
    if not is_there:
        await storage.delete([product.key(found.public_id) for product in made.products])
        return None
    return made.kind


async def _measured(kind: str, making: Awaitable[Made]) -> Made:
    """Counts a file, how long it lasts and how long it took."""
    started, outcome = time.monotonic(), "failed"
    try:
        made = await making
        kind, outcome = made.kind, "done"
        meters.media_seconds.labels(kind).inc(made.duration or 0)
        return made
    except CannotDecode:
        outcome = "refused"
        raise
    finally:
        meters.media_files.labels(kind, outcome).inc()
        meters.media_processing.labels(kind).inc(time.monotonic() - started)


async def make(settings: Settings, folder: Path, kind: str, on_progress: Progress) -> Made:
    """Makes everything of `source` in a private folder. A picture may turn out to move, a film to have sound only."""
    if kind in ("image", "gif"):
        return await make_images(settings, folder) or await make_gif(settings, folder, on_progress)
    try:
        probed = await probe(folder)
    except DecoderFailed as failure:
        raise explain(failure, kind, settings.max_image_pixels) from failure
    if probed.film is not None:
        return await make_video(settings, folder, probed, on_progress)
    if probed.sound is not None:
        return await make_audio(settings, folder, probed, on_progress)
    raise damaged(kind)
