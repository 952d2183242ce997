"""Server-sent events: `post.ready`, `post.failed`, `post.progress`, `notification` and more, as they happen, for the viewer only."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.response import Stream

from strvsocial.errors import TooManyRequests
from strvsocial.live import PASSING, Listener, News
from strvsocial.users.watch import Watch
from strvsocial.web.shutdown import Shutdown
from strvsocial.web.viewers import Viewer

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 3_000
RETURN_MILLISECONDS = (500, 4_000)
"""When to come back after the end of a process; each stream is told a moment of its own."""
STREAMS_PER_PERSON = 20


@get("/events", tags=["live"], summary="Live events", media_type="text/event-stream")
async def stream_events(request: Request[Any, Any, Any], me: NamedDependency[Viewer]) -> Stream:
    """The viewer's news as server-sent events; `data` is JSON. A comment every 15 seconds keeps the line open.

    A client that comes back within a minute and says the last `id` that it got, as Last-Event-ID or `after`, is told what
    it missed. The stream ends when the session ends. It holds no database connection.
    """
    listener: Listener = request.app.state.listener
    if listener.count_of(me.id) >= STREAMS_PER_PERSON:
        raise TooManyRequests("You have very many pages open.", retry_after=30)
    after = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    events = _events(listener, request.app.state.watch, request.app.state.shutdown, me, after)
    return Stream(
        events,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Cookie, Authorization"},
    )


async def _events(listener: Listener, watch: Watch, shutdown: Shutdown, me: Viewer, after: str) -> AsyncIterator[str]:
    async with listener.subscribe(me.id, after=after) as news:
        with watch.over(me) as ended:
            yield f"retry: {RETRY_MILLISECONDS}\nid: {listener.last_id}\n: welcome\n\n"
            endings = [asyncio.create_task(ended.wait()), asyncio.create_task(shutdown.begun.wait())]
            try:
                while not any(task.done() for task in endings):
                    yield await _next(news, endings)
            finally:
                for task in endings:
                    task.cancel()
            if shutdown.begun.is_set():
                # All at once they would all come back at once.
                await asyncio.sleep(random.uniform(0, shutdown.grace / 2))
                yield f"retry: {random.randint(*RETURN_MILLISECONDS)}\n: until soon\n\n"


async def _next(news: asyncio.Queue[News], endings: list[asyncio.Task[Any]]) -> str:
    """The next event as text; a comment when nothing happened for long or the stream is about to end."""
    arriving = asyncio.create_task(news.get())
    try:
        await asyncio.wait({arriving, *endings}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return as_event(arriving.result()) if arriving.done() else ": still here\n\n"
    finally:
        arriving.cancel()


def as_event(news: News) -> str:
    """News as a server-sent event, with an id to come back with when it is one that is remembered."""
    number = "" if news.kind in PASSING else f"id: {news.id}\n"
    return f"event: {news.kind}\n{number}data: {msgspec.json.encode(news.data).decode()}\n\n"
