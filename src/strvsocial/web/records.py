"""One line in the log for each request, and its span. What was asked for, not by whom: no address, no query, no header.

Assets, probes and scrapes that go well are told at level DEBUG only.
"""

from __future__ import annotations

import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from strvsocial import traces

log = structlog.get_logger()

_QUIET = ("/static/", "/livez", "/readyz", "/metrics")


class RecordRequests:
    """Inside of `RequestIds`, around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        started, status, sent = time.perf_counter(), 0, 0

        async def send_and_note(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        with traces.span(f"request {scope['method']}", http__request__method=scope["method"]) as span:
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                span |= {"http.route": _route(scope), "http.response.status_code": status}
                span |= {"error": str(status)} if status >= 500 else {}
                self._tell(scope, status, sent, time.perf_counter() - started)

    def _tell(self, scope: HTTPScope, status: int, sent: int, seconds: float) -> None:
        is_quiet = scope["path"].startswith(_QUIET) and 0 < status < 400
        tell = log.debug if is_quiet else log.info
        # A status of 0: the other end went away before there was an answer.
        tell(
            "request.answered",
            method=scope["method"],
            path=scope["path"],
            route=_route(scope),
            status=status,
            bytes=sent,
            seconds=round(seconds, 4),
        )


def _route(scope: HTTPScope) -> str:
    return str(scope.get("path_template") or "unknown")
