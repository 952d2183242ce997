"""Too many tries are refused, by account and by address, with Redis and without."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from litestar.types import HTTPScope
from tests.front_door import PASSWORD, Site, running_site

from strvsocial.settings import Settings
from strvsocial.web.addresses import address_block, client_address
from strvsocial.web.limits import Limits


@pytest_asyncio.fixture(scope="module")
async def limited(settings: Settings) -> AsyncIterator[Site]:
    """A site with limits, behind a proxy at 127.0.0.1."""
    update = {"rate_limits": True, "trusted_proxies": "127.0.0.1/32"}
    async with running_site(settings.model_copy(update=update)) as site:
        yield site


def _from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def _an_address() -> str:
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


async def test_guessing_one_accounts_password_ends_after_ten_tries_from_anywhere(limited: Site) -> None:
    alice = await limited.member("alice")
    wrong = {"email": alice.email, "password": "not the one"}
    answers = [
        await limited.anonymous.post("/api/v1/tokens", json=wrong, headers=_from(_an_address())) for _ in range(12)
    ]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 90
    assert answers[-1].json()["error"]["code"] == "too_many_requests"


async def test_one_address_cannot_try_many_accounts(limited: Site) -> None:
    here = _an_address()
    block = here.removesuffix("::1")
    statuses = []
    for n in range(33):
        body = {"email": f"nobody{n}@example.org", "password": "not the one"}
        answer = await limited.anonymous.post("/api/v1/tokens", json=body, headers=_from(f"{block}:{n + 1:x}::9"))
        statuses.append(answer.status_code)
    assert statuses == [401] * 30 + [429] * 3


async def test_signing_in_rightly_is_never_too_much(limited: Site) -> None:
    alice = await limited.member("alice")
    login = {"email": alice.email, "password": PASSWORD}
    here = _from(_an_address())
    answers = [await limited.anonymous.post("/api/v1/tokens", json=login, headers=here) for _ in range(14)]
    assert {answer.status_code for answer in answers} == {201}


async def test_without_redis_logins_stay_limited_and_the_rest_works(settings: Settings) -> None:
    update = {"rate_limits": True, "redis_url": "redis://127.0.0.1:1/0"}
    async with running_site(settings.model_copy(update=update)) as site:
        alice = await site.member("alice")
        wrong = {"email": alice.email, "password": "not the one"}
        statuses = [(await alice.client.post("/api/v1/tokens", json=wrong)).status_code for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        assert (await alice.api("GET", "/me")).status_code == 200
        ready = await site.anonymous.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["parts"]["database"] == "ok"
        assert ready.json()["parts"]["redis"] == "ConnectionError"


async def test_the_algorithm_lets_a_burst_pass_and_then_one_each_interval(settings: Settings) -> None:
    limits = Limits(settings.redis_url)
    key = secrets.token_hex(8)
    waits = await asyncio.gather(*(limits.charge(key, 0.2, 5) for _ in range(8)))
    assert sorted(waits)[:5] == [0] * 5
    assert all(0 < wait <= 0.2 for wait in sorted(waits)[5:])
    started = time.monotonic()
    while await limits.charge(key, 0.2, 5):
        await asyncio.sleep(0.02)
    assert time.monotonic() - started < 0.5
    await limits.forget(key)
    assert await limits.charge(key, 0.2, 5) == 0
    await limits.aclose()


def _scope(peer: str, *forwarded: str) -> HTTPScope:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 1), "headers": headers}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        ("9.9.9.9", ("1.1.1.1",), "", "9.9.9.9"),
        ("9.9.9.9", ("1.1.1.1",), "10.0.0.0/8", "9.9.9.9"),
        ("10.0.0.1", ("1.1.1.1",), "10.0.0.0/8", "1.1.1.1"),
        ("10.0.0.1", ("6.6.6.6, 1.1.1.1, 10.0.0.2",), "10.0.0.0/8", "1.1.1.1"),
        ("10.0.0.1", ("6.6.6.6", "1.1.1.1"), "10.0.0.0/8", "1.1.1.1"),
        ("10.0.0.1", ("evil\n",), "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1", (), "10.0.0.0/8", "10.0.0.1"),
        ("::1", ("2001:db8::5",), "::1", "2001:db8::5"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_comes_from(
    peer: str, forwarded: tuple[str, ...], trusted: str, found: str
) -> None:
    assert client_address(_scope(peer, *forwarded), trusted) == found


def test_a_customer_of_ipv6_counts_as_one() -> None:
    assert address_block("2001:db8:1:2:3::4") == address_block("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert address_block("192.0.2.7") == "192.0.2.7"
    assert address_block("") == "unknown"


async def test_the_event_loop_stays_free_during_twenty_logins(site: Site, client: httpx.AsyncClient) -> None:
    alice = await site.cast("alice")
    longest = 0.0

    async def feel() -> None:
        """Measures how long the loop's thread works in one go; other threads and processes do not count."""
        nonlocal longest
        while True:
            started = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - started)

    login = {"email": alice.email, "password": PASSWORD}
    await client.post("/api/v1/tokens", json=login)
    feeling = asyncio.create_task(feel())
    answers = await asyncio.gather(*(client.post("/api/v1/tokens", json=login) for _ in range(20)))
    feeling.cancel()
    assert {answer.status_code for answer in answers} == {201}
    assert longest < 0.05
