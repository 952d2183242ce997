"""People as admins list them: how much they keep here, where they are signed in; suspending them and signing them out."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.errors import Conflict, NotFound
from strvsocial.settings import Settings
from strvsocial.users import accounts, audit, sessions, tokens
from strvsocial.users.avatars import avatar_url
from strvsocial.users.names import username_key
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

_ESCAPED = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})
# Who deleted their account waits here without a name until all that was theirs is gone.
_PERSON = r"""
    select u.id, u.username, u.display_name, u.email, u.avatar_key, u.role, u.is_demo, u.suspended_at, u.created_at,
      (select count(*) from posts where author_id = u.id) as posts,
      (select count(*) from sessions where user_id = u.id and expires_at > now()) as sessions,
      (select count(*) from api_tokens where user_id = u.id) as tokens,
      (select coalesce(sum(a.byte_size + coalesce(
          (select sum(byte_size) from renditions where attachment_id = a.id), 0)), 0)::bigint
        from attachments a join posts p on p.id = a.post_id where p.author_id = u.id) as bytes,
      (select coalesce(sum(a.byte_size), 0)::bigint
        from attachments a join posts p on p.id = a.post_id where p.author_id = u.id) as original_bytes,
      coalesce(u.quota_bytes, :total) as quota_bytes, coalesce(u.quota_daily_bytes, :daily) as quota_daily_bytes
    from users u
"""
_LIST = text(
    _PERSON
    + r"""
    where u.username_key not like E'\x7f%' and (cast(:before as bigint) is null or u.id < :before)
      and (:q = '' or u.username_key like :pattern or u.email_key like :pattern or u.display_name ilike :pattern)
      and (:only = '' or (:only = 'suspended' and u.suspended_at is not null) or (:only = 'admins' and u.role = 'admin'))
    order by u.id desc limit :limit
    """
)
_ONE = text(_PERSON + "where u.username_key = :key")


class PersonView(msgspec.Struct, frozen=True):
    """A person and what is theirs. `bytes` are those of everything stored for their posts; quotas of 0 are no limit."""

    username: str
    display_name: str
    email: str
    avatar_url: str
    url: str
    role: str
    is_demo: bool
    suspended_at: datetime | None
    created_at: datetime
    posts: int
    sessions: int
    tokens: int
    bytes: int
    original_bytes: int
    quota_bytes: int
    quota_daily_bytes: int


async def list_people(
    reader: AsyncConnection,
    settings: Settings,
    q: str = "",
    *,
    only: str = "",
    cursor: str | None = None,
    limit: int = 30,
) -> Page[PersonView]:
    """People whose name, display name or address holds `q`, the newest first; `only` suspended ones, or admins."""
    after = decode_cursor(cursor, (int,))
    words = username_key(q.strip().lstrip("@")[:100])
    wanted = {"q": words, "pattern": f"%{words.translate(_ESCAPED)}%", "only": only}
    found = await reader.execute(
        _LIST, {**wanted, **_quotas(settings), "before": after[0] if after else None, "limit": limit + 1}
    )
    rows = found.all()
    more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return Page([_as_person(row) for row in rows[:limit]], more)


async def get_person(reader: AsyncConnection, settings: Settings, username: str) -> PersonView:
    """One person by name. Raises NotFound."""
    _refuse_unwritable(username)
    found = await reader.execute(_ONE, {"key": username_key(username), **_quotas(settings)})
    if (row := found.one_or_none()) is None:
        raise NotFound
    return _as_person(row)


async def suspend(db: AsyncSession, admin: Viewer, username: str) -> None:
    """Hides somebody and signs them out everywhere. Raises NotFound, and Conflict for oneself."""
    _refuse_self(admin, username)
    await accounts.suspend(db, username)
    await audit.record(db, admin, "users.suspend", username)


async def unsuspend(db: AsyncSession, admin: Viewer, username: str) -> None:
    """Takes a suspension back. Raises NotFound."""
    _refuse_unwritable(username)
    await accounts.unsuspend(db, username)
    await audit.record(db, admin, "users.unsuspend", username)


async def sign_out(db: AsyncSession, admin: Viewer, username: str) -> None:
    """Ends all sessions and tokens of somebody. Raises NotFound, and Conflict for oneself."""
    _refuse_self(admin, username)
    user_id = await db.scalar(
        text("select id from users where username_key = :key"), {"key": username_key(username[:60])}
    )
    if user_id is None:
        raise NotFound
    await sessions.end_others(db, user_id)
    await tokens.end_others(db, user_id)
    await audit.record(db, admin, "users.sign_out", username)


def _quotas(settings: Settings) -> dict[str, int]:
    """Those of whoever has none of their own."""
    return {"total": settings.quota_bytes, "daily": settings.quota_daily_bytes}


def _refuse_unwritable(username: str) -> None:
    """What is left of deleted accounts has names that nobody can have."""
    if len(username) > 60 or not username.isprintable():
        raise NotFound


def _refuse_self(admin: Viewer, username: str) -> None:
    _refuse_unwritable(username)
    if username_key(username) == username_key(admin.username):
        raise Conflict("You would lock yourself out. Another admin can do this, or the console.", code="self")


def _as_person(row: Any) -> PersonView:
    values = {name: value for name, value in row._mapping.items() if name in PersonView.__struct_fields__}
    return PersonView(
        **{**values, "display_name": row.display_name or row.username},
        avatar_url=avatar_url(row.avatar_key),
        url=f"/u/{quote(row.username)}",
    )
