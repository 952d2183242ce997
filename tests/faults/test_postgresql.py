"""PostgreSQL: connections killed, the server killed, hanging and locked. Pages say so in time and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from tests.faults.conftest import OpenTown, Town
from tests.faults.walk import Walk

from strvsocial.db import PEOPLE_WAIT, Database, _check_alive
from strvsocial.local.services import Services
from strvsocial.web.failures import describe

SLOWEST = 2.5
"""Seconds until a page says that it cannot be had; half a second of them for a busy machine."""
BACK_SECONDS = 10
NEED_NOTHING = {"login": 200, "signup": 200}
SOME = ("feed", "post", "search", "create", "login", "api post")


@pytest_asyncio.fixture(scope="module")
async def town(open_town: OpenTown, services: Services) -> Town:
    town: Town = await open_town(database_url=services.database_url)
    return town


def are_told(walk: Walk) -> bool:
    """Whether everybody was told to come back, in words that belong to what they asked for."""
    assert walk.are(503, but=NEED_NOTHING)
    for step in walk.steps.values():
        if step.status == 503:
            assert int(step.headers["retry-after"]) > 0
            assert ("json" if step.name.startswith("api") else "text/html") in step.headers["content-type"]
            assert "resting" in step.text
            assert "Traceback" not in step.text
        if step.status == 503 and not step.name.startswith("api"):
            assert 'href="/explore"' in step.text, "there is no way on"
    assert walk.slowest.seconds < SLOWEST, walk.table()
    return True


async def is_alive_but_not_ready(town: Town) -> bool:
    town.trust_again()
    began = time.monotonic()
    async with town.site.client() as anyone:
        alive, ready = await anyone.get("/livez"), await anyone.get("/readyz")
    assert time.monotonic() - began < SLOWEST
    return (alive.status_code, ready.status_code) == (200, 503) and ready.json()["status"] == "down"


async def seconds_until_back(town: Town) -> float:
    began = time.monotonic()
    while not all(step.status == 200 for step in (await town.read(SOME)).steps.values()):
        assert time.monotonic() - began < BACK_SECONDS
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_connections_that_died_are_not_used_again(town: Town, services: Services) -> None:
    assert (await town.read()).are(200)
    connection = await asyncpg.connect(services.database_url)
    ended = await connection.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid()"
        " and datname = current_database()"
    )
    await connection.close()
    assert ended >= 1
    assert (await town.read()).are(200)
    town.database.cut()
    assert (await town.read()).are(200)


class Confused:
    """A connection of asyncpg between the server's farewell and its end, for some microseconds."""

    def run_async(self, ask: Any) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")


def test_a_connection_between_farewell_and_end_is_not_used_again() -> None:
    with pytest.raises(InvalidatePoolError):
        _check_alive(1, Confused(), SimpleNamespace(info={"was_used": True}), None)
    assert describe(asyncpg.InternalClientError("cannot switch to state 15")).status == 503


async def test_a_connection_that_dies_within_a_request_is_told_of_at_every_step(town: Town, services: Services) -> None:
    """Whatever asks next on a connection that was lost, the commit too, is told the same: 503, never 500."""
    database = Database(town.site.settings.model_copy(update={"database_url": services.database_url}))
    failures: list[Exception] = []
    other = await asyncpg.connect(services.database_url)
    try:
        async with database.read() as reader:
            await other.execute("select pg_terminate_backend($1)", await reader.scalar(text("select pg_backend_pid()")))
            for _ in range(2):
                with pytest.raises(SQLAlchemyError) as failed:
                    await reader.execute(text("select 1"))
                failures.append(failed.value)

        async def go_on() -> None:
            async with database.transaction() as db:
                await other.execute("select pg_terminate_backend($1)", await db.scalar(text("select pg_backend_pid()")))
                with suppress(SQLAlchemyError):
                    await db.execute(text("select 1"))

        with pytest.raises(SQLAlchemyError) as failed:
            await go_on()
        failures.append(failed.value)
    finally:
        await other.close()
        await database.aclose()
    assert [describe(failure).status for failure in failures] == [503] * 3
    assert describe(ExceptionGroup("several", failures[:2])).status == 503
    assert describe(ExceptionGroup("several", [failures[0], ZeroDivisionError()])).status == 500


async def test_a_killed_backend_takes_the_server_down_for_a_moment_only(town: Town, services: Services) -> None:
    posted = await town.person.api("POST", "/posts", json={"title": "Said just before"})
    assert posted.status_code == 201
    connection = await asyncpg.connect(services.database_url)
    os.kill(await connection.fetchval("select pg_backend_pid()"), signal.SIGKILL)
    # The postmaster ends all others and recovers: whatever is asked meanwhile is 200 or 503.
    during = await town.read(SOME)
    assert set(during.statuses.values()) <= {200, 503}, during.table()
    assert await seconds_until_back(town) < BACK_SECONDS
    assert (await town.site.anonymous.get(f"/api/v1/posts/{posted.json()['id']}")).status_code == 200
    assert (await town.read()).are(200)


async def test_a_killed_server_is_told_of_and_comes_back_by_itself(town: Town, services: Services) -> None:
    assert services.postgres is not None
    assert services.postgres.process is not None
    posted = await town.person.api("POST", "/posts", json={"title": "Said just before"})
    services.postgres.process.kill()
    services.postgres.process.wait(10)
    assert are_told(await town.read())
    assert await is_alive_but_not_ready(town)
    refused = await town.person.api("POST", "/posts", json={"title": "Not now"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert services.revive() == ["PostgreSQL"]
    assert await seconds_until_back(town) < BACK_SECONDS
    assert (await town.site.anonymous.get(f"/api/v1/posts/{posted.json()['id']}")).status_code == 200


async def test_a_server_that_hangs_is_told_of_in_time(town: Town) -> None:
    assert (await town.read(SOME)).are(200)
    town.database.fall_silent()
    try:
        assert are_told(await town.read(SOME))
        assert await is_alive_but_not_ready(town)
    finally:
        town.database.heal()
    assert await seconds_until_back(town) < BACK_SECONDS


async def test_a_lock_that_somebody_holds_keeps_nobody_waiting(town: Town, services: Services) -> None:
    connection = await asyncpg.connect(services.database_url)
    async with connection.transaction():
        await connection.execute("lock table posts in access exclusive mode")
        walk = await town.read(SOME)
        assert walk.are(503, but={"create": 200, "login": 200})
        assert walk.slowest.seconds < SLOWEST, walk.table()
        assert max(walk[name].seconds for name in ("create", "login")) < 0.5, walk.table()
    await connection.close()
    assert (await town.read(SOME)).are(200)


async def test_nobody_waits_for_a_statement_for_ever(town: Town) -> None:
    """What the lock's limit does not catch ends with the statement's; here it is half a second instead of eight."""
    database = Database(town.site.settings, patience=PEOPLE_WAIT._replace(statement=0.5))
    began = time.monotonic()
    async with database.read() as reader:
        with pytest.raises(TimeoutError) as given_up:
            await reader.execute(text("select pg_sleep(30)"))
        assert time.monotonic() - began < SLOWEST
    assert describe(given_up.value).status == 503
    async with database.read() as reader:
        assert await reader.scalar(text("select 1")) == 1
    await database.aclose()
