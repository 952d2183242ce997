"""Nothing is deleted while a backup copies; afterwards all of it is."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from strvsocial.db import Database, plain_url
from strvsocial.errors import Conflict
from strvsocial.jobs import Claimed, Postpone
from strvsocial.media import sweeping
from strvsocial.media.holding import BackupRuns, deleting, hold_deletions, release_deletions
from strvsocial.media.jobs import DELETE_OBJECTS, SWEEP
from strvsocial.settings import ROOT, Settings
from strvsocial.storage import open_storage


async def test_deletions_wait_for_the_end_of_a_backup(database: Database, settings: Settings) -> None:
    backup = await asyncpg.connect(plain_url(settings.database_url))
    async with open_storage(settings) as storage:
        context: Any = SimpleNamespace(database=database, storage=storage, settings=settings)
        await storage.put("originals/wanted", b"bytes", "image/png")
        job = [Claimed(1, "media.delete_objects", {"keys": ["originals/wanted"]}, 1, 0, 1)]
        await hold_deletions(backup)
        with pytest.raises(Postpone, match="backup"):
            await DELETE_OBJECTS.run(context, job)
        with pytest.raises(Postpone, match="backup"):
            await SWEEP.run(context, [Claimed(2, "media.sweep_storage", {"orphans": True}, 1, 0, 1)])
        with pytest.raises(BackupRuns):
            await sweeping.delete_orphans(database, storage, ["originals/wanted"])
        told = await _orphans()
        assert (told[0], "Deleting waits for its end" in told[1]) == (1, True)
        assert await storage.stat("originals/wanted")
        await backup.close()  # As when it is killed.
        async with asyncio.timeout(5):
            while await database_holds(settings):
                await asyncio.sleep(0.02)
        await DELETE_OBJECTS.run(context, job)
        assert await storage.stat("originals/wanted") is None
        found = await sweeping.compare(database, storage, timedelta(0))
        assert found.orphans == []


async def test_a_backup_waits_for_deletions_under_way_and_is_alone(database: Database, settings: Settings) -> None:
    backup, second = [await asyncpg.connect(plain_url(settings.database_url)) for _ in range(2)]
    try:
        async with deleting(database):
            holding = asyncio.create_task(hold_deletions(backup))
            await asyncio.wait({holding}, timeout=0.3)
            assert not holding.done()
        await asyncio.wait_for(holding, 5)
        with pytest.raises(Conflict):
            await hold_deletions(second)
        await release_deletions(backup)
        async with deleting(database):
            pass
    finally:
        await backup.close()
        await second.close()


async def database_holds(settings: Settings) -> bool:
    connection = await asyncpg.connect(plain_url(settings.database_url))
    try:
        locks = "select count(*) from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()"
        return bool(await connection.fetchval(f"{locks} where locktype = 'advisory'"))
    finally:
        await connection.close()


async def _orphans() -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "strvsocial", "media", "orphans", "--delete", "--grace-hours", "0",
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    return process.returncode or 0, errors.decode()
