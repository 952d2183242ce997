"""Accounts, tokens and one's own profile, through the API."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from tests.front_door import PASSWORD, Site

from strvsocial.users import sessions
from strvsocial.users.passwords import CONTEXT


def _new(name: str = "carol") -> dict[str, str]:
    username = f"{name}.{secrets.token_hex(4)}"
    return {"username": username, "email": f"{username}@example.org", "password": PASSWORD}


async def _count(site: Site, statement: str, **values: Any) -> int:
    async with site.database.read() as reader:
        return int(await reader.scalar(text(statement), values) or 0)


async def test_sign_up_sign_in_and_out(client: httpx.AsyncClient) -> None:
    new = _new()
    made = await client.post("/api/v1/accounts", json=new)
    assert made.status_code == 201
    user = made.json()
    assert user["username"] == user["display_name"] == new["username"]
    assert user["counts"] == {"posts": 0, "followers": 0, "following": 0}
    assert user["url"] == f"/u/{new['username']}"
    assert user["avatar_url"].startswith("/static/")
    assert "email" not in user
    signed_in = await client.post("/api/v1/tokens", json={"email": new["email"].upper(), "password": new["password"]})
    assert signed_in.status_code == 201
    bearer = {"Authorization": f"Bearer {signed_in.json()['token']}"}
    me = await client.get("/api/v1/me", headers=bearer)
    assert (me.status_code, me.json()["email"], me.json()["id"]) == (200, new["email"], user["id"])
    assert (await client.delete("/api/v1/tokens/current", headers=bearer)).status_code == 204
    gone = await client.get("/api/v1/me", headers=bearer)
    assert (gone.status_code, gone.json()["error"]["code"]) == (401, "wrong_token")
    assert gone.headers["www-authenticate"] == "Bearer"


async def test_the_hash_is_argon2id_and_outdated_ones_are_renewed(client: httpx.AsyncClient, site: Site) -> None:
    new = _new()
    await client.post("/api/v1/accounts", json=new)

    async def stored() -> str:
        async with site.database.read() as reader:
            return str(
                await reader.scalar(
                    text("select password_hash from users where email = :email"), {"email": new["email"]}
                )
            )

    assert (await stored()).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    weak = CONTEXT.using(argon2__memory_cost=1024, argon2__time_cost=1).hash(PASSWORD)
    async with site.database.transaction() as db:
        await db.execute(text("update users set password_hash = :h where email = :e"), {"h": weak, "e": new["email"]})
    login = {"email": new["email"], "password": PASSWORD}
    assert (await client.post("/api/v1/tokens", json=login)).status_code == 201
    assert (await stored()).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_every_bad_field_of_a_sign_up_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/accounts", json={"username": "a b", "email": "nobody", "password": "password1"})
    assert answer.status_code == 422
    assert set(answer.json()["error"]["fields"]) == {"username", "email", "password"}
    shapes = await client.post("/api/v1/accounts", json={"username": 7, "password": None, "role": "admin"})
    assert shapes.status_code == 422
    assert set(shapes.json()["error"]["fields"]) == {"username", "email", "password", "role"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "x" * 100_000),
        ("username", "ann\u202eevil"),
        ("username", "ann\u0000"),
        ("username", "admin"),
        ("email", "a@b\u0000c.org"),
        ("email", "a b@example.org"),
        ("email", "x" * 100_000 + "@example.org"),
        ("email", ["a@example.org"]),
        ("email", "a@example.org\r\nBcc: b@example.org"),
        ("password", "short"),
        ("password", "x" * 100_000),
        ("password", "iloveyou1"),
        ("password", "aaaaaaaaaaaa"),
        ("password", "pass\u0000word-long"),
    ],
)
async def test_hostile_sign_ups_are_bad_input(client: httpx.AsyncClient, field: str, value: Any) -> None:
    answer = await client.post("/api/v1/accounts", json={**_new(), field: value})
    assert answer.status_code == 422
    assert set(answer.json()["error"]["fields"]) == {field}


async def test_taken_names_lookalikes_and_addresses_are_conflicts(client: httpx.AsyncClient) -> None:
    first = _new("lilo")
    assert (await client.post("/api/v1/accounts", json=first)).status_code == 201
    for change, fields in (
        ({"email": "other" + first["email"], "username": first["username"].upper()}, {"username"}),
        ({"email": "other" + first["email"], "username": first["username"].replace("l", "1")}, {"username"}),
        ({"email": first["email"].upper(), "username": "x" + first["username"]}, {"email"}),
        ({}, {"username", "email"}),
    ):
        answer = await client.post("/api/v1/accounts", json={**first, **change})
        assert (answer.status_code, set(answer.json()["error"]["fields"])) == (409, fields)


async def test_of_sign_ups_that_race_one_wins(client: httpx.AsyncClient, site: Site) -> None:
    new = _new()
    answers = await asyncio.gather(*(client.post("/api/v1/accounts", json=new) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert await _count(site, "select count(*) from users where email = :email", email=new["email"]) == 1


async def test_wrong_passwords_and_unknown_addresses_get_the_same_answer(client: httpx.AsyncClient, site: Site) -> None:
    alice = await site.cast("alice")
    wrong = await client.post("/api/v1/tokens", json={"email": alice.email, "password": "not the one"})
    unknown = await client.post("/api/v1/tokens", json={"email": "nobody@example.org", "password": "not the one"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    huge = await client.post("/api/v1/tokens", json={"email": alice.email, "password": "x" * 500_000})
    assert huge.status_code == 422


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \u00ff", "bearer " + "x" * 5000])
async def test_wrong_tokens_are_401_even_where_reading_is_public(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get("/api/v1/users", headers={b"Authorization": value.encode("latin-1")})
    assert answer.status_code == (200 if value == "" else 401)


async def test_profile_changes_are_partial_and_checked(site: Site) -> None:
    alice = await site.member("alice")
    changed = await alice.api("PATCH", "/me", json={"display_name": " Alice  B ", "bio": "x" * 255, "theme": "dark"})
    assert changed.status_code == 200
    me = (await alice.api("GET", "/me")).json()
    assert (me["display_name"], me["bio"], me["theme"], me["username"]) == (
        "Alice B",
        "x" * 255,
        "dark",
        alice.username,
    )
    assert me["updated_at"] > me["created_at"]
    assert (await alice.api("PATCH", "/me", json={"bio": ""})).json()["bio"] == ""
    assert (await alice.api("PATCH", "/me", json={})).json()["display_name"] == "Alice B"
    bad = await alice.api(
        "PATCH",
        "/me",
        json={"bio": "x" * 256, "display_name": "a\u202eb", "username": "no!", "role": "admin", "id": 1, "email": "x"},
    )
    assert bad.status_code == 422
    assert set(bad.json()["error"]["fields"]) == {"role", "id", "email"}
    bad = await alice.api("PATCH", "/me", json={"bio": "x" * 256, "display_name": "a\u202eb", "username": "no!"})
    assert set(bad.json()["error"]["fields"]) == {"bio", "display_name", "username"}
    assert (await alice.api("PATCH", "/me", json={"theme": "neon"})).status_code == 422
    assert (await alice.api("GET", "/me")).json()["role"] == "member"


async def test_a_name_can_change_its_case_and_not_become_anothers(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    upper = await alice.api("PATCH", "/me", json={"username": alice.username.upper()})
    assert upper.json()["username"] == alice.username.upper()
    taken = await alice.api("PATCH", "/me", json={"username": bob.username})
    assert (taken.status_code, set(taken.json()["error"]["fields"])) == (409, {"username"})


async def test_a_new_password_ends_the_other_sessions_and_tokens(client: httpx.AsyncClient, site: Site) -> None:
    alice = await site.member("alice")
    login = {"email": alice.email, "password": PASSWORD}
    other = (await client.post("/api/v1/tokens", json=login)).json()["token"]
    wrong = await alice.api("PUT", "/me/password", json={"password": "wrong", "new_password": "short"})
    assert (wrong.status_code, set(wrong.json()["error"]["fields"])) == (422, {"password", "new_password"})
    change = {"password": PASSWORD, "new_password": "a much better one"}
    assert (await alice.api("PUT", "/me/password", json=change)).status_code == 204
    assert (await alice.api("GET", "/me")).status_code == 200
    assert (await client.get("/api/v1/me", headers={"Authorization": f"Bearer {other}"})).status_code == 401
    assert (await alice.browser.get("/api/v1/me")).status_code == 401
    assert (await client.post("/api/v1/tokens", json=login)).status_code == 401
    login["password"] = change["new_password"]
    assert (await client.post("/api/v1/tokens", json=login)).status_code == 201


async def test_the_address_changes_only_with_the_password(client: httpx.AsyncClient, site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    address = f"new.{alice.email}"
    for body, status in (
        ({"password": "wrong", "email": address}, 422),
        ({"password": PASSWORD, "email": "no"}, 422),
        ({"password": PASSWORD, "email": bob.email}, 409),
        ({"password": PASSWORD, "email": address}, 204),
    ):
        assert (await alice.api("PUT", "/me/email", json=body)).status_code == status
    assert (await client.post("/api/v1/tokens", json={"email": address, "password": PASSWORD})).status_code == 201


async def test_a_deleted_account_is_gone_at_once_and_its_name_is_free(client: httpx.AsyncClient, site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    await bob.api("PUT", f"/users/{alice.username}/follow")
    assert (await alice.api("DELETE", "/me", json={"password": "wrong"})).status_code == 422
    assert (await alice.api("DELETE", "/me", json={"password": PASSWORD})).status_code == 204
    assert (await alice.api("GET", "/me")).status_code == 401
    assert (await alice.browser.get("/api/v1/me")).status_code == 401
    assert (await client.get(f"/api/v1/users/{alice.username}")).status_code == 404
    assert (await bob.api("GET", f"/users/{bob.username}")).json()["counts"]["following"] == 0
    again = {"username": alice.username, "email": alice.email, "password": PASSWORD}
    assert (await client.post("/api/v1/accounts", json=again)).status_code == 201
    wanted = "select count(*) from jobs where kind = 'content.delete_account' and (payload->>'user_id')::bigint = :id"
    assert await _count(site, wanted, id=alice.id) == 1


async def test_cookies_sign_in_and_only_hashes_are_kept(site: Site) -> None:
    alice = await site.member("alice")
    assert (await alice.browser.get("/api/v1/me")).json()["username"] == alice.username
    token = next(iter(alice.browser.cookies.jar)).value or ""
    raw = "select count(*) from sessions where encode(token_hash, 'escape') like :t or user_agent like :t"
    assert await _count(site, raw, t=f"%{token[:12]}%") == 0
    async with site.database.transaction() as db:
        fresh = await sessions.start(db, alice.id, user_agent="a\nb" * 200, address="::1")
    assert fresh != token
    async with site.client(cookies={"strv": "chosen-by-the-attacker"}) as fixated:
        assert (await fixated.get("/api/v1/me")).status_code == 401
        assert "set-cookie" not in (await fixated.get("/api/v1/users")).headers


async def test_cookies_do_nothing_for_other_sites(site: Site) -> None:
    alice = await site.member("alice")
    answer = await alice.browser.patch("/api/v1/me", json={"bio": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")
    async with site.client(headers={"Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {alice.token}"}) as app:
        assert (await app.patch("/api/v1/me", json={"bio": "by token"})).status_code == 200


WITHOUT_LOGIN = [
    ("GET", "/me"), ("PATCH", "/me"), ("DELETE", "/me"), ("PUT", "/me/password"), ("PUT", "/me/email"),
    ("DELETE", "/tokens/current"), ("PUT", "/users/x/follow"), ("DELETE", "/users/x/follow"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), WITHOUT_LOGIN)
async def test_what_needs_a_login_says_so(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, f"/api/v1{path}", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")
