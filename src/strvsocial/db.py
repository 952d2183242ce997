"""PostgreSQL: the one place that opens connections and commits.

Writes go through `Database.transaction()`: an ORM session, committed at the end of the block; after the commit, and only
then, the doorbell is rung for the job queues that the transaction added to. Reads go through `Database.read()`: a Core
connection in AUTOCOMMIT, for module-level statements.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import BigInteger, DateTime, Identity, MetaData, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from strvsocial import meters
from strvsocial.errors import Unavailable
from strvsocial.settings import Settings

Ring = Callable[[set[str]], Awaitable[None]]
"""Rings the doorbell of the named job queues; must not raise."""


class Base(DeclarativeBase):
    """Declarative base. Relationships, where any, are `lazy="raise"`."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def bigint_id() -> Any:
    """A bigint identity primary key."""
    return mapped_column(BigInteger, Identity(always=False), primary_key=True)


Timestamp = DateTime(timezone=True)


def async_url(url: str) -> str:
    """`postgres://` or `postgresql://` as SQLAlchemy's asyncpg dialect wants it."""
    for scheme in ("postgresql+asyncpg://", "postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+asyncpg://" + url.removeprefix(scheme)
    raise ValueError(f"DATABASE_URL must start with postgresql://, not {url.split(':', 1)[0]}:")


def plain_url(url: str) -> str:
    """The same URL as asyncpg itself and libpq want it."""
    return async_url(url).replace("postgresql+asyncpg://", "postgresql://", 1)


class Patience(NamedTuple):
    """How long a process waits for PostgreSQL, in seconds: for a connection of its pool, for a new one, for a sign of life
    of an idle one, for a lock that somebody else holds (None: as long as for the statement), and for one statement."""

    pool: float
    connect: float
    alive: float
    lock: float | None
    statement: float


PEOPLE_WAIT = Patience(pool=1.5, connect=1.5, alive=1, lock=1.5, statement=8)
"""Of web processes: a page that cannot be had says so within two seconds."""
NOBODY_WAITS = Patience(pool=2, connect=5, alive=5, lock=None, statement=60)
"""Of workers and commands."""

# A pooler in transaction mode gives each transaction another server connection, so no prepared statement may be kept.
# Without a name, a statement is parsed again in the round trip that runs it, and none is left behind on the server.
_BEHIND_POOLER: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}


class WatchedPool(AsyncAdaptedQueuePool):
    """Counts how often and how long somebody waited because all connections were in use."""

    def _do_get(self) -> ConnectionPoolEntry:
        if self.checkedout() < self.size():
            return super()._do_get()
        started = time.perf_counter()
        meters.pool_waits.inc()
        try:
            return super()._do_get()
        except PoolTimeoutError:
            meters.pool_timeouts.inc()
            raise
        finally:
            meters.pool_wait_seconds.inc(time.perf_counter() - started)


def _create_engine(settings: Settings, pool_size: int, patience: Patience) -> AsyncEngine:
    connect_args: dict[str, Any] = {"timeout": patience.connect, "command_timeout": patience.statement}
    if settings.has_pooler:
        connect_args |= _BEHIND_POOLER
    elif patience.lock is not None:  # A pooler would refuse a connection with a setting of its own.
        connect_args["server_settings"] = {"lock_timeout": f"{patience.lock * 1000:.0f}"}
    engine = create_async_engine(
        async_url(settings.database_url),
        poolclass=WatchedPool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=patience.pool,
        hide_parameters=True,  # Errors are logged, and rows hold addresses and hashes.
        connect_args=connect_args,
    )
    event.listen(engine.sync_engine, "checkout", partial(_check_alive, patience.alive))
    return engine


def _check_alive(seconds: float, connection: Any, record: Any, _: Any) -> None:
    """Asks a connection that was used before whether it still lives. All are made anew when it was closed.

    SQLAlchemy's own question would wait for as long as a statement may take, and then as long again for a good-bye.
    """
    if not record.info.setdefault("was_used", False):
        record.info["was_used"] = True
        return
    try:
        connection.run_async(lambda driver: driver.execute("select", timeout=seconds))
    except TimeoutError as error:
        connection.driver_connection.terminate()
        raise Unavailable from error  # Another connection would keep people waiting as long.
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # The last is what asyncpg says between a server's farewell and the end of its connection.
        raise InvalidatePoolError from error


async def is_pooled(connection: asyncpg.Connection[Any]) -> bool:
    """Whether something answers in PostgreSQL's place: a pooler names other process numbers than it lends.

    Open `connection` with `statement_cache_size=0`; through a pooler named statements may fail.
    """
    named: int = connection.get_server_pid()
    lent: int = await connection.fetchval("select pg_backend_pid()")
    return named != lent


class Database:
    """One process's access to PostgreSQL. Close it with `aclose()`."""

    def __init__(
        self,
        settings: Settings,
        *,
        pool_size: int = 10,
        patience: Patience = NOBODY_WAITS,
        ring: Ring | None = None,
    ) -> None:
        self.engine = _create_engine(settings, pool_size, patience)
        self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.ring = ring

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that is committed when the block ends and rolled back when it raises."""
        async with self._sessions() as session:
            try:
                yield session
                await session.commit()
            except BaseException:
                await session.rollback()
                raise
        await self._after_commit(session)

    async def commit_early(self, session: AsyncSession) -> None:
        """Commits what is done so far and rings for it, for long jobs that work in steps."""
        await session.commit()
        await self._after_commit(session)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection in AUTOCOMMIT for reading."""
        async with self._reader.connect() as connection:
            yield connection

    async def aclose(self) -> None:
        await self.engine.dispose()

    async def _after_commit(self, session: AsyncSession) -> None:
        queues: set[str] = session.info.pop("queues", set())
        if queues and self.ring is not None:
            await self.ring(queues)


def ring_after_commit(session: AsyncSession, queue: str) -> None:
    """Remembers that `queue` got work in this transaction."""
    session.info.setdefault("queues", set()).add(queue)
