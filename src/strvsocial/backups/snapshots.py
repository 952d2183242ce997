"""One moment of the database, held still: what its rows count and refer to, and the name by which pg_dump sees the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from strvsocial.db import plain_url
from strvsocial.errors import Unavailable
from strvsocial.media.holding import hold_deletions, release_deletions
from strvsocial.media.sweeping import REFERENCES

# A picture that is about to become somebody's avatar is mentioned by its job alone.
_REFERENCES = f"""
    select distinct on (key) key, mime, byte_size, sha256, is_original from (
      {REFERENCES}
      union all select payload ->> 'source_key', created_at, 'job ' || id, 'application/octet-stream', null, null, true
        from jobs where state in ('queued', 'running') and payload ? 'source_key'
    ) as referred order by key, is_original desc, byte_size nulls last
"""  # noqa: S608 - made of constants.
_TABLES = """
    select c.relname from pg_class c where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by 1
"""


@dataclass(frozen=True)
class Reference:
    """An object that a row says is in storage; None where the row does not say how large or what."""

    key: str
    mime: str
    byte_size: int | None
    sha256: bytes | None
    is_original: bool


@dataclass(frozen=True)
class Snapshot:
    """`id` is what `pg_dump --snapshot` takes; it lives as long as the block that `hold` gives it to."""

    id: str
    revision: str
    server_major: int
    database_bytes: int
    rows: dict[str, int]
    references: list[Reference]


class Watch:
    """The connection of a backup: while it lives, nothing is deleted from storage."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Snapshot]:
        """A snapshot, for as long as the block runs. Vacuum waits for it: let go soon."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            fetchval = self._connection.fetchval
            tables = [row["relname"] for row in await self._connection.fetch(_TABLES)]
            if "alembic_version" not in tables:
                raise Unavailable("This database is empty: there is nothing to back up.")
            yield Snapshot(
                id=await fetchval("select pg_export_snapshot()"),
                revision=await fetchval("select version_num from alembic_version"),
                server_major=await fetchval("select current_setting('server_version_num')::int / 10000"),
                database_bytes=await fetchval("select pg_database_size(current_database())"),
                rows={table: await fetchval(f'select count(*) from "{table}"') for table in tables},  # noqa: S608
                references=[Reference(**row) for row in await self._connection.fetch(_REFERENCES)],
            )

    async def release(self) -> None:
        """Lets deletions go on."""
        await release_deletions(self._connection)

    async def still_referred(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that rows refer to now."""
        statement = f"select key from ({_REFERENCES}) as referred where key = any($1::text[])"  # noqa: S608
        return {row["key"] for row in await self._connection.fetch(statement, list(keys))}


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watch]:
    """A connection past any pooler; deletions wait until the block ends. Raises Conflict beside another backup."""
    connection = await asyncpg.connect(plain_url(url), timeout=10)
    try:
        await hold_deletions(connection)
        yield Watch(connection)
    finally:
        await connection.close(timeout=5)
