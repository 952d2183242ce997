"""Who follows whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, literal, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.errors import BadInput
from strvsocial.live import announce
from strvsocial.users.models import Follow, User
from strvsocial.users.profiles import as_user, get_id, select_users
from strvsocial.users.views import UserView
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer


async def follow(db: AsyncSession, viewer: Viewer, username: str) -> None:
    """The viewer follows the person of this name; once is enough. Tells them.

    Raises:
        NotFound: nobody is called so.
        BadInput: it is the viewer.
    """
    followed_id = await get_id(await db.connection(), username)
    if followed_id == viewer.id:
        raise BadInput("You see your own posts anyway.", code="self")
    is_new = await db.scalar(
        insert(Follow)
        .values(follower_id=viewer.id, followed_id=followed_id)
        .on_conflict_do_nothing()
        .returning(Follow.followed_id)
    )
    if is_new is not None:
        await announce(db, "notification", followed_id, {"kind": "follow", "actor": viewer.username})


async def unfollow(db: AsyncSession, viewer: Viewer, username: str) -> None:
    """The viewer no longer follows the person of this name. Raises NotFound."""
    followed_id = await get_id(await db.connection(), username)
    await db.execute(delete(Follow).where(Follow.follower_id == viewer.id, Follow.followed_id == followed_id))


async def list_followers(
    reader: AsyncConnection, viewer: Viewer | None, username: str, *, cursor: str | None = None, limit: int = 20
) -> Page[UserView]:
    """Who follows this person, the latest first. Raises NotFound."""
    user_id = await get_id(reader, username)
    people = select_users(viewer).join(Follow, Follow.follower_id == User.id).where(Follow.followed_id == user_id)
    return await _list(reader, viewer, people, cursor, limit)


async def list_following(
    reader: AsyncConnection, viewer: Viewer | None, username: str, *, cursor: str | None = None, limit: int = 20
) -> Page[UserView]:
    """Whom this person follows, the latest first. Raises NotFound."""
    user_id = await get_id(reader, username)
    people = select_users(viewer).join(Follow, Follow.followed_id == User.id).where(Follow.follower_id == user_id)
    return await _list(reader, viewer, people, cursor, limit)


async def _list(
    reader: AsyncConnection, viewer: Viewer | None, people: Select[Any], cursor: str | None, limit: int
) -> Page[UserView]:
    since = Follow.created_at
    people = people.add_columns(since.label("since"))
    if (after := decode_cursor(cursor, (datetime, int))) is not None:
        people = people.where(tuple_(since, User.id) < tuple_(literal(after[0]), literal(after[1])))
    rows = (await reader.execute(people.order_by(since.desc(), User.id.desc()).limit(limit + 1))).all()
    more = encode_cursor(rows[limit - 1].since, rows[limit - 1].id) if len(rows) > limit else None
    return Page([as_user(row, viewer) for row in rows[:limit]], more)
