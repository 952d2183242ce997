"""What admins did: one entry for each action, in the transaction of the action itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from msgspec import Struct
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.users.models import AuditEntry
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

CONSOLE = "console"
"""The actor of what was done by command."""


class AuditView(Struct, frozen=True):
    """An entry: who (a username of that time, or `console`) did what about whom or what."""

    id: int
    actor: str
    action: str
    about: str
    details: dict[str, Any]
    request_id: str
    created_at: datetime


async def record(db: AsyncSession, actor: Viewer | None, action: str, about: str, **details: Any) -> None:
    """Notes that `actor`, or the console for None, did `action` (`users.suspend`) about somebody or something."""
    await db.execute(
        insert(AuditEntry).values(
            actor_id=actor.id if actor else None,
            actor=actor.username if actor else CONSOLE,
            action=action,
            about=about[:255],
            details=details,
            request_id=str(structlog.contextvars.get_contextvars().get("request_id", ""))[:64],
        )
    )


async def list_entries(reader: AsyncConnection, *, cursor: str | None = None, limit: int = 50) -> Page[AuditView]:
    """What was done, the latest first."""
    columns = [getattr(AuditEntry, name) for name in AuditView.__struct_fields__]
    entries = select(*columns).order_by(AuditEntry.id.desc()).limit(limit + 1)
    if (after := decode_cursor(cursor, (int,))) is not None:
        entries = entries.where(AuditEntry.id < after[0])
    rows = (await reader.execute(entries)).all()
    more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return Page([AuditView(**row._mapping) for row in rows[:limit]], more)
