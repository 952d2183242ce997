"""People as others see them: one person, or lists of them, each in one statement."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    table,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from strvsocial.errors import NotFound
from strvsocial.media.quotas import get_quota
from strvsocial.settings import Settings
from strvsocial.users.avatars import avatar_url
from strvsocial.users.models import Follow, User
from strvsocial.users.names import username_key
from strvsocial.users.views import AuthorView, MeView, UserCounts, UserRelation, UserView
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

# Content stands above people, so its table is known here by name only.
_posts = table("posts", column("author_id"), column("visibility"), column("status"))


def select_users(viewer: Viewer | None) -> Select[Any]:
    """Rows for `as_user` of everybody who may be seen, with the counts that this viewer may know."""
    return _select_users(literal(viewer.id if viewer else 0, BigInteger))


def _select_users(viewer_id: ColumnElement[int]) -> Select[Any]:
    link = aliased(Follow)  # Callers join Follow itself.
    followed = exists().where(link.follower_id == viewer_id, link.followed_id == User.id).correlate(User)
    visible = or_(
        _posts.c.visibility == "public",
        User.id == viewer_id,
        and_(_posts.c.visibility == "followers", followed),
    )
    posts = select(func.count()).where(_posts.c.author_id == User.id, _posts.c.status == "ready", visible)
    followers = select(func.count()).select_from(link).where(link.followed_id == User.id)
    following = select(func.count()).select_from(link).where(link.follower_id == User.id)
    return select(
        User.id,
        User.public_id,
        User.username,
        User.display_name,
        User.bio,
        User.avatar_key,
        User.created_at,
        User.updated_at,
        posts.correlate(User).scalar_subquery().label("posts"),
        followers.correlate(User).scalar_subquery().label("followers"),
        following.correlate(User).scalar_subquery().label("following"),
        followed.label("is_followed"),
    ).where(User.suspended_at.is_(None))


# Making these anew for each request would take longer than the rest of the answer.
_VIEWER_ID: BindParameter[int] = bindparam("viewer_id", type_=BigInteger)
_ONE = _select_users(_VIEWER_ID).where(User.username_key == bindparam("username_key"))
_ME = _select_users(_VIEWER_ID).add_columns(User.email, User.role, User.theme).where(User.id == _VIEWER_ID)
_ID = select(User.id).where(User.username_key == bindparam("username_key"), User.suspended_at.is_(None))


def as_user(row: Row[Any], viewer: Viewer | None) -> UserView:
    """The person in a row of `select_users`."""
    return UserView(
        id=row.public_id,
        username=row.username,
        display_name=row.display_name or row.username,
        bio=row.bio,
        avatar_url=avatar_url(row.avatar_key),
        url=user_url(row.username),
        created_at=row.created_at,
        updated_at=row.updated_at,
        counts=UserCounts(posts=row.posts, followers=row.followers, following=row.following),
        viewer=UserRelation(following=row.is_followed, is_self=viewer is not None and viewer.id == row.id),
    )


def user_url(username: str) -> str:
    """The path of a person's profile page."""
    return f"/u/{quote(username)}"


def as_author(viewer: Viewer) -> AuthorView:
    """The viewer as the author on a card."""
    return AuthorView(
        id=viewer.public_id,
        username=viewer.username,
        display_name=viewer.display_name or viewer.username,
        avatar_url=viewer.avatar_url,
        url=user_url(viewer.username),
    )


async def get_user(reader: AsyncConnection, viewer: Viewer | None, username: str) -> UserView:
    """The person of this name.

    Raises:
        NotFound: nobody is called so, or the person is suspended.
    """
    who = {"viewer_id": viewer.id if viewer else 0, "username_key": username_key(username[:60])}
    row = (await reader.execute(_ONE, who)).one_or_none()
    if row is None:
        raise NotFound
    return as_user(row, viewer)


async def get_me(reader: AsyncConnection, settings: Settings, viewer: Viewer) -> MeView:
    """The viewer, with what only they may see."""
    row = (await reader.execute(_ME, {"viewer_id": viewer.id})).one_or_none()
    if row is None:
        raise NotFound
    user = as_user(row, viewer)
    return MeView(
        **{name: getattr(user, name) for name in UserView.__struct_fields__},
        email=row.email,
        role=row.role,
        theme=row.theme,
        quota=await get_quota(reader, settings, viewer.id),
    )


async def get_id(reader: AsyncConnection, username: str) -> int:
    """The id of the person of this name, who is not suspended. Raises NotFound."""
    found = await reader.scalar(_ID, {"username_key": username_key(username[:60])})
    if found is None:
        raise NotFound
    return int(found)


async def find_users(
    reader: AsyncConnection, viewer: Viewer | None, q: str, *, cursor: str | None = None, limit: int = 20
) -> Page[UserView]:
    """People whose name or display name resembles `q`, the nearest first; without `q` the newest."""
    words = username_key(q[:100]).strip().lstrip("@")
    words = re.sub(r"\s+", " ", words)
    pattern = re.sub(r"([\\%_])", r"\\\1", words)
    contains = f"%{pattern}%" if len(words) >= 3 else f"{pattern}%"
    nearness = func.greatest(
        func.similarity(User.username_key, words), func.similarity(func.lower(User.display_name), words)
    )
    bonus = case((User.username_key == words, 2.0), (User.username_key.like(f"{pattern}%"), 1.0), else_=0.0)
    score = func.round((nearness + bonus) * 1_000_000).cast(Integer) if words else literal(0)
    people = select_users(viewer).add_columns(score.label("score"))
    if words:
        people = people.where(
            or_(
                User.username_key.like(contains),
                User.display_name.ilike(contains),
                User.username_key.bool_op("%")(words),
                User.display_name.bool_op("%")(words),
            )
        )
    if (after := decode_cursor(cursor, (int, int))) is not None:
        people = people.where(tuple_(score, User.id) < tuple_(literal(after[0]), literal(after[1])))
    rows = (await reader.execute(people.order_by(score.desc(), User.id.desc()).limit(limit + 1))).all()
    more = encode_cursor(rows[limit - 1].score, rows[limit - 1].id) if len(rows) > limit else None
    return Page([as_user(row, viewer) for row in rows[:limit]], more)
