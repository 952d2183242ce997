"""People and posts for the tests of content, written as rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from strvsocial.content.models import Post
from strvsocial.db import Database
from strvsocial.ids import new_id
from strvsocial.users.models import Follow, User

MakeUser = Callable[..., Awaitable[User]]
MakePost = Callable[..., Awaitable[Post]]


@pytest.fixture
def make_user(database: Database) -> MakeUser:
    """Makes a person; keyword arguments are columns. `follows` lists ids of the people that they follow."""

    async def make(*, follows: tuple[int, ...] = (), **columns: Any) -> User:
        name = columns.pop("username", f"user_{new_id()[:8]}")
        user = User(
            public_id=new_id(),
            username=name,
            username_key=name.casefold(),
            username_skeleton=name.casefold(),
            email=f"{name}@example.com",
            email_key=f"{name}@example.com".casefold(),
            **columns,
        )
        async with database.transaction() as db:
            db.add(user)
            await db.flush()
            db.add_all(Follow(follower_id=user.id, followed_id=followed) for followed in follows)
        return user

    return make


@pytest.fixture
def make_post(database: Database) -> MakePost:
    """Makes a ready text post; keyword arguments are columns."""

    async def make(author: User, **columns: Any) -> Post:
        filled = {"title": "A post", "media_type": "text", "status": "ready", **columns}
        now = datetime.now(UTC)
        post = Post(public_id=new_id(), author_id=author.id, **{"created_at": now, "updated_at": now, **filled})
        async with database.transaction() as db:
            db.add(post)
        return post

    return make
