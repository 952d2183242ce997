"""Signing in by the forms: a new session each time, a cookie that only the browser has, and sessions that end."""

from __future__ import annotations

import secrets

import httpx
import pytest
from sqlalchemy import text
from tests.front_door import PASSWORD, Site, running_site

from strvsocial.settings import Settings
from strvsocial.users import sessions

FORM = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


async def _sign_in(client: httpx.AsyncClient, email: str, **more: str) -> httpx.Response:
    return await client.post("/login", data={"email": email, "password": PASSWORD, **more}, headers=FORM)


def _cookie(answer: httpx.Response) -> tuple[str, str, set[str]]:
    """Name, value and attributes of the one cookie that an answer sets."""
    first, *attributes = answer.headers["set-cookie"].split("; ")
    name, _, value = first.partition("=")
    return name, value, {attribute.lower() for attribute in attributes}


async def test_each_login_gets_a_new_session_and_ends_the_one_before(site: Site, client: httpx.AsyncClient) -> None:
    alice = await site.member("alice")
    first = await _sign_in(client, alice.email)
    assert first.status_code == 303
    name, token, attributes = _cookie(first)
    assert name == "strv"
    assert attributes >= {"httponly", "samesite=lax", "path=/"}
    again = await _sign_in(client, alice.email)
    assert _cookie(again)[1] != token
    async with site.client(cookies={"strv": token}) as thief:
        assert (await thief.get("/api/v1/me")).status_code == 401
    assert (await client.get("/api/v1/me")).json()["username"] == alice.username


async def test_a_chosen_session_id_is_never_taken_over(site: Site) -> None:
    alice = await site.member("alice")
    chosen = secrets.token_urlsafe(32)
    async with site.client(cookies={"strv": chosen}) as victim, site.client(cookies={"strv": chosen}) as attacker:
        answer = await _sign_in(victim, alice.email)
        assert _cookie(answer)[1] != chosen
        assert (await attacker.get("/api/v1/me")).status_code == 401


async def test_logout_ends_the_session_on_the_server(site: Site, client: httpx.AsyncClient) -> None:
    alice = await site.member("alice")
    _, token, _ = _cookie(await _sign_in(client, alice.email))
    out = await client.post("/logout", headers=FORM)
    assert out.status_code == 303
    assert "max-age=0" in _cookie(out)[2]
    async with site.client(cookies={"strv": token}) as kept:
        assert (await kept.get("/api/v1/me")).status_code == 401


async def test_with_https_the_cookie_is_bound_to_the_host(settings: Settings) -> None:
    async with running_site(settings.model_copy(update={"public_url": "https://strv.example"})) as site:
        alice = await site.member("alice")
        async with site.client() as client:
            answer = await _sign_in(client, alice.email)
        name, _, attributes = _cookie(answer)
        assert name == "__Host-strv"
        assert attributes >= {"httponly", "secure", "samesite=lax", "path=/"}
        assert not any(attribute.startswith("domain") for attribute in attributes)
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        own = {"Origin": "https://strv.example"}
        assert (await site.anonymous.post("/api/v1/tokens", json={}, headers=own)).status_code == 422


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)", "/a%0d%0aSet-Cookie:x=y",
               "https://evil.example/", "\t//evil.example", "/\t/evil.example"],
)  # fmt: skip
async def test_login_leads_nowhere_else(site: Site, client: httpx.AsyncClient, target: str) -> None:
    alice = await site.cast("alice")
    answer = await _sign_in(client, alice.email, next=target)
    location = answer.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\", "/\t"))
    assert "set-cookie" not in location.lower() or "%0d" in location.lower()
    assert len(answer.headers.get_list("set-cookie")) == 1


async def test_a_page_that_needs_a_login_leads_there_and_back(client: httpx.AsyncClient) -> None:
    page = await client.get("/settings?tab=1", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/settings%3Ftab%3D1")
    part = await client.get("/settings", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?next=/")


async def test_sessions_are_listed_and_end_one_by_one(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    async with site.database.transaction() as db:
        await sessions.start(db, alice.id, user_agent="Other\r\nBrowser \x1b[31m" + "x" * 500, address="192.0.2.1")
    async with site.database.read() as reader:
        token = next(iter(alice.browser.cookies.jar)).value or ""
        viewer = await sessions.find(reader, token)
        assert viewer is not None
        other, own = await sessions.list_sessions(reader, viewer)
    assert (own.is_current, other.is_current) == (True, False)
    assert other.user_agent.startswith("Other  Browser")
    assert other.user_agent.isprintable()
    assert len(other.user_agent) == 255
    assert other.address == "192.0.2.1"
    of_bob = next(iter(bob.browser.cookies.jar)).value or ""
    async with site.database.read() as reader:
        stranger = await sessions.find(reader, of_bob)
    assert stranger is not None
    with pytest.raises(Exception, match="not yours to see"):
        async with site.database.transaction() as db:
            await sessions.end(db, stranger, other.id)
    async with site.database.transaction() as db:
        await sessions.end(db, viewer, other.id)
    async with site.database.read() as reader:
        assert [view.id for view in await sessions.list_sessions(reader, viewer)] == [own.id]


async def test_an_old_session_is_over_and_a_visit_prolongs_a_live_one(site: Site) -> None:
    alice = await site.member("alice")
    left = text("select extract(day from expires_at - now()) from sessions where user_id = :id")
    age = "update sessions set seen_at = now() - interval '1 hour', expires_at = now() + interval '1 day' where user_id = :id"
    async with site.database.transaction() as db:
        await db.execute(text(age), {"id": alice.id})
    assert (await alice.browser.get("/api/v1/me")).status_code == 200
    async with site.database.read() as reader:
        assert int(await reader.scalar(left, {"id": alice.id}) or 0) >= 29
    async with site.database.transaction() as db:
        await db.execute(text("update sessions set expires_at = now() where user_id = :id"), {"id": alice.id})
    assert (await alice.browser.get("/api/v1/me")).status_code == 401
