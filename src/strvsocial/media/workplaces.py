"""Where an attachment is worked on: a private folder, the way from there to storage, and how far the work has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import Update

from strvsocial.db import Database
from strvsocial.errors import Unavailable
from strvsocial.media.products import Product
from strvsocial.media.room import blaming_the_disk
from strvsocial.media.sandbox import private_folder
from strvsocial.media.video import Progress
from strvsocial.settings import Settings
from strvsocial.storage import Storage

UPLOADS_AT_ONCE = 4


@asynccontextmanager
async def workplace(settings: Settings) -> AsyncIterator[Path]:
    """A private folder to work in. Raises NoRoom for what fails because the disk is full."""
    parent = settings.data_dir / "tmp"
    with blaming_the_disk(parent):
        async with private_folder(parent) as folder:
            with blaming_the_disk(folder):  # While what fills the disk is still there.
                yield folder


async def store(storage: Storage, folder: Path, public_id: str, products: Sequence[Product]) -> None:
    """Puts products into storage. Raises Unavailable when it is away."""
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
async def report_progress(database: Database, rows: Update) -> AsyncIterator[Progress]:
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
