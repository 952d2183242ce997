"""A rolling swap: web processes behind nginx are replaced one by one while requests keep coming."""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.front_door import Member, serving
from tests.nginx import Nginx, running_nginx

from strvsocial.settings import Settings

PATHS = ("/", "/explore", "/login", "/api/v1/feeds/latest", "/api/v1/users?limit=5", "/search?q=sea")


@dataclass
class Tally:
    """What became of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.statuses.values()) + len(self.failures)


class Visitors:
    """People who ask nginx for pages, lists and searches, and who publish; some keep connections, some do not."""

    def __init__(self, nginx: Nginx, author: Member, count: int) -> None:
        self.nginx, self.author, self.count = nginx, author, count
        self.tally, self.numbers = Tally(), itertools.count()
        self.is_over = False

    async def come(self) -> None:
        await asyncio.gather(*(self._live(number) for number in range(self.count)))

    async def until(self, total: int) -> None:
        while self.tally.total < total:
            await asyncio.sleep(0.02)

    async def _live(self, number: int) -> None:
        rng = random.Random(number)
        while not self.is_over:
            async with httpx.AsyncClient(base_url=self.nginx.address, timeout=30) as client:
                for turn in range(rng.choice((1, 20))):
                    await self._ask(client, rng, is_kept=turn > 0)
                    await asyncio.sleep(rng.uniform(0, 0.1))  # A starting process needs some of the processor, too.

    async def _ask(self, client: httpx.AsyncClient, rng: random.Random, *, is_kept: bool) -> None:
        began, what = time.monotonic(), rng.choice(PATHS)
        try:
            if rng.random() < 0.1:
                what = f"swap {next(self.numbers)}"
                token = {"Authorization": f"Bearer {self.author.token}"}
                request = client.build_request("POST", "/api/v1/posts", json={"title": what}, headers=token)
            else:
                request = client.build_request("GET", what)
            answer = await _send(client, request, is_kept)
            if answer.status_code == 201:
                self.tally.posted.append(what)
            self.tally.statuses[answer.status_code] += 1
            if not answer.is_success:
                self.tally.failures.append(f"{what}: {answer.status_code}")
                self.tally.statuses[answer.status_code] -= 1
        except httpx.HTTPError as error:
            self.tally.failures.append(f"{what}: {error!r}")
        self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)


async def _send(client: httpx.AsyncClient, request: httpx.Request, is_kept: bool) -> httpx.Response:
    """As browsers do: what meets a kept connection just when it is closed for idleness is sent once more (RFC 9112, 9.3.1)."""
    try:
        return await client.send(request)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        if not is_kept:
            raise
        return await client.send(request)


async def swap_under_load(
    settings: Settings, folder: Path, author: Member, *, requests: int, visitors: int, turns: int
) -> Tally:
    """Replaces both of two web processes while visitors come, `turns` times.

    An operator's steps: start the new process, wait until it is ready, tell nginx of it, SIGTERM to the old one.
    """
    with ExitStack() as stack:
        web = [stack.enter_context(_web(settings)) for _ in range(2)]
        nginx = stack.enter_context(running_nginx(folder, *(address for address, _ in web)))
        crowd = Visitors(nginx, author, visitors)
        coming = asyncio.create_task(crowd.come())
        for turn in range(turns):
            await crowd.until((turn + 1) * requests // (turns + 1))
            for place in range(2):
                fresh = await asyncio.to_thread(stack.enter_context, _web(settings))
                await _until_ready(fresh[0])
                old, web[place] = web[place], fresh
                # Even told late nobody fails: the old process refuses, and nginx asks the next one.
                if place:
                    old[1].terminate()
                    await asyncio.to_thread(old[1].wait, 12)
                await asyncio.to_thread(nginx.lead_to, *(address for address, _ in web))
                old[1].terminate()
                assert await asyncio.to_thread(old[1].wait, 12) in (0, -15)
        await crowd.until(requests)
        crowd.is_over = True
        await coming
        return crowd.tally


def _web(settings: Settings) -> AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]:
    return serving(settings, STRV_DRAIN_SECONDS="1", STRV_MAX_REQUESTS="0", STRV_TRUSTED_PROXIES="127.0.0.1")


async def _until_ready(address: str) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient(base_url=address) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.1)
