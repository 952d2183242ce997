"""Other people: profiles, following, finding them."""

from __future__ import annotations

import secrets

import httpx
import pytest
from tests.front_door import Member, Site


async def _all(member: Member, path: str, limit: int) -> list[str]:
    names: list[str] = []
    cursor = None
    while True:
        joint = "&" if "?" in path else "?"
        address = f"{path}{joint}limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        answer = (await member.api("GET", address)).json()
        names += [item["username"] for item in answer["items"]]
        assert len(answer["items"]) <= limit
        cursor = answer["next"]
        if cursor is None:
            return names


async def test_following_shows_on_both_sides(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    for _ in range(2):
        assert (await alice.api("PUT", f"/users/{bob.username.upper()}/follow")).status_code == 204
    seen = (await alice.api("GET", f"/users/{bob.username}")).json()
    assert (seen["counts"]["followers"], seen["viewer"]) == (1, {"following": True, "is_self": False})
    assert [
        user["username"] for user in (await bob.api("GET", f"/users/{bob.username}/followers")).json()["items"]
    ] == [alice.username]
    assert await _all(bob, f"/users/{alice.username}/following", 5) == [bob.username]
    assert (await alice.api("DELETE", f"/users/{bob.username}/follow")).status_code == 204
    assert (await alice.api("DELETE", f"/users/{bob.username}/follow")).status_code == 204
    assert (await alice.api("GET", f"/users/{bob.username}")).json()["counts"]["followers"] == 0


async def test_nobody_follows_themselves_or_nobody(site: Site) -> None:
    alice = await site.member("alice")
    assert (await alice.api("PUT", f"/users/{alice.username}/follow")).status_code == 422
    assert (await alice.api("PUT", "/users/nobody-at-all/follow")).status_code == 404
    assert (await alice.api("GET", "/users/nobody-at-all/followers")).status_code == 404
    assert (await alice.api("GET", f"/users/{'x' * 3000}")).status_code == 404


async def test_follower_lists_page_without_gaps_or_doubles(site: Site) -> None:
    bob = await site.member("bob")
    fans = [await site.member("fan") for _ in range(5)]
    for fan in fans:
        await fan.api("PUT", f"/users/{bob.username}/follow")
    assert await _all(bob, f"/users/{bob.username}/followers", 2) == [fan.username for fan in reversed(fans)]


async def test_people_are_found_by_name_the_nearest_first(site: Site) -> None:
    stem = "q" + secrets.token_hex(3)
    exact = await site._sign_up(stem)
    others = [await site.member(stem) for _ in range(4)]
    alice = await site.member("alice")
    await others[2].api("PATCH", "/me", json={"display_name": f"Zoë {stem.upper()} 100%_"})
    found = await _all(alice, f"/users?q={stem}", 2)
    assert found[0] == exact.username
    assert set(found) == {exact.username, *(other.username for other in others)}
    assert len(found) == len(set(found))
    assert others[2].username in await _all(alice, "/users?q=100%25_", 20)
    assert await _all(alice, "/users?q=%25%25%25nothing-like-this", 20) == []
    assert exact.username in await _all(alice, f"/users?q=@{stem}", 20)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=%F0%9F%98%80", "cursor=W10", "cursor=WyJhIiwxXQ", "q=" + "x" * 200,
     "cursor=WzEsOTk5OTk5OTk5OTk5OTk5OTk5OTk5OV0"],
)  # fmt: skip
async def test_bad_paging_is_bad_input(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/users?{query}")
    assert answer.status_code == 422
    assert set(answer.json()["error"]["fields"]) == {query.split("=")[0]}


async def test_suspended_people_are_not_there(client: httpx.AsyncClient, site: Site) -> None:
    from strvsocial.users import accounts

    alice, bob = await site.member("alice"), await site.member("bob")
    await alice.api("PUT", f"/users/{bob.username}/follow")
    async with site.database.transaction() as db:
        await accounts.suspend(db, alice.username)
    assert (await client.get(f"/api/v1/users/{alice.username}")).status_code == 404
    assert (await alice.api("GET", "/me")).status_code == 401
    assert (await bob.api("GET", f"/users/{bob.username}/followers")).json()["items"] == []
    found = (await client.get(f"/api/v1/users?q={alice.username}")).json()["items"]
    assert alice.username not in [user["username"] for user in found]
    login = await client.post("/api/v1/tokens", json={"email": alice.email, "password": alice.password})
    assert (login.status_code, login.json()["error"]["code"]) == (401, "suspended")
    async with site.database.transaction() as db:
        await accounts.unsuspend(db, alice.username)
    assert (await client.get(f"/api/v1/users/{alice.username}")).status_code == 200
