"""A bell that nobody hears slows nobody down."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from strvsocial.doorbell import RING_SECONDS, Doorbell, arq_queue
from strvsocial.recommendations.ranked_lists import RankedLists
from strvsocial.settings import Settings
from strvsocial.web.limits import Limits


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """A server that takes connections and never says a word, as one does that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


async def _seconds_of(count: int, bell: Doorbell) -> float:
    began = time.monotonic()
    for _ in range(count):
        await bell.ring({"quick"})
    return time.monotonic() - began


async def test_one_ring_waits_and_the_next_are_skipped(silent_redis: str) -> None:
    bell = Doorbell(silent_redis)
    assert await _seconds_of(1, bell) < RING_SECONDS + 0.5
    assert await _seconds_of(100, bell) < 0.1
    await bell.aclose()


async def test_limits_and_rankings_wait_once(silent_redis: str) -> None:
    limits = Limits(silent_redis)
    async with RankedLists(silent_redis) as lists:
        began = time.monotonic()
        await limits.charge("someone", 1, 1)
        await lists.keep(1, [])
        once = time.monotonic() - began
        assert once < 3
        began = time.monotonic()
        for _ in range(100):
            assert await limits.charge("someone", 1, 1) == 0
            await lists.find(1, await lists.keep(1, []))
        assert time.monotonic() - began < 0.2
        # Guessing passwords is counted here meanwhile.
        assert [await limits.charge("guesser", 60, 1, must_hold=True) > 0 for _ in range(2)] == [False, True]
    await limits.aclose()


async def test_a_bell_rings_again_once_redis_is_back(settings: Settings) -> None:
    bell = Doorbell("redis://127.0.0.1:1/0")
    await bell.ring({"embed"})
    bell._settings = Doorbell(settings.redis_url)._settings
    bell._breaker.seconds = 0.05
    bell._breaker.failed()
    await asyncio.sleep(0.1)
    await bell.ring({"embed"})
    async with Redis.from_url(settings.redis_url) as redis:
        assert await redis.zcard(arq_queue("embed")) >= 1
        await redis.delete(arq_queue("embed"))
    await bell.aclose()
