"""The metrics of processes that serve no pages: a tiny listener for Prometheus in the worker and the embedder.

Off unless STRV_METRICS_PORT is set. It answers `/metrics` (with the bearer token of STRV_METRICS_TOKEN, if there is one) and
`/livez`, one request a connection, and reads at most eight kilobytes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from strvsocial import meters
from strvsocial.db import Database
from strvsocial.settings import Settings
from strvsocial.web.metrics import may_scrape

log = structlog.get_logger()

PORTS = {"worker": 0, "embedder": 1}
"""Added to STRV_METRICS_PORT, so that both run from one environment."""
HEAD_SECONDS, HEAD_BYTES = 5.0, 8_192


@asynccontextmanager
async def exposed(settings: Settings, database: Database, process: str) -> AsyncIterator[None]:
    """Listens during the block. A port that is taken is told and is no reason not to work."""
    if not settings.metrics_port:
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_respond(head, settings, database))
                await writer.drain()
        writer.close()

    port = settings.metrics_port + PORTS[process]
    try:
        server = await asyncio.start_server(answer, settings.metrics_host, port, limit=HEAD_BYTES)
    except OSError as error:
        log.warning("metrics.not_shown", host=settings.metrics_host, port=port, error=str(error))
        yield
        return
    async with server:
        yield


def _respond(head: bytes, settings: Settings, database: Database) -> bytes:
    request, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, _, rest = request.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method != "GET" or path not in ("/metrics", "/livez"):
        return _response("404 Not Found", b"There is /metrics and /livez.\n")
    if path == "/livez":
        return _response("200 OK", b"ok")
    if not may_scrape(settings, headers.get("authorization")):
        return _response("401 Unauthorized", b"Send the token of STRV_METRICS_TOKEN.\n", "WWW-Authenticate: Bearer\r\n")
    meters.note_pool(database.engine.pool)
    return _response("200 OK", meters.show(), kind=CONTENT_TYPE_LATEST)


def _response(status: str, body: bytes, headers: str = "", kind: str = "text/plain; charset=utf-8") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}"
    return f"{head}Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode() + body
