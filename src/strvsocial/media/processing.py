"""From the bytes that somebody sent to what the site shows. May run twice, or again after a crash: nothing doubles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import Update, bindparam, select, update

from strvsocial import meters
from strvsocial.db import Database
from strvsocial.errors import Unavailable
from strvsocial.media.audio import make_audio
from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.gifs import make_gif
from strvsocial.media.images import make_images
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.probing import probe
from strvsocial.media.products import Made, Product
from strvsocial.media.renditions import add, record
from strvsocial.media.room import blaming_the_disk
from strvsocial.media.sandbox import DecoderFailed, private_folder
from strvsocial.media.video import Progress, finish_video, make_video
from strvsocial.settings import Settings
from strvsocial.storage import Storage

__all__ = ["CannotDecode", "finish", "process"]

UPLOADS_AT_ONCE = 4
_PLAYABLE = (
    select(Attachment.public_id, Attachment.source_key, Rendition.name, Rendition.state)
    .join(Rendition, Rendition.attachment_id == Attachment.id)
    .where(Attachment.id == bindparam("attachment_id"), Rendition.role.in_(("rung", "playback")))
    .order_by(Rendition.role, Rendition.width)
)


async def process(settings: Settings, database: Database, storage: Storage, attachment_id: int) -> str | None:
    """Makes an attachment ready and returns its real kind, which may differ from what its first bytes suggested.

    None when the attachment is gone. Raises CannotDecode for hopeless files, DecoderFailed or Unavailable (storage that
    is away, a full disk) for what may go better next time.
    """
    async with database.read() as reader:
        columns = Attachment.public_id, Attachment.kind, Attachment.status, Attachment.source_key
        found = (await reader.execute(select(*columns).where(Attachment.id == attachment_id))).one_or_none()
    if found is None:
        return None
    if found.status == "ready":
        return str(found.kind)
    async with _folder(settings) as folder:
        await storage.get_file(found.source_key, folder / "source")
        row = update(Attachment).where(Attachment.id == attachment_id)
        async with _report_progress(database, row) as on_progress:
            made = await _measured(found.kind, make(settings, folder, found.kind, on_progress))
        await _store(storage, folder, found.public_id, made.products)
        async with database.transaction() as db:
            is_there = await record(db, attachment_id, made, folder)
    if not is_there:
        await storage.delete([product.key(found.public_id) for product in made.products])
        return None
    return made.kind


@asynccontextmanager
async def _folder(settings: Settings) -> AsyncIterator[Path]:
    """A private folder to work in. Raises NoRoom for what fails because the disk is full."""
    parent = settings.data_dir / "tmp"
    with blaming_the_disk(parent):
        async with private_folder(parent) as folder:
            with blaming_the_disk(folder):  # While what fills the disk is still there.
                yield folder


async def finish(settings: Settings, database: Database, storage: Storage, attachment_id: int) -> None:
    """Makes the renditions of a film that are still wanted. Raises CannotDecode, DecoderFailed, or a storage error."""
    async with database.read() as reader:
        found = (await reader.execute(_PLAYABLE, {"attachment_id": attachment_id})).all()
    wanted = {row.name for row in found if row.state != "ready"}
    if not wanted:
        return
    public_id, source_key = found[0].public_id, found[0].source_key
    donor = next(row.name for row in found if row.state == "ready")
    async with private_folder(settings.data_dir / "tmp") as folder:
        await storage.get_file(source_key, folder / "source")
        await storage.get_file(f"media/{public_id}/{donor}", folder / donor)
        rows = update(Rendition).where(Rendition.attachment_id == attachment_id, Rendition.state == "wanted")
        async with _report_progress(database, rows) as on_progress:
            try:
                products = await finish_video(settings, folder, await probe(folder), wanted, donor, on_progress)
            except DecoderFailed as failure:
                raise explain(failure, "video", settings.max_image_pixels) from failure
        await _store(storage, folder, public_id, products)
        async with database.transaction() as db:
            is_there = await add(db, attachment_id, products, folder)
    if not is_there:
        await storage.delete([product.key(public_id) for product in products])


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
        return await make_images(settings, folder) or await make_gif(settings, folder)
    try:
        probed = await probe(folder)
    except DecoderFailed as failure:
        raise explain(failure, kind, settings.max_image_pixels) from failure
    if probed.film is not None:
        return await make_video(settings, folder, probed, on_progress)
    if probed.sound is not None:
        return await make_audio(settings, folder, probed)
    raise damaged(kind)


async def _store(storage: Storage, folder: Path, public_id: str, products: Sequence[Product]) -> None:
    slots = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def put(name: str, key: str, mime: str) -> None:
        async with slots:
            await storage.put_file(key, folder / name, mime)

    try:
        async with asyncio.TaskGroup() as group:
            for product in products:
                group.create_task(put(product.name, product.key(public_id), product.mime))
    except ExceptionGroup as failures:
        if away := failures.subgroup(Unavailable):
            raise away.exceptions[0] from failures
        raise


@asynccontextmanager
async def _report_progress(database: Database, rows: Update) -> AsyncIterator[Progress]:
    """Writes the progress to the rows, at most once a second, while the block runs."""
    percent = 0

    def on_progress(done: float) -> None:
        nonlocal percent
        percent = max(percent, min(99, int(100 * done)))

    async def write() -> None:
        written = 0
        while True:
            await asyncio.sleep(1)
            if percent > written:
                written = percent
                with suppress(Exception):  # Only a number on a card: the work itself must not suffer.
                    async with database.transaction() as db:
                        await db.execute(rows.values(progress=written))

    task = asyncio.create_task(write())
    try:
        yield on_progress
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
