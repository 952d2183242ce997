"""While a backup copies bytes, nothing that its snapshot refers to is deleted.

Two advisory locks, both given back when the backup's connection ends, however it ends: one keeps a second backup out,
the other is shared by everybody who deletes and taken whole by the backup.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import text

from strvsocial.db import Database
from strvsocial.errors import Conflict, Unavailable

_BACKUP, _DELETION = 7389, 7388
_MAY_DELETE = text(f"select pg_try_advisory_xact_lock_shared({_DELETION})")


class BackupRuns(Unavailable):
    code, message = "backup_runs", "A backup copies what is stored. Deleting waits for its end."


@asynccontextmanager
async def deleting(database: Database) -> AsyncIterator[None]:
    """Lets the block delete stored bytes. Raises BackupRuns while one copies them."""
    async with database.transaction() as db:
        if not await db.scalar(_MAY_DELETE):
            raise BackupRuns(retry_after=60)
        yield


async def hold_deletions(connection: asyncpg.Connection) -> None:
    """Waits for deletions under way, and lets no other begin until `release_deletions` or the connection's end.

    Raises Conflict when another backup runs.
    """
    if not await connection.fetchval("select pg_try_advisory_lock($1::bigint)", _BACKUP):
        raise Conflict("Another backup of this database runs. Wait for its end.")
    await connection.execute("select pg_advisory_lock($1::bigint)", _DELETION)


async def release_deletions(connection: asyncpg.Connection) -> None:
    await connection.execute("select pg_advisory_unlock($1::bigint)", _DELETION)
