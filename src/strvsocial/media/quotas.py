"""How much of their originals a person may keep here, and bring within a day.

What counts: the originals of their posts, uploads that no post uses yet by the length that was announced, and forms under
way by the room that they hold. Nothing is kept beside the rows: what is deleted or has expired is given back by that. Who
wants room takes a lock of the person first, so of twenty uploads at once only those that fit are let in. Renditions and
the person's picture do not count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.db import Database
from strvsocial.errors import StrvError, TooLarge
from strvsocial.settings import MB, Settings
from strvsocial.web.formats import size

HOLD_SECONDS = 150
"""How long a form that says nothing more holds its room. A body may be silent for 60 seconds."""
_RENEW_SECONDS = 30
_STEP_BYTES = 8 * MB
"""How much room a form of unknown length takes at a time."""

# The tables of people and posts stand above media; here they are known by name only.
_LIMITS = text(
    """
    select coalesce(quota_bytes, :total) as total, coalesce(quota_daily_bytes, :daily) as daily
    from users where id = :user_id
    """
)
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('quota', :user_id))")
_USED = text(
    """
    select coalesce(sum(byte_size), 0)::bigint as used,
      coalesce(sum(byte_size) filter (where created_at > now() - interval '24 hours'), 0)::bigint as daily_used
    from (
      select a.byte_size, a.created_at from attachments a join posts p on p.id = a.post_id where p.author_id = :user_id
      union all select length, created_at from uploads
        where user_id = :user_id and state <> 'used' and expires_at > now()
      union all select byte_size, created_at from upload_holds where user_id = :user_id and expires_at > now()
    ) as theirs
    """
)
_HOLD = text(
    """
    insert into upload_holds (user_id, byte_size, expires_at)
    values (:user_id, :byte_size, now() + make_interval(secs => :seconds)) returning id
    """
)
_GROW = text(
    """
    update upload_holds set byte_size = :byte_size, expires_at = now() + make_interval(secs => :seconds)
    where id = :id returning id
    """
)
_RENEW = text("update upload_holds set expires_at = now() + make_interval(secs => :seconds) where id = :id")
_LET_GO = text("delete from upload_holds where id = :id")
_FORGET = text("delete from upload_holds where expires_at < now()")


class QuotaExceeded(TooLarge):
    """`message` says how much is left and what to do."""

    code = "quota_exceeded"


class Quota(Struct, frozen=True):
    """What a person keeps here and may keep, in bytes; None where there is no limit. Daily: within the last 24 hours."""

    used_bytes: int
    total_bytes: int | None
    daily_used_bytes: int
    daily_bytes: int | None

    @property
    def left(self) -> int | None:
        """How much may be brought now."""
        lefts = [most - used for used, most in self._pairs if most is not None]
        return max(0, min(lefts)) if lefts else None

    @property
    def left_today(self) -> bool:
        """Whether the day is what limits."""
        return self.total_bytes is None or (
            self.daily_bytes is not None
            and self.daily_bytes - self.daily_used_bytes < self.total_bytes - self.used_bytes
        )

    @property
    def _pairs(self) -> Sequence[tuple[int, int | None]]:
        return (self.used_bytes, self.total_bytes), (self.daily_used_bytes, self.daily_bytes)

    def without(self, held: int) -> Quota:
        """The same before so many bytes were held."""
        return Quota(self.used_bytes - held, self.total_bytes, self.daily_used_bytes - held, self.daily_bytes)

    def refuse(self, wanted: int, told: int | None = None) -> None:
        """Raises QuotaExceeded when so many bytes more are too many; `told` is what people read that it needs."""
        if not wanted:
            return
        if self.total_bytes is not None and self.used_bytes + wanted > self.total_bytes:
            left = size(max(0, self.total_bytes - self.used_bytes))
            raise QuotaExceeded(
                f"You have {left} left of your {size(self.total_bytes)}, and this needs {size(told or wanted)}. "
                "Delete posts or uploads that you no longer need, or ask an admin for more."
            )
        if self.daily_bytes is not None and self.daily_used_bytes + wanted > self.daily_bytes:
            left = size(max(0, self.daily_bytes - self.daily_used_bytes))
            raise QuotaExceeded(
                f"You may upload {size(self.daily_bytes)} within 24 hours. {left} are left, and this needs {size(told or wanted)}. "
                "Please go on tomorrow, or ask an admin for more.",
                code="daily_quota_exceeded",
            )


async def get_quota(db: AsyncSession | AsyncConnection, settings: Settings, user_id: int) -> Quota:
    """What a person keeps here, and what they may."""
    used = (await db.execute(_USED, {"user_id": user_id})).one()
    total, daily = await _limits(db, settings, user_id)
    return Quota(used.used, total, used.daily_used, daily)


async def find_limited(db: AsyncSession | AsyncConnection, settings: Settings, user_id: int) -> Quota | None:
    """The same, or None for who has no limit at all, without counting."""
    has_limit = any(most is not None for most in await _limits(db, settings, user_id))
    return await get_quota(db, settings, user_id) if has_limit else None


async def _limits(
    db: AsyncSession | AsyncConnection, settings: Settings, user_id: int
) -> tuple[int | None, int | None]:
    ours = {"total": settings.quota_bytes, "daily": settings.quota_daily_bytes}
    row = (await db.execute(_LIMITS, {"user_id": user_id, **ours})).one_or_none()
    return (row.total or None, row.daily or None) if row else (None, None)


async def take(db: AsyncSession, settings: Settings, user_id: int, wanted: int) -> None:
    """Sees to it that so many bytes more fit, until the caller's transaction ends. Raises QuotaExceeded."""
    if (quota := await _find_locked(db, settings, user_id)) is not None:
        quota.refuse(wanted)


async def _find_locked(db: AsyncSession, settings: Settings, user_id: int) -> Quota | None:
    if not any(most is not None for most in await _limits(db, settings, user_id)):
        return None
    await db.execute(_LOCK, {"user_id": user_id})
    return await get_quota(db, settings, user_id)


async def forget_holds(db: AsyncSession) -> None:
    """Forgets the room of forms whose process died."""
    await db.execute(_FORGET)


class Room:
    """What a form may bring of its sender's quota. `length` is that of its body, None where the client does not say.

    `announce` before the body is read, `take` for each piece of a file, then `settle` in the transaction that records the
    files, or `give_back`.
    """

    def __init__(self, database: Database, settings: Settings, user_id: int, length: int | None) -> None:
        self._database, self._settings, self._user_id = database, settings, user_id
        self._length = length
        self._is_limited = True
        self._hold_id: int | None = None
        self._granted = self._taken = self._least = 0
        self._renewed_at = 0.0

    async def announce(self, least: int) -> None:
        """Before the body: its files have at least so many bytes. Raises QuotaExceeded."""
        async with self._database.read() as reader:
            quota = await find_limited(reader, self._settings, self._user_id)
        self._is_limited, self._least = quota is not None, max(0, least)
        if quota is not None:
            quota.refuse(self._least, self._length)

    async def take(self, count: int) -> None:
        """Some bytes more of a file. Raises QuotaExceeded."""
        self._taken += count
        if not self._is_limited:
            return
        if self._taken > self._granted:
            await self._grow()
        elif time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            async with self._database.transaction() as db:
                await db.execute(_RENEW, {"id": self._hold_id, "seconds": HOLD_SECONDS})

    async def settle(self, db: AsyncSession, byte_size: int) -> None:
        """The caller's transaction records so many bytes in the place of what was held. Raises QuotaExceeded."""
        if not self._is_limited or not self._taken:
            return
        quota = await _find_locked(db, self._settings, self._user_id)
        if self._hold_id is not None:
            await db.execute(_LET_GO, {"id": self._hold_id})
        if quota is not None and byte_size:
            (await get_quota(db, self._settings, self._user_id)).refuse(byte_size)

    async def give_back(self, db: AsyncSession | None = None) -> None:
        """Nothing came of it, and what `db` has settled is undone. What cannot be given back now is within minutes."""
        hold_id, self._hold_id = self._hold_id, None
        if hold_id is not None:
            if db is not None:
                await db.rollback()  # It has the row locked.
            with suppress(StrvError, OSError, asyncio.TimeoutError):
                async with self._database.transaction() as db:
                    await db.execute(_LET_GO, {"id": hold_id})

    async def _grow(self) -> None:
        async with self._database.transaction() as db:
            quota = await _find_locked(db, self._settings, self._user_id)
            granted = max(self._taken, self._length or self._taken + _STEP_BYTES)
            if quota is not None:
                quota = quota.without(self._granted)
                quota.refuse(max(self._taken, self._least), self._length)
                granted = granted if quota.left is None else min(granted, quota.left)
            await self._hold(db, granted)
        self._granted, self._renewed_at = granted, time.monotonic()

    async def _hold(self, db: AsyncSession, byte_size: int) -> None:
        values: dict[str, Any] = {"byte_size": byte_size, "seconds": HOLD_SECONDS}
        if self._hold_id is not None and await db.scalar(_GROW, {"id": self._hold_id, **values}):
            return
        self._hold_id = await db.scalar(_HOLD, {"user_id": self._user_id, **values})
