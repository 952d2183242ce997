"""Ends the process without failing anybody: SIGTERM is heard here first, and reaches the server a little later.

1. At once `begun` is set: /readyz answers 503, answers close their connections, streams of news end one after another
   with a hint when to come back. New requests are still answered, for as long as proxies may need to notice.
2. After the grace no new connection gets through to us any more, and the server is told: it stops listening and finishes
   what it has. Uploads that are still being sent are asked to stop (`hurry`): what came of them is kept.

SIGINT and a second SIGTERM skip the grace.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from strvsocial.web.listening import let_nobody_in

CLOSING_SECONDS = 0.15
"""Between the moment when nobody new gets in and the server's: who is in by then is served."""
UPLOAD_SECONDS = 3.0
"""How long uploads may go on after the server was told to end; it waits a little longer (see the Procfile)."""


class Shutdown:
    """`begun` is set once the process was told to end, after which it goes on for `grace` seconds."""

    def __init__(self, grace: float = 0.0) -> None:
        self.grace = grace
        self.begun = asyncio.Event()
        self.hurry = False
        self._reading: set[asyncio.Timeout] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for SIGTERM and SIGINT during the block; outside of the main thread it cannot, and does not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, Any] = {}

        def hear(number: int, frame: FrameType | None) -> None:
            previous = before.get(signal.Signals(number))
            if number == signal.SIGTERM and self.grace and not self.begun.is_set():
                loop.call_soon_threadsafe(self._begin, lambda: previous and previous(number, frame), previous)
                return
            loop.call_soon_threadsafe(self._hasten)
            if callable(previous):
                previous(number, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            # Where nobody listens yet, as in tests, the default must keep ending the process.
            if callable(previous) and previous is not signal.default_int_handler:
                before[number] = signal.signal(number, hear)
        try:
            yield
        finally:
            self.begun.set()
            for number, previous in before.items():
                signal.signal(number, previous)

    def hastened(self, receive: Receive) -> Receive:
        """`receive` of a request that may last: when the time is up, its client counts as gone."""

        async def receive_in_time() -> Any:
            if self.hurry:
                return {"type": "http.disconnect"}
            try:
                async with asyncio.timeout(None) as limit:
                    self._reading.add(limit)
                    try:
                        return await receive()
                    finally:
                        self._reading.discard(limit)
            except TimeoutError:
                return {"type": "http.disconnect"}

        return receive_in_time

    def _begin(self, tell: Any, handler: Any) -> None:
        loop = asyncio.get_running_loop()
        self.begun.set()
        loop.call_later(self.grace, let_nobody_in, getattr(handler, "__self__", None))
        loop.call_later(self.grace + CLOSING_SECONDS, tell)
        loop.call_later(self.grace + UPLOAD_SECONDS, self._stop_uploads)

    def _hasten(self) -> None:
        self.begun.set()
        asyncio.get_running_loop().call_later(UPLOAD_SECONDS, self._stop_uploads)

    def _stop_uploads(self) -> None:
        self.hurry = True
        for limit in self._reading:
            limit.reschedule(0)


class Draining:
    """Once the end has begun, closes each connection with its answer, and lets uploads be stopped in time."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self.app, self.shutdown = app, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self.shutdown.begun.is_set():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self.app(scope, self.shutdown.hastened(receive), send_and_close)
