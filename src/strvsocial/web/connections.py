"""uvicorn's connection with the bounds that it lacks: `--http strvsocial.web.connections:Connection`.

A request's head must be complete within ten seconds and 64 KiB, and a process keeps only as many connections as it has
file descriptors for. nginx holds the same bounds in front; this is what holds without it.
"""

from __future__ import annotations

import asyncio
import resource
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from strvsocial.settings import get_settings

HEAD_SECONDS = 10.0
HEAD_BYTES = 65_536
SPARE_DESCRIPTORS = 96
"""For PostgreSQL, Redis, storage, logs and open files."""

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@lru_cache(maxsize=1)
def most_connections() -> int:
    """What the settings allow, and half of the file descriptors: an answer may need one for its file as well."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = soft - SPARE_DESCRIPTORS if soft < 1024 else soft // 2
    return max(8, min(get_settings().max_connections, room))


class Connection(HttpToolsProtocol):
    """One client's connection."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(_FULL)
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # A large piece may hold the head and the beginning of a body: then the head is complete by now.
        if self._head_timer is not None and self._head_bytes > HEAD_BYTES:
            self._refuse(_LARGE)

    def on_message_begin(self) -> None:
        if self._head_timer is None:
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _LATE)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, answer: bytes) -> None:
        self._is_refused = True
        self._head_arrived()
        transport: Any = self.transport
        if not transport.is_closing():
            # An answer to an earlier request of this connection may still be on its way; then only the end is said.
            if self.cycle is None or self.cycle.response_complete:
                transport.write(answer)
            transport.close()
