"""Signs of life: every process tells every few seconds that it is there, and sees to it that each minute is measured.

The truth lies in PostgreSQL, so it survives an emptied Redis. A process that stops in order takes its row along; the row of
one that died stays for a day, so that somebody can see it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import psutil
import structlog
from sqlalchemy import text

from strvsocial import __version__
from strvsocial.db import Database
from strvsocial.ids import new_id
from strvsocial.operations import samples

log = structlog.get_logger()

BEAT_SECONDS = 15.0
GOODBYE_SECONDS = 2.0

_BEAT = text(
    """
    insert into processes (id, kind, host, pid, version, details)
    values (:id, :kind, :host, :pid, :version, cast(:details as jsonb))
    on conflict (id) do update set details = excluded.details, seen_at = now()
    """
)
_FORGET = text("delete from processes where seen_at < now() - interval '1 day'")
_LEAVE = text("delete from processes where id = :id")

Describe = Callable[[], dict[str, Any]]
"""What a process does just now, for `Process.details`."""


class Heartbeat:
    """One process's. `start()` it once the process serves, `aclose()` it when it ends."""

    def __init__(self, database: Database, kind: str, describe: Describe = dict) -> None:
        self.id, self.kind = new_id(), kind
        self._database, self._describe = database, describe
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_beating(), name="heartbeat")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(Exception):  # Without the database nobody reads the row either; it is forgotten within a day.
            async with asyncio.timeout(GOODBYE_SECONDS), self._database.transaction() as db:
                await db.execute(_LEAVE, {"id": self.id})

    async def beat(self) -> None:
        """Tells once, and measures the minute if nobody has."""
        details = {"rss": psutil.Process().memory_info().rss, **self._describe()}
        row = {
            "id": self.id,
            "kind": self.kind,
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
            "version": __version__,
            "details": msgspec.json.encode(details).decode(),
        }
        async with self._database.transaction() as db:
            await db.execute(_BEAT, row)
            await db.execute(_FORGET)
        await samples.take(self._database)

    async def _keep_beating(self) -> None:
        is_heard = True
        while True:
            try:
                await self.beat()
                is_heard = True
            except Exception as error:
                if is_heard:
                    log.warning("heartbeat.unheard", error=repr(error))
                is_heard = False
            await asyncio.sleep(BEAT_SECONDS)
