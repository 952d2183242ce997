"""More than a process can do: who is refused, how quickly, and that nothing else suffers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
import pytest_asyncio
from litestar import get
from tests.front_door import Member, Site, running

from strvsocial.app import create_app
from strvsocial.settings import Settings
from strvsocial.web.load import LEAST, Load, WaitedTooLong

JSON, PAGE, FRAGMENT = {"Accept": "application/json"}, {"Accept": "text/html"}, {"HX-Request": "true"}


@dataclass
class Crowd:
    """A site whose places are all taken by requests that wait for `done`."""

    site: Site
    load: Load
    alice: Member
    done: asyncio.Event = field(default_factory=asyncio.Event)


@pytest_asyncio.fixture
async def crowd(settings: Settings) -> AsyncIterator[Crowd]:
    done = asyncio.Event()

    @get("/try/wait")
    async def wait() -> str:
        await done.wait()
        return "served"

    app = create_app(settings.model_copy(update={"max_requests": LEAST, "max_streams": 1}))
    app.register(wait)
    async with running(app):
        site = Site(app, app.state.settings, app.state.database)
        crowd = Crowd(site, app.state.load, await site.member("alice"), done)
        client = site.anonymous
        taking = [asyncio.create_task(client.get("/try/wait")) for _ in range(LEAST)]
        while crowd.load.running < LEAST:
            await asyncio.sleep(0.01)
        yield crowd
        done.set()
        assert {(await task).text for task in taking} == {"served"}
        for client in site.clients:
            await client.aclose()


def _with_wait(crowd: Crowd, seconds: float) -> None:
    crowd.load.mean_seconds = seconds * LEAST


async def test_searches_of_strangers_are_refused_first_and_writers_last(crowd: Crowd) -> None:
    anyone = crowd.site.anonymous
    asked: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "search": lambda: anyone.get("/search?q=sea"),
        "page": lambda: anyone.get("/explore"),
        "own page": lambda: crowd.alice.browser.get("/explore"),
        "post": lambda: crowd.alice.api("POST", "/posts", json={"title": "Written"}),
    }
    for wait, refused in ((0.3, 1), (0.6, 2), (1.2, 3), (1.8, 4)):
        _with_wait(crowd, wait)
        tasks = []
        for at, ask in enumerate(asked.values()):
            task = asyncio.ensure_future(ask())
            if at < refused:
                async with asyncio.timeout(1):
                    assert (await task).status_code == 503
            else:
                tasks.append(task)
                await asyncio.sleep(0.02)
                assert not task.done()
                break  # The line is longer now, which would refuse the next as well.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not crowd.load.line


async def test_whoever_waits_is_served_once_a_place_is_free(crowd: Crowd) -> None:
    _with_wait(crowd, 0.1)
    waiting = asyncio.create_task(crowd.alice.api("POST", "/posts", json={"title": "After a while"}))
    while not crowd.load.line:
        await asyncio.sleep(0.01)
    crowd.done.set()
    assert (await waiting).status_code == 201
    assert (crowd.load.running, len(crowd.load.line)) == (0, 0)


async def test_nobody_waits_for_ever(crowd: Crowd) -> None:
    _with_wait(crowd, 0.1)
    began = time.monotonic()
    answer = await crowd.alice.api("GET", "/me")
    assert answer.status_code == 503
    assert 1.9 < time.monotonic() - began < 3


async def test_a_refusal_is_quick_says_when_to_come_back_and_comes_in_every_form(crowd: Crowd) -> None:
    _with_wait(crowd, 10)
    anyone = crowd.site.anonymous
    await anyone.get("/explore", headers=PAGE)
    times = []
    for headers, path, kind in (
        (JSON, "/api/v1/feeds/latest", "application/json"),
        (PAGE, "/explore", "text/html"),
        (FRAGMENT, "/explore", "text/html"),
    ):
        began = time.thread_time()
        answer = await anyone.get(path, headers=headers)
        times.append(time.thread_time() - began)
        seconds = int(answer.headers["retry-after"])
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (503, kind)
        assert 1 <= seconds <= 10
        assert "content-security-policy" in answer.headers
        assert answer.headers["x-request-id"]
        if kind == "application/json":
            assert answer.json()["error"]["code"] == "busy"
        else:
            assert ("</html>" in answer.text) == (headers == PAGE)
            assert f"in {seconds} seconds" in answer.text
    assert max(times) < 0.05
    form = await crowd.alice.browser.post("/theme", data={"theme": "dark"}, headers=PAGE)
    assert (form.status_code, "http-equiv" in form.text) == (503, False)


async def test_health_metrics_and_files_are_never_refused(crowd: Crowd) -> None:
    _with_wait(crowd, 10)
    anyone = crowd.site.anonymous
    assert (await anyone.get("/explore")).status_code == 503
    for path in ("/livez", "/readyz", "/metrics", "/static/manifest.webmanifest"):
        assert (await anyone.get(path)).status_code == 200, path
    figures = (await anyone.get("/metrics")).text
    assert 'strv_shed_total{reason="anonymous"} 1.0' in figures
    assert f'strv_load{{state="running"}} {LEAST}.0' in figures


async def test_a_slow_sender_takes_no_place(crowd: Crowd) -> None:
    crowd.done.set()
    await asyncio.sleep(0)
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"title": '
        await sent.wait()
        yield b'"Slowly"}'

    # httpx' ASGI transport hands the pieces on as they come, as a socket does.
    headers = {"Content-Type": "application/json"}
    slow = [asyncio.create_task(crowd.alice.api("POST", "/posts", content=body(), headers=headers)) for _ in range(8)]
    await asyncio.sleep(0.05)
    assert crowd.load.running == 0
    assert (await crowd.site.anonymous.get("/explore")).status_code == 200
    sent.set()
    assert {(await task).status_code for task in slow} == {201}


async def test_streams_beyond_the_most_are_told_when_to_come_back(crowd: Crowd) -> None:
    crowd.load.streams = 1
    answer = await crowd.alice.client.get("/events")
    crowd.load.streams = 0
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 10
    assert answer.json()["error"]["code"] == "busy"


async def test_there_is_less_room_when_the_loop_is_late_and_more_when_it_is_wanted() -> None:
    load = Load(20)
    for _ in range(30):
        load.adjust(0.2)
    assert load.room == LEAST
    for _ in range(30):
        load.adjust(0.0)
    assert load.room == LEAST, "nobody wanted more"
    for _ in range(LEAST):
        await load.enter()
    for _ in range(100):
        load.adjust(0.0)
        while load.running < int(load.room):
            await load.enter()
    assert load.room == load.running == 20
    load.adjust(0.0, pool_is_full=True)
    with pytest.raises(WaitedTooLong):
        await load.enter()
    for _ in range(20):
        load.leave(0.01)
    assert (load.running, load.expected_wait()) == (0, 0.0)


async def test_the_errors_of_one_request_give_its_place_back(site: Site) -> None:
    load: Load = site.app.state.load
    answers = await asyncio.gather(*(site.anonymous.get("/p/nothing-like-it") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {404}
    assert load.running == 0
