"""Lists of posts: what is in them, in which order, and that each costs one statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from strvsocial.content import feeds
from strvsocial.content.models import PostTag, Tag
from strvsocial.content.views import PostView
from strvsocial.db import Database
from strvsocial.errors import BadInput, NotFound
from strvsocial.users.models import User
from strvsocial.web.paging import Page, encode_cursor
from strvsocial.web.viewers import Viewer

from .conftest import MakePost, MakeUser


def viewer_of(user: User) -> Viewer:
    return Viewer(user.id, user.public_id, user.username, "", "", "member", "system")


def titles(page: Page[PostView]) -> list[str]:
    return [item.title for item in page.items]


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL that is sent while the test runs."""
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2])

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def test_each_list_is_one_statement_and_holds_what_it_should(
    clean: None, database: Database, make_user: MakeUser, make_post: MakePost, statements: list[str]
) -> None:
    author, stranger = await make_user(), await make_user()
    me = await make_user(follows=(author.id,))
    start = datetime.now(UTC) - timedelta(days=1)
    made = [
        (author, "public", "text", "ready"),
        (author, "followers", "image", "ready"),
        (author, "private", "text", "ready"),
        (author, "public", "video", "processing"),
        (stranger, "public", "gif", "ready"),
        (stranger, "followers", "text", "ready"),
        (me, "private", "audio", "ready"),
        (me, "public", "image", "failed"),
    ]
    for number, (user, visibility, kind, status) in enumerate(made):
        at = start + timedelta(minutes=number)
        columns = {"visibility": visibility, "media_type": kind, "status": status, "created_at": at}
        await make_post(user, title=str(number), **columns)
    viewer = viewer_of(me)
    async with database.read() as reader:
        lists: dict[str, Callable[[], Awaitable[Page[PostView]]]] = {
            "6410": lambda: feeds.list_latest(reader, viewer),
            "40": lambda: feeds.list_latest(reader, None),
            "1": lambda: feeds.list_latest(reader, viewer, kinds=["image"]),
            "641": lambda: feeds.list_latest(reader, viewer, kinds=["image", "gif", "audio"]),
            "10": lambda: feeds.list_following(reader, viewer),
            "76": lambda: feeds.list_by_author(reader, viewer, me.username.upper()),
            "0": lambda: feeds.list_by_author(reader, None, author.username),
            "3210": lambda: feeds.list_by_author(reader, viewer_of(author), author.username),
            "": lambda: feeds.list_by_tag(reader, viewer, "none"),
            "4": lambda: feeds.list_explore(reader, viewer, kind="gif"),
        }
        for expected, load in lists.items():
            statements.clear()
            assert "".join(titles(await load())) == expected
            assert len(statements) == 1
        assert titles(await feeds.list_explore(reader, viewer)) == ["4", "0"]
        with pytest.raises(NotFound):
            await feeds.list_by_author(reader, viewer, "nobody-at-all")
        quiet = await make_user()
        assert await feeds.list_by_author(reader, viewer, quiet.username) == Page([])


async def test_tags_are_found_in_any_spelling(database: Database, make_user: MakeUser, make_post: MakePost) -> None:
    post = await make_post(await make_user(), title="Tagged")
    async with database.transaction() as db:
        tag = Tag(name="straße_1".casefold())
        db.add(tag)
        await db.flush()
        db.add(PostTag(post_id=post.id, tag_id=tag.id, created_at=post.created_at))
    async with database.read() as reader:
        assert titles(await feeds.list_by_tag(reader, None, "#STRASSE_1")) == ["Tagged"]
        assert titles(await feeds.list_by_tag(reader, None, "x\x00")) == []


async def test_paging_shows_everything_once_while_posts_arrive(
    clean: None, database: Database, make_user: MakeUser, make_post: MakePost
) -> None:
    author = await make_user()
    moment = datetime.now(UTC) - timedelta(hours=1)
    for number in range(25):  # Several at the same moment: the id decides.
        await make_post(author, title=str(number), created_at=moment + timedelta(seconds=number // 5))
    seen: list[str] = []
    cursor = None
    async with database.read() as reader:
        while True:
            page = await feeds.list_latest(reader, None, cursor, limit=7)
            seen += titles(page)
            await make_post(author, title="new")
            if page.next is None:
                break
            cursor = page.next
    assert seen == [str(number) for number in reversed(range(25))]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "🦆",
        encode_cursor("2026-01-01T00:00:00", 1),
        encode_cursor("0001-01-01T00:00:00+23:00", 1),
        encode_cursor("9999-12-31T23:00:00-23:00", 1),
        encode_cursor("2026-01-01T00:00:00Z", 2**63),
        encode_cursor("2026-01-01T00:00:00Z"),
        encode_cursor(1, 2),
    ],
)
async def test_a_forged_cursor_is_bad_input(database: Database, cursor: str) -> None:
    async with database.read() as reader:
        with pytest.raises(BadInput):
            await feeds.list_latest(reader, None, cursor)
