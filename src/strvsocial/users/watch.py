"""Notices within seconds that a session or token was ended while its stream of events is open.

One question to the database every few seconds for all open streams of a process, none while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import ARRAY, BigInteger, bindparam, func, select

from strvsocial.db import Database
from strvsocial.users.models import ApiToken, Session, User
from strvsocial.web.viewers import Viewer

log = structlog.get_logger()

SECONDS = 3.0

_IDS = bindparam("ids", type_=ARRAY(BigInteger))
_LIVE_SESSIONS = (
    select(Session.id)
    .join(User, User.id == Session.user_id)
    .where(Session.id == func.any(_IDS), Session.expires_at > func.now(), User.suspended_at.is_(None))
)
_LIVE_TOKENS = (
    select(ApiToken.id)
    .join(User, User.id == ApiToken.user_id)
    .where(ApiToken.id == func.any(_IDS), User.suspended_at.is_(None))
)


@dataclass
class Watch:
    """Watches the sessions and tokens of open streams."""

    database: Database
    _sessions: dict[int, set[asyncio.Event]] = field(default_factory=dict)
    _tokens: dict[int, set[asyncio.Event]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="session-watch")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextmanager
    def over(self, viewer: Viewer) -> Iterator[asyncio.Event]:
        """An event that is set once what the viewer signed in with has ended."""
        ended = asyncio.Event()
        watched, key = (
            (self._sessions, viewer.session_id) if viewer.session_id is not None else (self._tokens, viewer.token_id)
        )
        watched.setdefault(key or 0, set()).add(ended)
        try:
            yield ended
        finally:
            watched[key or 0].discard(ended)
            if not watched[key or 0]:
                del watched[key or 0]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                async with asyncio.timeout(SECONDS):
                    await self._look()
            except Exception as error:  # The database may be away; the streams stay open until it can be asked.
                log.warning("watch.failed", error=repr(error))

    async def _look(self) -> None:
        for watched, statement in ((self._sessions, _LIVE_SESSIONS), (self._tokens, _LIVE_TOKENS)):
            if not watched:
                continue
            ids = list(watched)
            async with self.database.read() as reader:
                live = set((await reader.scalars(statement, {"ids": ids})).all())
            for gone in set(ids) - live:
                for ended in watched.get(gone, ()):
                    ended.set()
