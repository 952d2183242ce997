"""For you: like what one posted or looked at, with the reason; endless; never one's own, hidden or forbidden posts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from tests.content.conftest import MakePost, MakeUser
from tests.vectors import OpenIndex, Vectors, add_space, make_vectors, put

from strvsocial.content.models import Interaction, Post
from strvsocial.content.views import FeedItem
from strvsocial.db import Database
from strvsocial.embeddings.index import VectorIndex
from strvsocial.recommendations.for_you import list_for_you, spread
from strvsocial.recommendations.ranked_lists import Entry, RankedLists
from strvsocial.settings import Settings
from strvsocial.users.models import User
from strvsocial.web.paging import Page
from strvsocial.web.viewers import Viewer


def viewer_of(user: User) -> Viewer:
    return Viewer(user.id, user.public_id, user.username, "", "", "member", "system")


@pytest_asyncio.fixture
async def lists(settings: Settings) -> AsyncIterator[RankedLists]:
    async with RankedLists(settings.redis_url) as lists:
        yield lists


async def ask(
    database: Database,
    index: VectorIndex,
    lists: RankedLists,
    user: User,
    cursor: str | None = None,
    limit: int = 20,
) -> Page[FeedItem]:
    async with database.read() as reader:
        return await list_for_you(reader, index, lists, viewer_of(user), cursor, limit)


async def test_each_interest_finds_its_own_with_the_reason(
    database: Database,
    open_index: OpenIndex,
    lists: RankedLists,
    make_user: MakeUser,
    make_post: MakePost,
) -> None:
    words, look = await add_space(database), await add_space(database, "look", dim=64)
    texts, looks = make_vectors(8, seed=1), make_vectors(8, seed=2, dim=64)
    alice, bob = await make_user(), await make_user()
    story, photo = await make_post(alice, title="My story"), await make_post(alice, title="My photo")
    watched = await make_post(bob, title="Bob's watched one")
    like_story, like_photo = await make_post(bob, title="a"), await make_post(bob, title="b")
    like_watched = await make_post(await make_user(), title="c")
    await put(database, words, [story.id, like_story.id], texts[[0, 0]])
    await put(database, look, [photo.id, like_photo.id], looks[[1, 1]])
    await put(database, look, [watched.id, like_watched.id], looks[[2, 2]])
    async with database.transaction() as db:
        db.add(Interaction(user_id=alice.id, post_id=watched.id, kind="open"))
        db.add(Interaction(user_id=bob.id, post_id=like_story.id, kind="open"))
    index = await open_index()
    page = await ask(database, index, lists, alice)
    reasons = {item.post.title: item.reason for item in page.items}
    assert reasons["a"].text == "Reads like “My story”, which you posted"
    assert reasons["b"].text == "Looks like “My photo”, which you posted"
    assert reasons["c"].text == "Looks like “Bob's watched one”, which you opened"
    assert reasons["a"].kind == "similar_to_own"
    assert reasons["c"].kind == "similar_to_seen"
    assert reasons["b"].post == {"id": photo.public_id, "title": "My photo", "url": f"/p/{photo.public_id}"}
    assert all(sum(reason.shares.values()) == pytest.approx(1, abs=0.01) for reason in reasons.values())
    recommended = [item.post.title for item in page.items if item.reason.kind != "latest"]
    assert recommended == ["b", "a", "c"] or recommended == ["a", "b", "c"]
    assert all(item.post.author.username != alice.username for item in page.items)


async def test_nothing_hidden_forbidden_or_unfinished_is_recommended(
    database: Database,
    open_index: OpenIndex,
    lists: RankedLists,
    make_user: MakeUser,
    make_post: MakePost,
    vectors: Vectors,
) -> None:
    space = await add_space(database)
    alice, bob = await make_user(), await make_user()
    own, twin = await make_post(alice), await make_post(alice)
    public = await make_post(bob, title="public")
    posts = [
        own,
        twin,
        public,
        await make_post(bob, visibility="private"),
        await make_post(bob, visibility="followers"),
        await make_post(bob, status="processing"),
        await make_post(await make_user(suspended_at=datetime.now(UTC))),
    ]
    hidden = await make_post(bob, title="hidden")
    await put(database, space, [post.id for post in (*posts, hidden)], vectors[[0] * 8])
    async with database.transaction() as db:
        db.add(Interaction(user_id=alice.id, post_id=hidden.id, kind="hide"))
    index = await open_index()
    page = await ask(database, index, lists, alice)
    assert [item.post.id for item in page.items if item.reason.kind != "latest"] == [public.public_id]
    forbidden = {post.public_id for post in posts if post is not public}
    assert not forbidden & {item.post.id for item in page.items}


async def test_who_posted_nothing_gets_the_latest(
    database: Database, open_index: OpenIndex, lists: RankedLists, make_user: MakeUser, make_post: MakePost
) -> None:
    bob, newcomer = await make_user(), await make_user()
    now = datetime.now(UTC)
    posts = [await make_post(bob, created_at=now - timedelta(minutes=n)) for n in range(5)]
    index = await open_index()
    page = await ask(database, index, lists, newcomer)
    assert [item.post.id for item in page.items] == [post.public_id for post in posts]
    assert {item.reason.kind for item in page.items} == {"latest"}
    assert page.next is None


async def read_everything(database: Database, index: VectorIndex, lists: RankedLists, user: User) -> list[FeedItem]:
    items: list[FeedItem] = []
    cursor: str | None = None
    for _ in range(40):
        page = await ask(database, index, lists, user, cursor, limit=7)
        items += page.items
        cursor = page.next
        if cursor is None:
            return items
    raise AssertionError("the feed does not end")


async def make_crowd(
    database: Database, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> tuple[User, list[Post]]:
    space = await add_space(database)
    alice = await make_user()
    own = await make_post(alice)
    authors = [await make_user() for _ in range(4)]
    posts = [await make_post(authors[n // 10], title=f"{n}") for n in range(40)]
    close = vectors[:1] + 0.3 * vectors[1:41]
    close[30:] = vectors[41:51]
    close = (close / (close**2).sum(axis=1, keepdims=True) ** 0.5).astype("f4")
    await put(database, space, [own.id, *(post.id for post in posts)], [vectors[0], *close])  # type: ignore[arg-type]
    return alice, posts


async def test_the_feed_goes_on_to_the_end_without_repeating(
    database: Database,
    open_index: OpenIndex,
    lists: RankedLists,
    make_user: MakeUser,
    make_post: MakePost,
    vectors: Vectors,
) -> None:
    alice, posts = await make_crowd(database, make_user, make_post, vectors)
    index = await open_index()
    items = await read_everything(database, index, lists, alice)
    assert sorted(item.post.id for item in items) == sorted(post.public_id for post in posts)
    kinds = [item.reason.kind for item in items]
    assert kinds == sorted(kinds, key=lambda kind: kind == "latest")
    assert kinds.count("similar_to_own") >= 30
    authors = [item.post.author.id for item in items if item.reason.kind == "similar_to_own"]
    assert not any(len(set(authors[at : at + 3])) == 1 for at in range(18))


async def test_without_redis_the_feed_goes_on(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> None:
    alice, posts = await make_crowd(database, make_user, make_post, vectors)
    index = await open_index()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with RankedLists(f"redis://127.0.0.1:{unused.getsockname()[1]}/0") as lists:
            items = await asyncio.wait_for(read_everything(database, index, lists, alice), 60)
    assert sorted(item.post.id for item in items) == sorted(post.public_id for post in posts)


async def test_a_ranking_belongs_to_one_person(lists: RankedLists) -> None:
    entries = [Entry(1, 2, 0.5, {"text": 1.0})]
    token = await lists.keep(7, entries)
    assert await lists.find(7, token) == entries
    assert await lists.find(8, token) is None
    assert await lists.find(7, "wrong") is None


def test_authors_take_turns_while_others_are_left() -> None:
    entries = [Entry(n, 0, 1 - n / 10, {}) for n in range(6)]
    assert [entry.post_id for entry in spread(entries, [1, 1, 1, 1, 2, 2])] == [0, 1, 4, 2, 3, 5]
    assert [entry.post_id for entry in spread(entries, [1] * 6)] == [0, 1, 2, 3, 4, 5]
