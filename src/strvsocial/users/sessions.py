"""Signed-in browsers. The cookie holds a random token; the database holds its hash, so a session can be ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.errors import NotFound
from strvsocial.users import visits
from strvsocial.users.avatars import avatar_url
from strvsocial.users.cookies import SESSION_SECONDS
from strvsocial.users.hashes import hash_token, new_token
from strvsocial.users.models import Session, User
from strvsocial.web.viewers import Viewer

TOUCH_SECONDS = 600
"""How old `seen_at` may grow: a visit writes at most once in this time."""

PERSON_COLUMNS = (
    User.id.label("user_id"),
    User.public_id,
    User.username,
    User.display_name,
    User.avatar_key,
    User.role,
    User.theme,
)

_FIND = (
    select(Session.id, (Session.seen_at < func.now() - text(f"interval '{TOUCH_SECONDS} s'")).label("is_stale"))
    .add_columns(*PERSON_COLUMNS)
    .join(User, User.id == Session.user_id)
    .where(Session.expires_at > func.now(), User.suspended_at.is_(None), Session.token_hash == bindparam("token_hash"))
)
_LENGTH = text(f"interval '{SESSION_SECONDS} s'")


class SessionView(Struct, frozen=True, kw_only=True):
    """A signed-in browser as the settings page lists it."""

    id: int
    user_agent: str
    address: str
    created_at: datetime
    seen_at: datetime
    is_current: bool


async def start(
    db: AsyncSession, user_id: int, *, user_agent: str = "", address: str = "", replacing: Viewer | None = None
) -> str:
    """A new session, always with a new token. Returns the token for the cookie (`cookies.make_cookie`).

    `replacing` is who was signed in on this browser until now: that session ends.
    """
    token, token_hash = new_token()
    if replacing is not None and replacing.session_id is not None:
        await db.execute(delete(Session).where(Session.id == replacing.session_id))
    await db.execute(delete(Session).where(Session.user_id == user_id, Session.expires_at < func.now()))
    await db.execute(
        insert(Session).values(
            user_id=user_id,
            token_hash=token_hash,
            user_agent=_readable(user_agent)[:255],
            address=address[:64],
            expires_at=func.now() + _LENGTH,
        )
    )
    return token


async def find(reader: AsyncConnection, token: str) -> Viewer | None:
    """Who the cookie's token signs in, and a note of the visit. Suspended people are nobody."""
    row = (await reader.execute(_FIND, {"token_hash": hash_token(token)})).one_or_none()
    if row is None:
        return None
    if row.is_stale:
        stay = update(Session).where(Session.id == row.id)
        await visits.note(reader, stay.values(seen_at=func.now(), expires_at=func.now() + _LENGTH))
    return as_viewer(row, session_id=row.id)


async def end(db: AsyncSession, viewer: Viewer, session_id: int) -> None:
    """Ends one session of the viewer's own.

    Raises:
        NotFound: the viewer has no such session.
    """
    ended = await db.execute(
        delete(Session).where(Session.id == session_id, Session.user_id == viewer.id).returning(Session.id)
    )
    if ended.one_or_none() is None:
        raise NotFound


async def end_others(db: AsyncSession, user_id: int, kept: int | None = None) -> None:
    """Ends the sessions of a person, except the one with the id `kept`."""
    await db.execute(delete(Session).where(Session.user_id == user_id, Session.id.is_distinct_from(kept)))


async def list_sessions(reader: AsyncConnection, viewer: Viewer) -> list[SessionView]:
    """The viewer's live sessions, the latest seen first."""
    rows = await reader.execute(
        select(Session)
        .where(Session.user_id == viewer.id, Session.expires_at > func.now())
        .order_by(Session.seen_at.desc(), Session.id.desc())
        .limit(100)
    )
    return [
        SessionView(
            id=row.id,
            user_agent=row.user_agent,
            address=row.address,
            created_at=row.created_at,
            seen_at=row.seen_at,
            is_current=row.id == viewer.session_id,
        )
        for row in rows
    ]


def as_viewer(row: Any, *, session_id: int | None = None, token_id: int | None = None) -> Viewer:
    """The viewer in a row with `PERSON_COLUMNS`."""
    return Viewer(
        id=row.user_id,
        public_id=row.public_id,
        username=row.username,
        display_name=row.display_name,
        avatar_url=avatar_url(row.avatar_key),
        role=row.role,
        theme=row.theme,
        session_id=session_id,
        token_id=token_id,
    )


def _readable(user_agent: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in user_agent)
