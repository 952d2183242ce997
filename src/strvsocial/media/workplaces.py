"""Where an attachment is worked on: a private folder, and the way from there to storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from strvsocial.errors import Unavailable
from strvsocial.media.products import Product
from strvsocial.media.room import blaming_the_disk
from strvsocial.media.sandbox import private_folder
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


async def store(
    storage: Storage, folder: Path, public_id: str, products: Sequence[Product], generation: int = 0
) -> None:
    """Puts products into storage. Raises Unavailable when it is away."""
    slots = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def put(name: str, key: str, mime: str) -> None:
        async with slots:
            await storage.put_file(key, folder / name, mime)

    try:
        async with asyncio.TaskGroup() as group:
            for product in products:
                group.create_task(put(product.name, product.key(public_id, generation), product.mime))
    except ExceptionGroup as failures:
        if away := failures.subgroup(Unavailable):
            raise away.exceptions[0] from failures
        raise
