"""API tokens: bearer secrets of which only the sha256 is kept."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import bindparam, delete, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.errors import NotFound
from strvsocial.users import visits
from strvsocial.users.hashes import hash_token, new_token
from strvsocial.users.models import ApiToken, User
from strvsocial.users.sessions import PERSON_COLUMNS, TOUCH_SECONDS, as_viewer
from strvsocial.web.viewers import Viewer

_FIND = (
    select(
        ApiToken.id,
        or_(ApiToken.seen_at.is_(None), ApiToken.seen_at < func.now() - text(f"interval '{TOUCH_SECONDS} s'")).label(
            "is_stale"
        ),
        *PERSON_COLUMNS,
    )
    .join(User, User.id == ApiToken.user_id)
    .where(User.suspended_at.is_(None), ApiToken.token_hash == bindparam("token_hash"))
)


class TokenSummary(Struct, frozen=True, kw_only=True):
    """A token as the settings page lists it."""

    id: int
    name: str
    created_at: datetime
    seen_at: datetime | None


async def create(db: AsyncSession, user_id: int, name: str = "") -> str:
    """A new bearer token, told this once."""
    token, token_hash = new_token()
    await db.execute(insert(ApiToken).values(user_id=user_id, token_hash=token_hash, name=name[:80]))
    return token


async def find(reader: AsyncConnection, token: str) -> Viewer | None:
    """Who the bearer token signs in. Suspended people are nobody."""
    row = (await reader.execute(_FIND, {"token_hash": hash_token(token)})).one_or_none()
    if row is None:
        return None
    if row.is_stale:
        await visits.note(reader, update(ApiToken).where(ApiToken.id == row.id).values(seen_at=func.now()))
    return as_viewer(row, token_id=row.id)


async def end(db: AsyncSession, token_id: int) -> None:
    """Ends one token."""
    await db.execute(delete(ApiToken).where(ApiToken.id == token_id))


async def list_tokens(reader: AsyncConnection, viewer: Viewer) -> list[TokenSummary]:
    """The viewer's tokens, the newest first."""
    columns = (ApiToken.id, ApiToken.name, ApiToken.created_at, ApiToken.seen_at)
    rows = await reader.execute(
        select(*columns).where(ApiToken.user_id == viewer.id).order_by(ApiToken.id.desc()).limit(100)
    )
    return [TokenSummary(id=row.id, name=row.name, created_at=row.created_at, seen_at=row.seen_at) for row in rows]


async def end_own(db: AsyncSession, viewer: Viewer, token_id: int) -> None:
    """Ends one token of the viewer's own. Raises NotFound."""
    ended = await db.execute(
        delete(ApiToken).where(ApiToken.id == token_id, ApiToken.user_id == viewer.id).returning(ApiToken.id)
    )
    if ended.one_or_none() is None:
        raise NotFound


async def end_others(db: AsyncSession, user_id: int, kept: int | None = None) -> None:
    """Ends the tokens of a person, except the one with the id `kept`."""
    await db.execute(delete(ApiToken).where(ApiToken.user_id == user_id, ApiToken.id.is_distinct_from(kept)))
