"""The release process beside a running site: it gives way, tries again, and two of them do not meet."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio
from tests.keeping.conftest import Databases

from strvsocial.settings import ROOT

SLOWEST = 3.0
"""Seconds: a lock is waited for during two, and a busy machine adds some."""
_NEXT = '''"""try

Revision: {revision}
Follows: {follows}
"""

import sqlalchemy as sa
from alembic import op
from strvsocial.schema_changes import create_index

revision = "{revision}"
down_revision = "{follows}"


def upgrade() -> None:
    {line}
'''


class Release:
    """The repository's migrations with more behind them, and a database that is at the repository's head."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        shutil.copytree(ROOT / "migrations", folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "alembic.ini", folder)
        self.head = self.began = sorted((folder / "migrations" / "versions").glob("*.py"))[-1].name[:4]

    def add(self, line: str) -> None:
        """One more migration; `line` is what its `upgrade` does."""
        follows, self.head = self.head, f"{int(self.head) + 1:04}"
        text = _NEXT.format(revision=self.head, follows=follows, line=line)
        (self.folder / "migrations" / "versions" / f"{self.head}_try.py").write_text(text)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {"PYTHONPATH": str(ROOT / "src"), "DATABASE_URL": self.url, "DATABASE_DIRECT_URL": ""}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "alembic", *arguments, "upgrade", "head",
            cwd=self.folder, env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *arguments: str) -> tuple[int | None, str]:
        """The exit status, and what was said about it."""
        process = await self.start(*arguments)
        _, errors = await process.communicate()
        return process.returncode, errors.decode()


@pytest_asyncio.fixture
async def release(tmp_path: Path, databases: Databases) -> Release:
    return Release(tmp_path, await databases.make())


@pytest_asyncio.fixture
async def connection(release: Release) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(release.url)
    yield opened
    await opened.close()


async def _revision(connection: asyncpg.Connection) -> str:
    return str(await connection.fetchval("select version_num from alembic_version"))


async def test_a_locked_table_is_given_way_to_and_tried_again(release: Release, connection: asyncpg.Connection) -> None:
    release.add("op.add_column('posts', sa.Column('mood', sa.Text(), nullable=True))")
    reader = await asyncpg.connect(release.url)
    waits: list[float] = []
    done = asyncio.Event()

    async def keep_reading() -> None:
        while not done.is_set():
            began = time.monotonic()
            await reader.fetch("select count(*) from posts")
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.02)

    async with connection.transaction():
        await connection.fetch("select * from posts limit 1")  # Somebody reads, and takes his time.
        reading = asyncio.create_task(keep_reading())
        process = await release.start()
        assert process.stderr
        told = [(await process.stderr.readline()).decode() for _ in range(2)]
    _, rest = await process.communicate()
    done.set()
    await reading
    await reader.close()
    assert process.returncode == 0, rest.decode()
    assert "try 1 gave way" in told[0]
    assert "try 2 gave way" in told[1]
    assert "idle in transaction" in told[0]
    assert "select * from posts" in told[0]
    assert await _revision(connection) == release.head
    assert 1.5 < max(waits) < SLOWEST  # Who reads waits behind the migration, but not for longer than its lock.
    assert sum(wait > 1 for wait in waits) <= 2


async def test_out_of_patience_everything_is_as_it_was(release: Release, connection: asyncpg.Connection) -> None:
    release.add("op.execute('create table half_done ()'); op.execute('alter table users add column mood text')")
    async with connection.transaction():
        await connection.fetch("select * from users limit 1")
        status, told = await release.run("-x", "patience=1")
    assert status == 1
    assert "A table stayed locked during 1 tries" in told
    assert "Traceback" not in told
    assert await _revision(connection) == release.began
    assert await connection.fetchval("select to_regclass('half_done')") is None


async def test_migrations_before_the_one_that_failed_stay(release: Release, connection: asyncpg.Connection) -> None:
    release.add("op.execute('create table done ()')")
    kept = release.head
    release.add("op.execute('create table half_done ()'); op.execute('select 1 / 0')")
    status, told = await release.run()
    assert status == 1
    assert "division by zero" in told
    assert await _revision(connection) == kept
    assert await connection.fetchval("select to_regclass('half_done')") is None


async def test_indexes_are_built_while_people_write(release: Release, connection: asyncpg.Connection) -> None:
    """Behind an open transaction for longer than locks are waited for; an invalid leftover does not disturb it."""
    release.add("create_index('ix_try', 'posts', ['title'])")
    await connection.execute("create index ix_try on posts (author_id)")
    other = await asyncpg.connect(release.url)
    async with connection.transaction():
        await connection.execute("insert into site_facts (name, value) values ('keeping.try', '{}')")
        await connection.execute("lock table posts in row exclusive mode")
        process = await release.start()
        async with asyncio.timeout(20):
            while not await other.fetchval("select 1 from pg_locks where not granted"):
                await asyncio.sleep(0.05)
        began = time.monotonic()
        while time.monotonic() - began < 3:
            await asyncio.wait_for(other.execute("update posts set title = title"), 1)
            await asyncio.sleep(0.1)
    _, errors = await process.communicate()
    await other.close()
    assert process.returncode == 0, errors.decode()
    assert await connection.fetchval("select indexdef like '%(title)' from pg_indexes where indexname = 'ix_try'")
    assert await _revision(connection) == release.head


async def test_two_releases_do_not_meet(release: Release, connection: asyncpg.Connection) -> None:
    release.add("op.execute('create table once ()'); op.execute('select pg_sleep(2)')")
    done = await asyncio.gather(release.run(), release.run())
    assert [status for status, _ in done] == [0, 0], done
    assert sum("Another release migrates this database" in told for _, told in done) == 1
    assert await _revision(connection) == release.head
