"""Rows that somebody holds: the route that needs them says so in time, however many ask, and the others do not notice."""

from __future__ import annotations

import asyncio
import time

import httpx
from tests.front_door import Site, serving
from tests.reliability.test_draining import locked_posts

from strvsocial.settings import Settings

ASKERS = 30


async def test_a_locked_table_slows_only_the_routes_that_need_it(site: Site, settings: Settings) -> None:
    alice = await site.member("alice")
    cookies = dict(alice.browser.cookies)
    locked: list[tuple[int, float]] = []
    others: list[float] = []
    with serving(settings, STRV_MAX_REQUESTS="32") as (address, _):
        async with (
            httpx.AsyncClient(base_url=address, timeout=15) as client,
            httpx.AsyncClient(base_url=address, timeout=15, cookies=cookies) as signed_in,
        ):
            assert (await client.get("/explore")).status_code == 200
            async with locked_posts(settings):
                is_over = asyncio.Event()

                async def ask(number: int) -> None:
                    while not is_over.is_set():
                        began = time.monotonic()
                        answer = await client.get("/explore")
                        locked.append((answer.status_code, time.monotonic() - began))
                        if answer.status_code == 503:
                            assert int(answer.headers["retry-after"]) >= 1
                        await asyncio.sleep(0.5)

                asking = [asyncio.create_task(ask(number)) for number in range(ASKERS)]
                await asyncio.sleep(0.3)
                for _ in range(15):
                    began = time.monotonic()
                    assert (await signed_in.get("/create")).status_code == 200
                    others.append(time.monotonic() - began)
                    await asyncio.sleep(0.1)
                is_over.set()
                await asyncio.gather(*asking)
            assert (await client.get("/explore")).status_code == 200
    assert {status for status, _ in locked} == {503}
    assert max(seconds for _, seconds in locked) < 3, "two, and what a busy machine adds"
    assert sorted(others)[len(others) * 8 // 10] < 0.5, others
