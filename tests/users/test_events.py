"""News reach the viewer's open pages, and nobody else's; streams end with the session and with the process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.front_door import Member, Site, serving

from strvsocial.live import News, announce
from strvsocial.settings import Settings
from strvsocial.users import accounts, tokens
from strvsocial.users.events import as_event


@asynccontextmanager
async def _listening(
    address: str, member: Member, *, last: str = "", ids: list[str] | None = None
) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of a stream of events, from its welcome on."""
    headers = {"Authorization": f"Bearer {member.token}", **({"Last-Event-ID": last} if last else {})}
    async with (
        httpx.AsyncClient(base_url=address, timeout=httpx.Timeout(5, read=30)) as client,
        client.stream("GET", "/events", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 3000"
        welcomed = await anext(lines)
        assert welcomed.startswith("id: ")
        if ids is not None:
            ids.append(welcomed.removeprefix("id: "))
        yield lines


async def _next_event(lines: AsyncIterator[str]) -> tuple[str, Any]:
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith("event: "):
                return line.removeprefix("event: "), json.loads(await _data(lines))
    raise AssertionError("the stream ended")


async def _data(lines: AsyncIterator[str]) -> str:
    assert (await anext(lines)).startswith("id: ")
    return (await anext(lines)).removeprefix("data: ")


async def _until_the_end(lines: AsyncIterator[str]) -> None:
    async for _ in lines:
        pass


async def test_news_reach_only_those_whom_they_concern(site: Site, web_address: str) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    async with _listening(web_address, alice) as of_alice, _listening(web_address, bob) as of_bob:
        assert (await bob.api("PUT", f"/users/{alice.username}/follow")).status_code == 204
        async with site.database.transaction() as db:
            await announce(db, "post.ready", bob.id, {"id": "abc", "url": "/p/abc"})
        assert await _next_event(of_alice) == ("notification", {"kind": "follow", "actor": bob.username})
        assert await _next_event(of_bob) == ("post.ready", {"id": "abc", "url": "/p/abc"})


async def test_a_stream_ends_within_seconds_of_its_token_or_account(site: Site, web_address: str) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    async with _listening(web_address, alice) as of_alice, _listening(web_address, bob) as of_bob:
        started = time.monotonic()
        async with site.database.transaction() as db:
            await accounts.suspend(db, alice.username)
            await tokens.end_others(db, bob.id)
        async with asyncio.timeout(8):
            await asyncio.gather(_until_the_end(of_alice), _until_the_end(of_bob))
        assert time.monotonic() - started < 5


async def test_a_page_that_comes_back_is_told_what_it_missed_even_by_another_process(
    site: Site, settings: Settings, web_address: str
) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")

    async def tell(member: Member, number: int) -> None:
        async with site.database.transaction() as db:
            await announce(db, "post.ready", member.id, {"id": str(number)})

    with serving(settings) as (other_address, _):
        ids: list[str] = []
        async with _listening(web_address, alice) as lines:
            await tell(alice, 0)
            assert (await _next_event(lines))[1] == {"id": "0"}
        async with _listening(web_address, alice, ids=ids):
            pass
        for number, member in ((1, alice), (2, bob), (3, alice)):
            await tell(member, number)
        for address in (web_address, other_address):
            async with _listening(address, alice, last=ids[0]) as lines:
                assert [(await _next_event(lines))[1] for _ in range(2)] == [{"id": "1"}, {"id": "3"}]
        async with _listening(web_address, alice) as lines:
            await tell(alice, 4)
            assert (await _next_event(lines))[1] == {"id": "4"}, "who is new is told nothing of before"


async def test_events_need_a_login_and_say_so_to_machines(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "strv=wrong", "Accept": "text/event-stream"}):
        answer = await client.get("/events", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["status"] == 401


async def test_the_process_ends_promptly_with_streams_open_and_holds_no_connections(
    site: Site, settings: Settings
) -> None:
    alice = await site.member("alice")
    with serving(settings, STRV_DATABASE_POOL_SIZE="2") as (address, process):
        async with _listening(address, alice) as one, _listening(address, alice), _listening(address, alice):
            async with asyncio.timeout(5), httpx.AsyncClient(base_url=address) as client:
                people = await asyncio.gather(*(client.get("/api/v1/users?limit=1") for _ in range(5)))
                assert {answer.status_code for answer in people} == {200}
                figures = (await client.get("/metrics")).text
                assert "strv_event_streams 3.0" in figures
                assert 'strv_database_connections{state="in_use"} 0.0' in figures
            started = time.monotonic()
            process.terminate()
            await _until_the_end(one)
            await asyncio.to_thread(process.wait, 10)
            assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", ["a\nb", "\r\n\r\nevent: forged", "\u2028"])
def test_nobody_can_forge_an_event(text: str) -> None:
    event = as_event(News("notification", 1, {"text": text}))
    assert event.count("\n") == 4
    assert "\r" not in event
