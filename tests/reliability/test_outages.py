"""Redis away, hanging, and back; PostgreSQL away and back: what people notice, and what comes back by itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from statistics import median

import httpx
import pytest
import pytest_asyncio
from tests.reliability.history import PASSWORD, History, Person
from tests.reliability.proof import judge, until_quiet
from tests.reliability.real_site import RealSite, real_site, until
from tests.reliability.sent_files import make_files

from strvsocial.local.services import Services, running_services

OUTAGE_SECONDS = 20.0
HANG_SECONDS = 8.0
PAGES = ("/", "/explore", "/login", "/api/v1/feeds/latest", "/api/v1/feeds/for-you", "/livez", "/readyz")
SLOWEST = 4.0
"""The longest that one request may take without Redis on a busy machine; unloaded ones take a tenth of it."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers of which nobody but the test keeps care: an outage lasts until it says so."""
    with running_services(tmp_path_factory.mktemp("servers"), database="strv") as services:
        yield services


@dataclass
class Town:
    """A site beside `servers`, and a person who lives on it."""

    site: RealSite
    servers: Services
    person: Person
    history: History
    slow: list[float] = field(default_factory=list)
    statuses: set[tuple[str, int]] = field(default_factory=set)

    async def get(self, path: str) -> None:
        began = time.monotonic()
        answer = await self.person.client.get(self.site.address + path)
        self.slow.append(time.monotonic() - began)
        self.statuses.add((path, answer.status_code))

    async def live_on(self, seconds: float) -> None:
        """Reads, signs in, posts and uploads for a while."""
        self.slow, self.statuses = [], set()
        ends = time.monotonic() + seconds
        kinds = chain(["text", "image", "large", "gif"], repeat("text"))
        while time.monotonic() < ends:
            for path in PAGES:
                await self.get(path)
            login = {"email": f"{self.person.username}@example.org", "password": PASSWORD}
            answer = await self.person.client.post("/tokens", json=login)
            self.statuses.add(("login", answer.status_code))
            entry = await self.person.post(next(kinds))
            assert entry.outcome == "ok", entry
            assert (entry.tries, entry.told) in ((1, []), (2, [])), entry  # An upload takes two steps.
        assert {status for _, status in self.statuses} <= {200, 201}, self.statuses
        assert max(self.slow) < SLOWEST, sorted(self.slow)[-5:]
        assert median(self.slow) < 0.5


@pytest_asyncio.fixture(scope="module")
async def town(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder, history = tmp_path_factory.mktemp("town"), History()
    files = make_files(folder / "files", 1_000_000)
    urls = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
    async with real_site(folder / "data", STRV_RATE_LIMITS="on", **urls) as site:
        person = Person(site.address, "resident", history, files, seed=1)
        person.gives_up = 0
        await person.sign_up()
        for kind in ("text", "large"):  # The first of each kind loads models.
            await person.post(kind)
        await until_quiet(site, 120)
        yield Town(site, servers, person, history)


async def test_without_redis_everything_works_on(town: Town) -> None:
    valkey = town.servers.valkey
    assert valkey is not None
    assert valkey.process is not None
    valkey.process.kill()
    valkey.process.wait(10)
    await town.live_on(OUTAGE_SECONDS)
    workers = [town.site.find("worker"), town.site.find("embedder")]
    assert town.servers.revive() == ["Valkey"]
    assert await until_quiet(town.site, 30) < 30
    assert [town.site.find("worker"), town.site.find("embedder")] == workers, "a worker died with Redis"
    assert await town.site.until_ready(15) < 15
    assert (await judge(town.site, town.history)).problems == {}


async def test_a_redis_that_hangs_slows_nobody(town: Town) -> None:
    valkey = town.servers.valkey
    assert valkey is not None
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        await town.live_on(HANG_SECONDS)
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    assert await until_quiet(town.site, 30) < 30


async def test_without_postgresql_people_are_told_and_it_comes_back_by_itself(town: Town) -> None:
    postgres = town.servers.postgres
    assert postgres is not None
    assert postgres.process is not None
    entry = await town.person.post("image")
    assert entry.outcome == "ok"
    postgres.process.kill()
    postgres.process.wait(10)
    async with httpx.AsyncClient(base_url=town.site.address, timeout=10) as anyone:
        for client, path in ((anyone, "/"), (anyone, "/explore"), (town.person.client, f"{town.site.address}/explore")):
            answer = await client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code == 503, path
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["content-type"].startswith("text/html")
            assert "</html>" in answer.text
        for path in ("/api/v1/feeds/latest", "/api/v1/me"):
            answer = await town.person.client.get(town.site.address + path)
            assert (answer.status_code, answer.json()["error"]["status"]) == (503, 503)
            assert int(answer.headers["retry-after"]) > 0
        refused = await town.person.client.post("/posts", json={"title": "now"})
        assert refused.status_code == 503
        assert (await anyone.get("/livez")).status_code == 200

        async def is_down() -> bool:
            ready = await anyone.get("/readyz")
            return (ready.status_code, ready.json()["status"]) == (503, "down")

        assert await until(is_down, 5, "readiness") < 5  # Its answers are kept for two seconds.
        await asyncio.sleep(3)
        assert town.servers.revive() == ["PostgreSQL"]

        async def is_back() -> bool:
            return (await anyone.get("/explore")).status_code == 200

        assert await until(is_back, 10, "pages") < 10
    assert await town.site.until_ready(10) < 10
    assert (await town.person.post("gif")).outcome == "ok"
    await until_quiet(town.site, 60)
    assert (await judge(town.site, town.history)).problems == {}
