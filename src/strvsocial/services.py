"""What every process works with: the database, with a doorbell that rings after commits, and the storage of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from strvsocial.db import NOBODY_WAITS, Database, Patience
from strvsocial.doorbell import Doorbell
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import Storage, open_storage


class Services(NamedTuple):
    settings: Settings
    database: Database
    storage: Storage


@asynccontextmanager
async def open_database(
    settings: Settings | None = None, *, pool_size: int = 2, patience: Patience = NOBODY_WAITS
) -> AsyncIterator[Database]:
    """The database of this site while the block runs; commits that want work ring for it."""
    settings = settings or get_settings()
    async with AsyncExitStack() as stack:
        doorbell = Doorbell(settings.redis_url)
        stack.push_async_callback(doorbell.aclose)
        database = Database(settings, pool_size=pool_size, patience=patience, ring=doorbell.ring)
        stack.push_async_callback(database.aclose)
        yield database


@asynccontextmanager
async def open_services(
    settings: Settings | None = None, *, pool_size: int = 2, patience: Patience = NOBODY_WAITS
) -> AsyncIterator[Services]:
    """The database and the storage of this site while the block runs."""
    settings = settings or get_settings()
    async with AsyncExitStack() as stack:
        opened = open_database(settings, pool_size=pool_size, patience=patience)
        database = await stack.enter_async_context(opened)
        storage = await stack.enter_async_context(open_storage(settings))
        yield Services(settings, database, storage)
