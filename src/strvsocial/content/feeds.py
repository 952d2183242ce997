"""Lists of posts, newest first: one statement each, paged by (created_at, id) so that arrivals shift nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import ARRAY, BigInteger, Integer, String, any_, bindparam, exists, func, or_, select, true, tuple_

from strvsocial.content.cards import Reader, cards, read_cards
from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.tags import normalise
from strvsocial.content.views import PostView
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.db import Timestamp
from strvsocial.errors import BadInput, NotFound
from strvsocial.users.models import Follow, User
from strvsocial.users.names import username_key
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

_START = (datetime(9000, 1, 1, tzinfo=UTC), 2**63 - 1)
"""Later than every post: where a list without a cursor begins."""


_PLACE = tuple_(bindparam("at", type_=Timestamp), bindparam("after", type_=BigInteger))
_LIMIT = bindparam("limit", type_=Integer)
_NEWEST_FIRST = (Post.created_at.desc(), Post.id.desc())
_BEFORE = tuple_(Post.created_at, Post.id) < _PLACE


def _newest(*conditions: Any) -> Any:
    return cards(_BEFORE, *conditions).order_by(*_NEWEST_FIRST).limit(_LIMIT)


def _newest_followed() -> Any:
    """The newest posts of each person followed, so many as fit on the page, and of all these the newest.

    The inner conditions are what `visible_to` comes down to for somebody followed: in that form each author's posts are
    read from the index in order.
    """
    of_one = (
        select(Post.id, Post.created_at)
        .where(Post.author_id == Follow.followed_id, _BEFORE, Post.status == "ready", Post.visibility != "private")
        .order_by(*_NEWEST_FIRST)
        .limit(_LIMIT)
        .correlate(Follow)
        .lateral("of_one")
    )
    page = (
        select(of_one.c.id)
        .select_from(Follow)
        .join(of_one, true())
        .join(User, User.id == Follow.followed_id)
        .where(Follow.follower_id == VIEWER_ID, User.suspended_at.is_(None))
        .order_by(of_one.c.created_at.desc(), of_one.c.id.desc())
        .limit(_LIMIT)
        .correlate(None)
    )
    return cards(Post.id.in_(page)).order_by(*_NEWEST_FIRST)


def _newest_tagged() -> Any:
    tag_id = select(Tag.id).where(Tag.name == bindparam("tag", type_=String)).scalar_subquery()
    return (
        cards(
            Post.status == "ready",
            PostTag.tag_id == tag_id,
            tuple_(PostTag.created_at, PostTag.post_id) < _PLACE,
        )
        .join(PostTag, PostTag.post_id == Post.id)
        .order_by(PostTag.created_at.desc(), PostTag.post_id.desc())
        .limit(_LIMIT)
    )


def _newer(*conditions: Any) -> Any:
    # Of a post that the viewer may not see nothing is told, not even that it is there.
    named = Post.public_id == bindparam("than", type_=String)
    place = select(Post.created_at, Post.id).where(named, visible_to(VIEWER_ID)).subquery()
    found = (
        select(Post.id)
        .where(
            visible_to(VIEWER_ID),
            Post.status == "ready",
            Post.author_id.is_distinct_from(VIEWER_ID),
            tuple_(Post.created_at, Post.id) > tuple_(place.c.created_at, place.c.id),
            *conditions,
        )
        .limit(100)
    )
    return select(func.count()).select_from(found.subquery())


_READY = Post.status == "ready"
_OF_KIND = Post.media_type == bindparam("kind", type_=String)
_OF_KINDS = Post.media_type == any_(bindparam("kinds", type_=ARRAY(String)))
_BY_NAME = Post.author_id == select(User.id).where(User.username_key == bindparam("name")).scalar_subquery()
_OF_OTHERS = (Post.visibility == "public", Post.author_id.is_distinct_from(VIEWER_ID))

_LATEST = _newest(_READY)
_LATEST_OF_KIND = _newest(_READY, _OF_KIND)
_LATEST_OF_KINDS = _newest(_READY, _OF_KINDS)
_FOLLOWING = _newest_followed()
_BY_AUTHOR = _newest(or_(_READY, Post.author_id == VIEWER_ID), _BY_NAME)
_BY_TAG = _newest_tagged()
_EXPLORE = _newest(_READY, *_OF_OTHERS)
_EXPLORE_KIND = _newest(_READY, *_OF_OTHERS, _OF_KIND)
_UNFINISHED = _newest(Post.status == "processing", Post.author_id == VIEWER_ID)
_NEWER = _newer()
_NEWER_FOLLOWED = _newer(exists().where(Follow.follower_id == VIEWER_ID, Follow.followed_id == Post.author_id))
_IS_PERSON = select(exists().where(User.username_key == bindparam("name"), User.suspended_at.is_(None)))


async def list_latest(
    reader: Reader, viewer: Viewer | None, cursor: str | None = None, limit: int = 20, kinds: Sequence[str] = ()
) -> Page[PostView]:
    """Everything that the viewer may see; with `kinds`, only posts of these media types."""
    if len(kinds) == 1:
        return await _page(reader, _LATEST_OF_KIND, viewer, cursor, limit, kind=kinds[0])
    if kinds:
        return await _page(reader, _LATEST_OF_KINDS, viewer, cursor, limit, kinds=list(kinds))
    return await _page(reader, _LATEST, viewer, cursor, limit)


async def list_following(reader: Reader, viewer: Viewer, cursor: str | None = None, limit: int = 20) -> Page[PostView]:
    """The posts of the people whom the viewer follows."""
    return await _page(reader, _FOLLOWING, viewer, cursor, limit)


async def list_by_author(
    reader: Reader, viewer: Viewer | None, username: str, cursor: str | None = None, limit: int = 20
) -> Page[PostView]:
    """One person's posts; authors see their own unfinished and failed ones, too. Raises NotFound: no such person."""
    name = username_key(username).replace("\0", "")
    page = await _page(reader, _BY_AUTHOR, viewer, cursor, limit, name=name)
    if not page.items and not (await reader.execute(_IS_PERSON, {"name": name})).scalar_one():
        raise NotFound("There is nobody of this name here.")
    return page


async def list_unfinished(reader: Reader, viewer: Viewer, limit: int = 3) -> list[PostView]:
    """The viewer's own newest posts whose media are still being prepared."""
    return (await _page(reader, _UNFINISHED, viewer, None, limit)).items


async def count_newer(reader: Reader, viewer: Viewer | None, public_id: str, *, followed: bool = False) -> int:
    """How many posts of others came after one, at most 100; with `followed`, of those whom the viewer follows."""
    statement = _NEWER_FOLLOWED if followed else _NEWER
    return int(
        (await reader.execute(statement, {"viewer_id": viewer.id if viewer else None, "than": public_id})).scalar_one()
    )


async def list_by_tag(
    reader: Reader, viewer: Viewer | None, tag: str, cursor: str | None = None, limit: int = 20
) -> Page[PostView]:
    """The posts with a tag, in any spelling of it."""
    return await _page(reader, _BY_TAG, viewer, cursor, limit, tag=normalise(tag).replace("\0", ""))


async def list_explore(
    reader: Reader, viewer: Viewer | None, cursor: str | None = None, limit: int = 20, kind: str | None = None
) -> Page[PostView]:
    """Public posts by others than the viewer, of one media type or of all."""
    if kind:
        return await _page(reader, _EXPLORE_KIND, viewer, cursor, limit, kind=kind)
    return await _page(reader, _EXPLORE, viewer, cursor, limit)


async def _page(
    reader: Reader, statement: Any, viewer: Viewer | None, cursor: str | None, limit: int, **parameters: Any
) -> Page[PostView]:
    at, after = _place(cursor)
    viewer_id = viewer.id if viewer else None
    found = await read_cards(reader, statement, viewer_id, at=at, after=after, limit=limit + 1, **parameters)
    items = found[:limit]
    more = len(found) > limit
    return Page([view for _, view in items], encode_cursor(items[-1][1].created_at, items[-1][0]) if more else None)


def _place(cursor: str | None) -> tuple[datetime, int]:
    place = decode_cursor(cursor, (Annotated[datetime, Meta(tz=True)], int))
    if place is None:
        return _START
    at, after = place
    if not 1 < at.year < 9000:
        raise BadInput(fields={"cursor": "This is not a place in this list. Start again without it."})
    return at, after
