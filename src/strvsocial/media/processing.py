"""From the bytes that somebody sent to what the site shows. May run twice, or again after a crash: nothing doubles."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from pathlib import Path

from sqlalchemy import Row, select, update

from strvsocial import meters
from strvsocial.db import Database
from strvsocial.media.audio import make_audio, takes_long
from strvsocial.media.failures import CannotDecode, TookTooLong, damaged, explain
from strvsocial.media.finishing import finish_at_once
from strvsocial.media.gifs import make_gif
from strvsocial.media.images import make_images
from strvsocial.media.models import Attachment
from strvsocial.media.probing import probe
from strvsocial.media.products import Made
from strvsocial.media.progress import Progress, Tell, nobody, report_progress
from strvsocial.media.renditions import record
from strvsocial.media.sandbox import DecoderFailed
from strvsocial.media.sharing import forget, share_original
from strvsocial.media.video import make_video
from strvsocial.media.workplaces import store, workplace
from strvsocial.settings import Settings
from strvsocial.storage import Storage

__all__ = ["CannotDecode", "TakesLong", "process", "renew"]

QUICK_RUN_SECONDS = 90.0
"""How long one run may take in a lane where others wait for short work."""


class TakesLong(Exception):
    """Work for longer than its lane is for: nothing was made, and it goes to the next lane."""


async def process(
    settings: Settings,
    database: Database,
    storage: Storage,
    attachment_id: int,
    tell: Tell = nobody,
    *,
    quick: bool = False,
    most_seconds: float = math.inf,
) -> str | None:
    """Makes an attachment ready and returns its real kind, which may differ from what its first bytes suggested.

    `tell` is called in each transaction that writes how far the work is. None when the attachment is gone. Raises
    CannotDecode for hopeless files, TookTooLong, DecoderFailed or Unavailable (storage that is away, a full disk) for what
    may go better next time, and TakesLong for films and long sounds in a `quick` lane, and for films that last longer
    than `most_seconds`.
    """
    await share_original(database, storage, attachment_id)
    found = await _find(database, attachment_id)
    if found is None:
        return None
    if found.status == "ready":
        return str(found.kind)
    async with workplace(settings) as folder:
        await storage.get_file(found.source_key, folder / "source")
        row = update(Attachment).where(Attachment.id == attachment_id)
        async with report_progress(database, row, tell) as on_progress:
            made = await _measured(
                found.kind, make(settings, folder, found.kind, on_progress, quick=quick, most_seconds=most_seconds)
            )
        return await _keep(database, storage, attachment_id, made, folder, found.generation)


async def renew(
    settings: Settings, database: Database, storage: Storage, attachment_id: int, generation: int
) -> str | None:
    """Makes everything of a ready attachment anew; what it has is served until all of the new is there.

    Returns its kind, or None when there is nothing to do: it is gone, is not ready, or has this generation already.
    Raises as `process` does.
    """
    found = await _find(database, attachment_id)
    if found is None or found.status != "ready" or found.generation >= generation:
        return None
    async with workplace(settings) as folder:
        await storage.get_file(found.source_key, folder / "source")
        made = await _measured(found.kind, make(settings, folder, found.kind, _unheard))
        if made.wanted:
            made = await finish_at_once(settings, database, storage, made, folder)
        return await _keep(database, storage, attachment_id, made, folder, generation)


def _unheard(_: float) -> None:
    """Nobody waits for it: the row's progress is that of what is shown."""


async def _find(database: Database, attachment_id: int) -> Row[str, str, str, str, int] | None:
    columns = Attachment.public_id, Attachment.kind, Attachment.status, Attachment.source_key, Attachment.generation
    async with database.read() as reader:
        return (await reader.execute(select(*columns).where(Attachment.id == attachment_id))).one_or_none()


async def _keep(
    database: Database, storage: Storage, attachment_id: int, made: Made, folder: Path, generation: int
) -> str | None:
    """Stores and records what was made. When nobody has a use for it any more, nothing stays behind."""
    found = await _find(database, attachment_id)
    if found is None:
        return None
    if found.generation > generation or (found.status == "ready" and found.generation == generation):
        return str(found.kind)  # Somebody else was first, and others may refer to what they stored.
    await store(storage, folder, found.public_id, made.products, generation)
    async with database.transaction() as db:
        is_there = await record(db, attachment_id, made, folder, generation)
    if not is_there:
        await forget(database, storage, [product.key(found.public_id, generation) for product in made.products])
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
    except TakesLong:
        outcome = "moved"
        raise
    finally:
        meters.media_files.labels(kind, outcome).inc()
        meters.media_processing.labels(kind).inc(time.monotonic() - started)


async def make(
    settings: Settings,
    folder: Path,
    kind: str,
    on_progress: Progress,
    *,
    quick: bool = False,
    most_seconds: float = math.inf,
) -> Made:
    """Makes everything of `source` in a private folder. A picture may turn out to move, a film to have sound only."""
    if kind in ("image", "gif"):
        return await make_images(settings, folder) or await make_gif(settings, folder, on_progress)
    try:
        probed = await probe(folder)
    except DecoderFailed as failure:
        raise explain(failure, kind, settings.max_image_pixels) from failure
    if quick and (probed.film is not None or takes_long(folder, probed)):
        raise TakesLong
    if probed.film is not None:
        if (probed.duration or 0) > most_seconds:
            raise TakesLong
        return await make_video(settings, folder, probed, on_progress)
    if probed.sound is None:
        raise damaged(kind)
    try:
        return await make_audio(settings, folder, probed, on_progress, wall=QUICK_RUN_SECONDS if quick else None)
    except TookTooLong as late:
        if not quick:
            raise
        raise TakesLong from late
