"""Noting when a session or a token was last used: the one thing that reading a page writes."""

from __future__ import annotations

import structlog
from sqlalchemy import Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger()


async def note(reader: AsyncConnection, visit: Update) -> None:
    """Writes the note, or does without: on a full disk or a read-only server people can still read."""
    try:
        await reader.execute(visit)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        log.warning("visit.not_noted", error=repr(error.orig)[:200])
