"""The routes, through the front door."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from tests.front_door import Member, Site
from tests.vectors import DIM, add_space, make_vectors, put

from strvsocial.content.models import Post
from strvsocial.db import Database
from strvsocial.ids import new_id


async def publish(database: Database, member: Member, title: str, **columns: Any) -> Post:
    post = Post(public_id=new_id(), author_id=member.id, title=title, media_type="text", status="ready", **columns)
    async with database.transaction() as db:
        db.add(post)
    return post


@pytest.fixture
async def space_of_posts(site: Site, database: Database) -> tuple[Member, Member, Post, Post]:
    async with database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired'"))
    alice, bob = await site.member("alice"), await site.member("bob")
    asked, near = await publish(database, alice, "Asked quietly"), await publish(database, bob, "Near <b>it</b>")
    space = await add_space(database)
    await put(database, space, [asked.id, near.id], make_vectors(1, dim=DIM)[[0, 0]])
    index = site.app.state.index
    await asyncio.wait_for(index.until(lambda: index.spaces_of(near.id) == ["text"]), 10)
    return alice, bob, asked, near


async def test_similar_for_you_suggestions_and_search(
    site: Site, space_of_posts: tuple[Member, Member, Post, Post]
) -> None:
    alice, bob, asked, near = space_of_posts
    answer = await site.anonymous.get(f"/api/v1/posts/{asked.public_id}/similar")
    assert answer.status_code == 200
    [item] = answer.json()["items"]
    assert (item["post"]["id"], item["spaces"]) == (near.public_id, ["text"])
    assert item["score"] == pytest.approx(1, abs=0.01)

    first = (await alice.api("GET", "/feeds/for-you")).json()["items"][0]
    assert first["post"]["id"] == near.public_id
    assert first["reason"]["kind"] == "similar_to_own"
    assert first["reason"]["shares"] == {"text": 1.0}

    [suggested] = (await alice.api("GET", "/suggestions/users")).json()["items"]
    assert suggested["user"]["username"] == bob.username
    await alice.api("PUT", f"/users/{bob.username}/follow")
    assert (await alice.api("GET", "/suggestions/users")).json()["items"] == []

    found = (await site.anonymous.get("/api/v1/search", params={"q": "quietly"})).json()["items"]
    assert found[0]["post"]["id"] == asked.public_id
    assert found[0]["highlight"] == "Asked «quietly»"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/posts/nosuchpost/similar", 404),
        ("/feeds/for-you", 401),
        ("/suggestions/users", 401),
        ("/search?q=" + "a" * 201, 422),
        ("/search?q=a%00b", 422),
        ("/search?q=a&media_type=song", 422),
        ("/search?q=a&cursor=zzz", 422),
        ("/search?q=a&limit=0", 422),
        ("/search?q=a&limit=101", 422),
        ("/search", 200),
        ("/search?q=%25", 200),
    ],
)
async def test_bad_input_is_told(site: Site, path: str, status: int) -> None:
    answer = await site.anonymous.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.json()["error"]["status"] == status
