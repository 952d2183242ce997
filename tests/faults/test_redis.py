"""Redis away, hanging, cut off and full: nobody notices but the operators."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from tests.faults.conftest import OpenTown, Town
from tests.faults.walk import WRITTEN

from strvsocial import worker
from strvsocial.jobs import enqueue
from strvsocial.local.account import server_account
from strvsocial.local.valkey import Valkey

PENDING = 500
SLOWEST = 2.0
"""Seconds that no request may take."""


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server of our own, which may be stopped and filled."""
    folder = tmp_path_factory.mktemp("valkey")
    valkey = Valkey.prepare(folder, folder / "valkey.log", server_account(), "secret")
    valkey.start()
    yield valkey
    valkey.stop()


@pytest_asyncio.fixture(scope="module")
async def town(open_town: OpenTown, valkey: Valkey) -> Town:
    town: Town = await open_town(redis_url=valkey.url)
    return town


@asynccontextmanager
async def refused(town: Town, _: Valkey) -> AsyncIterator[None]:
    await town.redis.refuse()
    yield
    await town.redis.open()


@asynccontextmanager
async def reset(town: Town, _: Valkey) -> AsyncIterator[None]:
    town.redis.reset()
    yield


@asynccontextmanager
async def half_open(town: Town, _: Valkey) -> AsyncIterator[None]:
    town.redis.fall_silent()
    yield


@asynccontextmanager
async def slow(town: Town, _: Valkey) -> AsyncIterator[None]:
    town.redis.latency = 0.4
    yield


@asynccontextmanager
async def stopped(_: Town, valkey: Valkey) -> AsyncIterator[None]:
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        valkey.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def full(_: Town, valkey: Valkey) -> AsyncIterator[None]:
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", "1")
        yield
        await redis.config_set("maxmemory", "100mb")


@pytest.mark.parametrize("fault", [refused, reset, half_open, slow, stopped, full])
async def test_nobody_waits_and_nothing_is_refused(
    town: Town, valkey: Valkey, fault: Callable[[Town, Valkey], Any]
) -> None:
    town.trust_again()
    async with fault(town, valkey):
        before = town.redis.accepted
        reading, writing = await town.read(), await town.write()
        tried = town.redis.accepted - before
        town.site.app.state.probes.forget()
        ready = await town.site.anonymous.get("/readyz")
    town.heal()
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert reading.are(200)
    assert writing.are(303, but=WRITTEN)
    assert max(reading.slowest.seconds, writing.slowest.seconds) < SLOWEST, reading.table() + "\n" + writing.table()
    assert tried <= 6, "the breakers did not open: some thirty requests asked a dead Redis again and again"


async def test_an_emptied_redis_loses_no_work_and_no_session(town: Town, valkey: Valkey) -> None:
    keys = [f"work/{secrets.token_hex(8)}/pcm" for _ in range(PENDING)]
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, town.site.settings)
        async with context.database.transaction() as db:
            await db.execute(text("delete from jobs"))
            for key in keys:
                await enqueue(db, "media.delete_objects", {"keys": [key]}, queue="quick")
        for key in keys[:20]:
            await context.storage.put(key, b"bytes", "application/octet-stream")
        worker.start_lanes(stack, context, {"quick": 2}, worker.WORKER_HANDLERS)
        async with Redis.from_url(valkey.url) as redis:
            for _ in range(3):
                await redis.flushall()
                await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            while await _count(context, "state <> 'done'"):
                await asyncio.sleep(0.1)
        assert await _count(context, "state = 'done' and attempts = 1") == PENDING
        assert [await context.storage.stat(key) for key in keys[:20]] == [None] * 20
    assert (await town.read()).are(200), "a session was lost with Redis"


@pytest.mark.soak
async def test_a_minute_without_redis(town: Town, valkey: Valkey) -> None:
    """Reading, logging in, posting words and pictures go on all the while, and what was wanted is done by lanes that
    nobody rings for."""
    town.trust_again()
    rounds, began = 0, time.monotonic()
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, town.site.settings)
        async with context.database.transaction() as db:
            await db.execute(text("delete from jobs"))
        worker.start_lanes(stack, context, worker.worker_widths(context.settings), worker.WORKER_HANDLERS)
        async with refused(town, valkey):
            while time.monotonic() - began < 60:
                reading, writing = await town.read(), await town.write()
                assert reading.are(200)
                assert writing.are(303, but=WRITTEN)
                assert max(reading.slowest.seconds, writing.slowest.seconds) < SLOWEST, (
                    reading.table() + writing.table()
                )
                assert writing["post picture"].status == 201
                rounds += 1
                await asyncio.sleep(2)
            async with asyncio.timeout(60):
                while await _count(context, "queue <> 'embed' and state <> 'done'"):
                    await asyncio.sleep(0.5)
        town.heal()
        assert await _count(context, "queue <> 'embed' and state = 'done'") >= rounds >= 2
    assert (await town.read()).are(200)


async def _count(context: worker.Context, condition: str) -> int:
    async with context.database.read() as reader:
        return int(await reader.scalar(text(f"select count(*) from jobs where {condition}")) or 0)
