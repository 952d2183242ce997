"""The database behind a pooler in transaction mode: more work than it has connections, and nothing left behind."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.front_door import Site, running_site
from tests.pgbouncer import INI, SERVER_CONNECTIONS, pgbouncer

from strvsocial.db import Database
from strvsocial.settings import ROOT, Settings

WORKERS, TIMES = 40, 10
LEFT = "select (select count(*) from pg_prepared_statements), (select count(*) from pg_listening_channels()), pg_sleep(0.2)"
"""The last makes them wait for each other, so that each is asked on a connection of its own."""


async def write(db: AsyncSession, number: int) -> None:
    """What the product's transactions do: local settings, locks, temporary tables, arrays, JSON, many rows at once."""
    await db.execute(text("set local synchronous_commit = off"))
    await db.execute(text("select pg_advisory_xact_lock(hashtextextended('pooler', :n))"), {"n": number % 7})
    await db.execute(text("create temporary table here (n bigint, words text[], extra jsonb) on commit drop"))
    rows = [{"n": number + i, "words": ["a", "b"], "extra": '{"a": 1}'} for i in range(3)]
    await db.execute(text("insert into here values (:n, :words, cast(:extra as jsonb))"), rows)
    assert await db.scalar(text("select sum(n) from here")) == 3 * number + 3


async def read(database: Database, number: int) -> None:
    async with database.read() as reader:
        query = "select cast(:n as bigint), pg_current_snapshot(), array[row(1, 'a')], cast(:extra as jsonb)"
        row = (await reader.execute(text(query), {"n": number, "extra": "[1]"})).one()
        assert (row[0], row[3]) == (number, [1])


async def test_more_work_than_connections(settings: Settings) -> None:
    database = Database(settings, pool_size=WORKERS)

    async def work(number: int) -> None:
        for _ in range(TIMES):
            async with database.transaction() as db:
                await write(db, number)
            await read(database, number)

    async def look() -> Any:
        async with database.read() as reader:
            return tuple((await reader.execute(text(LEFT))).one())[:2]

    try:
        await asyncio.gather(*(work(number) for number in range(WORKERS)))
        found = await asyncio.gather(*(look() for _ in range(SERVER_CONNECTIONS)))
        assert found == [(0, 0)] * SERVER_CONNECTIONS
    finally:
        await database.aclose()
    direct = await asyncpg.connect(settings.direct_url)
    lent = await direct.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    await direct.close()
    assert lent == SERVER_CONNECTIONS


async def test_a_failed_transaction_leaves_nothing_to_the_next(settings: Settings) -> None:
    database = Database(settings, pool_size=8)

    async def fail() -> None:
        async with database.transaction() as db:
            await db.execute(text("set local lock_timeout = '3s'"))
            await db.execute(text("select 1 / 0"))

    async def look() -> str:
        async with database.transaction() as db:
            return str(await db.scalar(text("show lock_timeout")))

    try:
        failed = await asyncio.gather(*(fail() for _ in range(8)), return_exceptions=True)
        assert all("division by zero" in str(error) for error in failed)
        assert await asyncio.gather(*(look() for _ in range(8))) == ["0"] * 8
    finally:
        await database.aclose()


async def test_a_statement_is_cancelled_through_the_pooler(settings: Settings) -> None:
    database = Database(settings, pool_size=1)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), database.transaction() as db:
                await db.execute(text("select pg_sleep(30)"))
        async with database.read() as reader:
            query = "select count(*) from pg_stat_activity where query like 'select pg_sleep(30%' and state = 'active'"
            async with asyncio.timeout(5):
                while await reader.scalar(text(query)):
                    await asyncio.sleep(0.05)
    finally:
        await database.aclose()


def test_the_handbook_shows_what_was_run() -> None:
    shown = (ROOT / "docs/operating/pgbouncer.md").read_text().split("```ini\n")[1].split("```")[0]
    told = {
        "host": "127.0.0.1",
        "port": 5432,
        "listen_port": 6432,
        "users": "/etc/pgbouncer/userlist.txt",
        "pool_size": 20,
        "patience": 10,
    }
    assert shown == INI.format(**told)


async def look(site: Site) -> httpx.Response:
    return await site.client(raise_errors=False).get("/explore")


async def test_the_pooler_may_go_and_come_back(servers: tuple[str, str], settings: Settings) -> None:
    with ExitStack() as first:
        pooler = first.enter_context(pgbouncer(servers[0]))
        changed = settings.model_copy(update={"database_url": pooler.through(settings.direct_url)})
        async with running_site(changed) as site:
            assert (await look(site)).status_code == 200
            first.close()
            gone = await look(site)
            assert (gone.status_code, gone.headers["retry-after"]) == (503, "5")
            with pgbouncer(servers[0], port=pooler.port):
                async with asyncio.timeout(10):
                    while (await look(site)).status_code != 200:
                        await asyncio.sleep(0.1)


async def test_who_waits_too_long_for_a_connection_is_told(servers: tuple[str, str], settings: Settings) -> None:
    with pgbouncer(servers[0], pool_size=1, patience=1) as pooler:
        changed = settings.model_copy(update={"database_url": pooler.through(settings.direct_url)})
        database = Database(changed, pool_size=1)
        async with running_site(changed) as site:
            async with database.transaction() as db:
                await db.execute(text("select 1"))
                told = await look(site)
            assert (told.status_code, told.headers["retry-after"]) == (503, "5")
            assert (await look(site)).status_code == 200
        await database.aclose()
