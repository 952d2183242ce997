"""Says no early and quickly when there is more to do than this process can, so that what it takes on it does well.

Each request that is worked out (pages, fragments, the API) takes a place of `Load` until its answer begins; then slow
readers, films and streams cost no place any more. A request whose turn would come too late for its kind is refused with
503 and Retry-After before anything was done for it. Small bodies are read before the place is taken: a slow sender waits
on its own time. Health and metrics are never refused.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from strvsocial.web.busy import answer_busy, answer_too_slow
from strvsocial.web.load import Load, WaitedTooLong
from strvsocial.web.metrics import Metrics

BODY_SECONDS = 15.0
"""How long a small body may take to arrive."""
KEPT_BYTES = 65_536
"""As much of a body is read before a place is taken."""


class Kind(NamedTuple):
    """A kind of request, and how long it may stand in line; who has less patience is refused first."""

    name: str
    patience: float


SEARCHER = Kind("anonymous_search", 0.2)
PASSER_BY = Kind("anonymous", 0.4)
READER = Kind("signed_in", 0.8)
WRITER = Kind("write", 1.4)

_FREE = ("/livez", "/readyz", "/metrics", "/static/")
_TRANSFERS = ("/create", "/api/v1/posts", "/api/v1/uploads", "/api/v1/me/avatar", "/settings/avatar", "/media/", "/p/")
_LARGE_BODIES = (b"multipart/form-data", b"application/offset+octet-stream")
_SEARCHES = ("/search", "/api/v1/search", "/api/v1/users")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def kind_of(scope: HTTPScope) -> Kind:
    """Whose patience counts. A cookie may be forged; who forges one gains a little time, and everybody is refused alike."""
    names = {name for name, _ in scope["headers"]}
    if scope["method"] not in _READS:
        return WRITER
    if names & {b"cookie", b"authorization"}:
        return READER
    path = scope["path"]
    return SEARCHER if path.startswith(_SEARCHES) or path.endswith("/similar") else PASSER_BY


def is_transfer(scope: HTTPScope) -> bool:
    """Whether the request mostly moves bytes, which may last as long as the other end likes."""
    path = scope["path"]
    if not path.startswith(_TRANSFERS):
        return False
    return path.startswith("/media/") or _header(scope, b"content-type").lower().startswith(_LARGE_BODIES)


class Shedding:
    """Around everything that works on a request, inside what counts answers and adds headers."""

    def __init__(self, app: ASGIApp, load: Load, metrics: Metrics, *, max_streams: int) -> None:
        self.app, self.load, self.metrics, self.max_streams = app, load, metrics, max_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(_FREE):
            await self.app(scope, receive, send)
        elif scope["path"] == "/events":
            await self._stream(scope, receive, send)
        else:
            await self._work(scope, receive, send)

    async def _stream(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if self.load.streams >= self.max_streams:
            self.metrics.shed.labels("streams").inc()
            await answer_busy(scope, send, retry_after=random.randint(10, 30))
            return
        self.load.streams += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.load.streams -= 1

    async def _work(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        kind, wait = kind_of(scope), self.load.expected_wait()
        if wait > kind.patience:
            await self._refuse(kind.name, scope, send)
            return
        if is_transfer(scope):
            await self.app(scope, receive, send)
            return
        try:
            receive = await read_small_body(scope, receive)
        except TimeoutError:
            await answer_too_slow(scope, send)
            return
        try:
            await self.load.enter()
        except WaitedTooLong:
            await self._refuse("waited", scope, send)
            return
        await self._work_in_place(scope, receive, send)

    async def _work_in_place(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started, has_place = time.monotonic(), True

        def leave() -> None:
            nonlocal has_place
            if has_place:
                has_place = False
                self.load.leave(time.monotonic() - started)

        async def send_and_leave(message: Message) -> None:
            leave()
            await send(message)

        try:
            await self.app(scope, receive, send_and_leave)
        finally:
            leave()

    async def _refuse(self, reason: str, scope: HTTPScope, send: Send) -> None:
        self.metrics.shed.labels(reason).inc()
        # A crowd that was told one moment would come back at that moment.
        await answer_busy(scope, send, retry_after=random.randint(2, 6))


async def read_small_body(scope: HTTPScope, receive: Receive) -> Receive:
    """Takes in the body, or the first 64 KiB of it, and returns a `receive` that gives it out again.

    Raises:
        TimeoutError: it took longer than 15 seconds.
    """
    if _header(scope, b"content-length") in (b"", b"0") and not _header(scope, b"transfer-encoding"):
        return receive
    kept: list[Any] = []
    size, more = 0, True
    async with asyncio.timeout(BODY_SECONDS):
        while more and size < KEPT_BYTES:
            message: Any = await receive()
            kept.append(message)
            size += len(message.get("body", b""))
            more = bool(message.get("more_body"))
    kept.reverse()

    async def give() -> Any:
        return kept.pop() if kept else await receive()

    return give


def _header(scope: HTTPScope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
