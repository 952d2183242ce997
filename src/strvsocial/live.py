"""Live news by PostgreSQL's NOTIFY: it is part of the transaction, so nobody hears of what was not committed.

`announce()` tells a person's open pages (server-sent events); `wake_index()` tells every process that answers similarity
queries to read the new vectors. `Listener` holds the one LISTEN connection of a process and hands messages on. It remembers
the last minute's: a page that comes back, to this process or another, is told what it missed (Last-Event-ID). News may be
lost while a connection is down: whoever needs the truth reads the rows.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.db import is_pooled, plain_url
from strvsocial.ids import new_id

log = structlog.get_logger()

PASSING = frozenset({"post.progress"})
"""News that the next of their kind outdo: they are told to whoever listens, and not remembered."""
REMEMBERED_SECONDS, MOST_REMEMBERED = 60.0, 5_000
EVENTS, VECTORS = "strv_events", "strv_vectors"
_NOTIFY = text("select pg_notify(:channel, :message)")
_NOTIFY_ALL = text("select count(pg_notify(:channel, message)) from unnest(cast(:messages as text[])) as message")


class News(msgspec.Struct, frozen=True):
    """An event for the open pages of one person. `kind` is as in the contract: `post.ready`, `post.failed`, …

    Those of a kind in `PASSING` cannot be asked for again by their id.
    """

    kind: str
    user_id: int
    data: dict[str, Any]
    id: str = msgspec.field(default_factory=new_id)


async def announce(db: AsyncSession, kind: str, user_id: int, data: dict[str, Any]) -> None:
    """Tells `user_id` once the caller's transaction commits. `data` holds ids, at most a few hundred bytes."""
    message = msgspec.json.encode(News(kind, user_id, data)).decode()
    await db.execute(_NOTIFY, {"channel": EVENTS, "message": message})


async def announce_all(db: AsyncSession, news: Sequence[News]) -> None:
    """`announce` of many news in one round trip."""
    if news:
        messages = [msgspec.json.encode(one).decode() for one in news]
        await db.execute(_NOTIFY_ALL, {"channel": EVENTS, "messages": messages})


async def wake_index(db: AsyncSession) -> None:
    """Tells the processes that follow the vectors, once the caller's transaction commits."""
    await db.execute(_NOTIFY, {"channel": VECTORS, "message": ""})


@dataclass
class Listener:
    """One connection that listens; it comes back by itself. `on_vectors` is also called after each reconnection."""

    url: str
    on_vectors: Callable[[], None] = lambda: None
    _subscribers: dict[int, set[asyncio.Queue[News]]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None
    _heard: deque[tuple[float, News]] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    is_connected: bool = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="live-listener")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def subscriber_count(self) -> int:
        return sum(len(queues) for queues in self._subscribers.values())

    def count_of(self, user_id: int) -> int:
        """How many subscriptions one person has."""
        return len(self._subscribers.get(user_id, ()))

    @asynccontextmanager
    async def subscribe(self, user_id: int, *, after: str = "") -> AsyncIterator[asyncio.Queue[News]]:
        """The news of one person while the block runs, beginning with those of the last minute since the one called
        `after`. A reader that falls 100 behind misses the oldest."""
        queue: asyncio.Queue[News] = asyncio.Queue(100)
        for news in self._missed(user_id, after) if after else ():
            queue.put_nowait(news)
        self._subscribers.setdefault(user_id, set()).add(queue)
        try:
            yield queue
        finally:
            self._subscribers[user_id].discard(queue)
            if not self._subscribers[user_id]:
                del self._subscribers[user_id]

    @property
    def last_id(self) -> str:
        """The id of the last news that was heard, whomever it concerned: who comes back with it missed nothing before."""
        return self._heard[-1][1].id if self._heard else "none"

    def _missed(self, user_id: int, after: str) -> list[News]:
        """What concerned a person since `after`; all of the last minute when that is longer ago."""
        missed: list[News] = []
        for heard_at, news in reversed(self._heard):
            if news.id == after or time.monotonic() - heard_at > REMEMBERED_SECONDS or len(missed) == 100:
                break
            if news.user_id == user_id:
                missed.append(news)
        return missed[::-1]

    async def _listen(self) -> None:
        while True:
            connection = None
            try:
                connection = await asyncpg.connect(plain_url(self.url), timeout=5, statement_cache_size=0)
                if await is_pooled(connection):
                    log.warning("live.through_a_pooler", hint="Set DATABASE_DIRECT_URL: `strvsocial doctor` says more.")
                await connection.add_listener(EVENTS, self._on_event)
                await connection.add_listener(VECTORS, lambda *_: self.on_vectors())
                self.on_vectors()
                self.is_connected = True
                while not connection.is_closed():
                    await asyncio.sleep(5)
                    await connection.execute("select 1", timeout=5)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("live.disconnected", error=repr(error))
                await asyncio.sleep(1)
            finally:
                self.is_connected = False
                if connection is not None:
                    with suppress(Exception):
                        await connection.close(timeout=1)

    def _on_event(self, _connection: Any, _pid: int, _channel: str, message: object) -> None:
        news = msgspec.json.decode(str(message), type=News)
        if news.kind not in PASSING:
            self._heard.append((time.monotonic(), news))
        for queue in self._subscribers.get(news.user_id, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(news)
