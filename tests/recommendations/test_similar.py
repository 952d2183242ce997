"""Similar posts: the right order, only what the viewer may see, never the author's own, endless and stable."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.content.conftest import MakePost, MakeUser
from tests.vectors import OpenIndex, Vectors, add_space, bury, make_vectors, put

from strvsocial.content.models import Post
from strvsocial.content.views import SimilarItem
from strvsocial.db import Database
from strvsocial.embeddings.index import VectorIndex
from strvsocial.errors import BadInput, NotFound
from strvsocial.recommendations import similar
from strvsocial.recommendations.likeness import fuse
from strvsocial.recommendations.similar import list_similar
from strvsocial.users.models import User
from strvsocial.web.paging import Page
from strvsocial.web.viewers import Viewer


def viewer_of(user: User) -> Viewer:
    return Viewer(user.id, user.public_id, user.username, "", "", "member", "system")


async def ask(
    database: Database, index: VectorIndex, viewer: User | None, post: Post, cursor: str | None = None, limit: int = 20
) -> Page[SimilarItem]:
    async with database.read() as reader:
        return await list_similar(reader, index, viewer_of(viewer) if viewer else None, post.public_id, cursor, limit)


async def know(index: VectorIndex, posts: list[Post]) -> None:
    await asyncio.wait_for(index.until(lambda: all(index.spaces_of(post.id) for post in posts)), 5)


def ids(page: Page[SimilarItem]) -> list[str]:
    return [item.post.id for item in page.items]


async def test_the_nearest_come_first_with_scores_that_fall(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> None:
    space = await add_space(database)
    alice, bob = await make_user(), await make_user()
    asked = await make_post(alice)
    own = await make_post(alice)
    others = [await make_post(bob, title=f"{n}") for n in range(30)]
    await put(database, space, [asked.id, own.id, *(post.id for post in others)], vectors[[0, 0, *range(1, 31)]])
    index = await open_index()
    page = await ask(database, index, None, asked, limit=30)
    truth = np.argsort(-(vectors[1:31] @ vectors[0]))
    assert ids(page) == [others[at].public_id for at in truth]
    scores = [item.score for item in page.items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(item.spaces == ["text"] for item in page.items)
    assert page.next is None


async def test_nobody_gets_what_they_may_not_see(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> None:
    space = await add_space(database)
    alice, bob = await make_user(), await make_user()
    fan = await make_user(follows=(bob.id,))
    asked = await make_post(alice)
    posts = {
        "public": await make_post(bob),
        "followers": await make_post(bob, visibility="followers"),
        "private": await make_post(bob, visibility="private"),
        "processing": await make_post(bob, status="processing"),
        "failed": await make_post(bob, status="failed"),
        "deleted": await make_post(bob),
    }
    everything = [asked, *posts.values()]
    await put(database, space, [post.id for post in everything], np.repeat(vectors[:1], len(everything), axis=0))
    index = await open_index()
    async with database.transaction() as db:
        await db.delete(posts["deleted"])
    names = {post.public_id: name for name, post in posts.items()}

    async def seen(viewer: User | None) -> set[str]:
        return {names[post_id] for post_id in ids(await ask(database, index, viewer, asked))}

    assert await seen(None) == {"public"}
    assert await seen(fan) == {"public", "followers"}
    assert await seen(bob) == {"public", "followers", "private"}
    assert await seen(alice) == {"public"}
    with pytest.raises(NotFound):
        await ask(database, index, None, posts["private"])
    with pytest.raises(NotFound):
        await ask(database, index, None, posts["followers"])


async def test_spaces_are_fused(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> None:
    words, look = await add_space(database), await add_space(database, "look", dim=64)
    seen = make_vectors(40, seed=9, dim=64)
    alice, bob = await make_user(), await make_user()
    asked, both, only_words, only_look, neither = [
        await make_post(author, title=title)
        for author, title in ((alice, "asked"), (bob, "both"), (bob, "words"), (bob, "look"), (bob, "neither"))
    ]
    far = int(np.argmin(vectors @ vectors[0]))
    unseen = int(np.argmin(seen @ seen[0]))
    await put(database, words, [asked.id, both.id, only_words.id, neither.id], vectors[[0, 0, 0, far]])
    await put(database, look, [asked.id, both.id, only_look.id, neither.id], seen[[0, 0, 0, unseen]])
    index = await open_index()
    page = await ask(database, index, None, asked)
    assert [item.post.title for item in page.items] == ["both", "look", "words", "neither"]
    found = {item.post.title: item for item in page.items}
    assert found["both"].score == pytest.approx(1, abs=0.01)
    assert sorted(found["both"].spaces) == ["look", "text"]
    assert found["look"].spaces == ["look"]
    assert found["words"].score == found["look"].score == pytest.approx(0.875, abs=0.01)
    assert found["neither"].score < 0.05


async def test_pages_continue_each_other_while_posts_arrive(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> None:
    space = await add_space(database)
    alice, bob = await make_user(), await make_user()
    asked = await make_post(alice)
    posts = [await make_post(bob) for _ in range(60)]
    await put(database, space, [asked.id, *(post.id for post in posts)], vectors[:61])
    index = await open_index()
    whole = ids(await ask(database, index, None, asked, limit=60))
    paged: list[str] = []
    cursor: str | None = None
    late: list[Post] = []
    for _ in range(9):
        page = await ask(database, index, None, asked, cursor, limit=7)
        paged += ids(page)
        late.append(await make_post(bob))
        await put(database, space, [late[-1].id], vectors[:1])
        await know(index, late[-1:])
        cursor = page.next
    assert cursor is None
    assert paged == whole


async def test_a_viewer_who_may_see_little_of_what_is_near_still_gets_it(
    database: Database,
    open_index: OpenIndex,
    make_user: MakeUser,
    make_post: MakePost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(similar, "DEEPEST", 64)
    vectors = make_vectors(200, seed=4)
    space = await add_space(database)
    alice, bob = await make_user(), await make_user()
    asked = await make_post(alice)
    order = np.argsort(-(vectors @ vectors[0]))
    hidden = [await make_post(bob, visibility="private") for _ in range(194)]
    posts = [asked, *hidden, *[await make_post(bob) for _ in range(5)]]
    await put(database, space, [post.id for post in posts], vectors[order])
    index = await open_index()
    page = await ask(database, index, None, asked, limit=3)
    assert ids(page) == [post.public_id for post in posts[195:198]]
    rest = await ask(database, index, None, asked, page.next, limit=3)
    assert ids(rest) == [post.public_id for post in posts[198:]]


async def test_a_post_without_vectors_has_no_similar_posts_yet(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost, vectors: Vectors
) -> None:
    space = await add_space(database)
    alice, bob = await make_user(), await make_user()
    asked, other = await make_post(alice), await make_post(bob)
    await put(database, space, [other.id], vectors[:1])
    index = await open_index()
    assert await ask(database, index, None, asked) == Page([])
    await put(database, space, [asked.id], vectors[:1])
    await know(index, [asked])
    assert ids(await ask(database, index, None, asked)) == [other.public_id]
    await bury(database, [other.id])
    await asyncio.wait_for(index.until(lambda: not index.spaces_of(other.id)), 5)
    assert ids(await ask(database, index, None, asked)) == []


async def test_a_cursor_of_somebody_elses_making_is_bad_input(
    database: Database, open_index: OpenIndex, make_user: MakeUser, make_post: MakePost
) -> None:
    index = await open_index()
    asked = await make_post(await make_user())
    with pytest.raises(BadInput):
        await ask(database, index, None, asked, "bm90IG91cnM")


def test_the_score_rises_with_every_space_and_stays_in_bounds() -> None:
    assert fuse({}, 2) == 0
    assert fuse({"text": 1.0, "look": 1.0}, 2) == 1
    assert fuse({"text": 0.8}, 2) < fuse({"text": 0.8, "look": 0.1}, 2) < fuse({"text": 0.8, "look": 0.9}, 2) <= 1
