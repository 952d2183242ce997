"""Every route that writes, and every read that is dear, is limited: one request more than the burst is refused."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from litestar.routes import HTTPRoute
from tests.front_door import Site, running_site

from strvsocial.settings import Settings
from strvsocial.web.addresses import address_block
from strvsocial.web.allowances import ALLOWANCES, CONFIRM, SIGN_UP, Allowance, allowance_of
from strvsocial.web.limits import Limits

CONFIRMED = ("POST /settings/email", "POST /settings/password", "POST /settings/delete")


@pytest_asyncio.fixture(scope="module")
async def limited(settings: Settings) -> AsyncIterator[Site]:
    """Limits are on, and no proxy is trusted. Nobody else counts in this part of the Redis server."""
    update = {"rate_limits": True, "redis_url": settings.redis_url.rsplit("/", 1)[0] + "/9"}
    async with running_site(settings.model_copy(update=update)) as site:
        await site.app.state.limits.redis.flushdb()
        yield site


def _routes(site: Site) -> list[tuple[str, str]]:
    routes = [route for route in site.app.routes if isinstance(route, HTTPRoute)]
    return [
        (str(method), route.path_format or "/")
        for route in routes
        for handler in route.route_handlers
        for method in handler.http_methods
    ]


def _address(site: Site, path: str) -> str:
    """An address of the route, of something that does not exist."""
    (route,) = [
        route for route in site.app.routes if isinstance(route, HTTPRoute) and (route.path_format or "/") == path
    ]
    parts = [
        part if isinstance(part, str) else "1" if part.type is int else "nothing" for part in route.path_components
    ]
    return "/" + "/".join(parts)


async def _use_up(site: Site, allowance: Allowance, who: str) -> None:
    """Leaves one of the burst."""
    limits: Limits = site.app.state.limits
    await limits.forget(f"{allowance.name}:{who}")
    assert (
        await limits.charge(f"{allowance.name}:{who}", allowance.interval, allowance.burst, count=allowance.burst - 1)
        == 0
    )


async def test_the_table_names_routes_that_exist_and_leaves_no_writing_one_out(limited: Site) -> None:
    routes = _routes(limited)
    assert set(ALLOWANCES) <= {f"{method} {path}" for method, path in routes}
    unlimited = [
        path for method, path in routes if method not in ("GET", "HEAD", "OPTIONS") and not allowance_of(method, path)
    ]
    assert unlimited == []


async def test_one_request_more_than_the_burst_is_refused_on_every_limited_route(limited: Site) -> None:
    routes = [(method, path) for method, path in _routes(limited) if allowance_of(method, path)]
    assert len(routes) > 40
    limits: Limits = limited.app.state.limits
    for method, path in routes:
        allowance = allowance_of(method, path)
        assert allowance is not None
        alice = await limited.member("alice")
        await _use_up(limited, allowance, f"user-{alice.id}")
        client = alice.client if path.startswith(("/api/", "/media/", "/events")) else alice.browser
        if path != "/events":  # A stream that is let in never ends.
            last = await client.request(method, _address(limited, path))
            assert last.status_code != 429, f"{method} {path} {last.text}"
        if path in ("/api/v1/tokens/current", "/logout"):  # It has ended what we came with; here counts what is left.
            continue
        if allowance.interval < 1:  # Some are free again by the time that we ask.
            key = f"{allowance.name}:user-{alice.id}"
            await limits.charge(key, allowance.interval, 2 * allowance.burst, count=allowance.burst // 2)
        answer = await client.request(
            method, _address(limited, path), headers={"X-Forwarded-For": f"192.0.2.{secrets.randbelow(250)}"}
        )
        assert answer.status_code == 429, f"{method} {path} {answer.status_code}"
        assert 1 <= int(answer.headers["retry-after"]) <= 60, f"{method} {path}"


async def test_addresses_count_for_who_is_not_signed_in_whatever_they_claim(limited: Site) -> None:
    allowance = ALLOWANCES["GET /search"]
    await _use_up(limited, allowance, "127.0.0.1")
    statuses = [
        (await limited.anonymous.get("/search?q=sea", headers={"X-Forwarded-For": f"2001:db8:{n}::1"})).status_code
        for n in range(3)
    ]
    assert statuses[0] == 200
    assert 429 in statuses[1:]  # On a busy machine the allowance grows again meanwhile.
    alice = await limited.member("alice")
    assert (await alice.browser.get("/search?q=sea")).status_code == 200


async def test_behind_a_trusted_proxy_its_word_counts_and_not_the_clients(settings: Settings) -> None:
    update = {"rate_limits": True, "trusted_proxies": "127.0.0.1"}
    async with running_site(settings.model_copy(update=update)) as site:
        block = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
        allowance = ALLOWANCES["GET /search"]
        await _use_up(site, allowance, address_block(f"{block}::1"))
        statuses = [
            (
                await site.anonymous.get("/search?q=sea", headers={"X-Forwarded-For": f"9.9.9.{n}, {block}::{n + 1}"})
            ).status_code
            for n in range(3)
        ]
        assert statuses[0] == 200
        assert 429 in statuses[1:]
        other = await site.anonymous.get("/search?q=sea", headers={"X-Forwarded-For": f"{block}::1, 198.51.100.7"})
        assert other.status_code == 200


async def test_a_page_and_its_twin_in_the_api_count_together(limited: Site) -> None:
    alice, bob = await limited.member("alice"), await limited.member("bob")
    await _use_up(limited, ALLOWANCES["POST /u/{username}/follow"], f"user-{alice.id}")
    assert (await alice.browser.post(f"/u/{bob.username}/follow")).status_code in (200, 303)
    assert (await alice.api("PUT", f"/users/{bob.username}/follow")).status_code == 429


@pytest.mark.parametrize("route", CONFIRMED)
async def test_a_password_is_not_guessed_with_a_stolen_session(limited: Site, route: str) -> None:
    alice = await limited.member("alice")
    await _use_up(limited, CONFIRM, f"user-{alice.id}")
    form = {"password": "not the one", "current_password": "not the one", "new_password": "another one here",
            "email": "new@example.org"}  # fmt: skip
    method, path = route.split()
    statuses = [(await alice.browser.request(method, path, data=form)).status_code for _ in range(2)]
    assert statuses[0] != 429
    assert statuses[1] == 429


async def test_sign_ups_are_limited_by_address(limited: Site) -> None:
    await _use_up(limited, SIGN_UP, "127.0.0.1")
    body = {"username": "", "email": "", "password": ""}
    statuses = [(await limited.anonymous.post("/api/v1/accounts", json=body)).status_code for _ in range(2)]
    assert statuses == [422, 429]


async def test_a_refusal_comes_as_a_page_a_fragment_and_json(limited: Site) -> None:
    alice = await limited.member("alice")
    await _use_up(limited, ALLOWANCES["GET /search"], f"user-{alice.id}")
    await alice.browser.get("/search?q=sea")
    page = await alice.browser.get("/search?q=sea", headers={"Accept": "text/html"})
    fragment = await alice.browser.get("/search?q=sea", headers={"HX-Request": "true"})
    as_json = await alice.api("GET", "/search?q=sea")
    for answer in (page, fragment, as_json):
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
    assert "Try again in 1 second." in page.text
    assert "</html>" in page.text
    assert "Try again in 1 second." in fragment.text
    assert "</html>" not in fragment.text
    assert as_json.json()["error"]["code"] == "too_many_requests"
