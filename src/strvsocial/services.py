"""What every process works with: the database, with a doorbell that rings after commits, and the storage of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from strvsocial.db import Database
from strvsocial.doorbell import Doorbell
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import Storage, open_storage


class Services(NamedTuple):
    settings: Settings
    database: Database
    storage: Storage


@asynccontextmanager
async def open_database(settings: Settings | None = None, *, pool_size: int = 2) -> AsyncIterator[Database]:
    """The database of this site while the block runs; commits that want work ring for it."""
    settings = settings or get_settings()
    async with AsyncExitStack() as stack:
        doorbell = Doorbell(settings.redis_url)
        stack.push_async_callback(doorbell.aclose)
        database = Database(settings, pool_size=pool_size, ring=doorbell.ring)
        stack.push_async_callback(database.aclose)
        yield database


@asynccontextmanager
async def open_services(settings: Settings | None = None, *, pool_size: int = 2) -> AsyncIterator[Services]:
    """The database and the storage of this site while the block runs."""
    settings = settings or get_settings()
    async with open_database(settings, pool_size=pool_size) as database, open_storage(settings) as storage:
        yield Services(settings, database, storage)
