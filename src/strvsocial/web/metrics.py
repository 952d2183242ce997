"""Prometheus metrics at /metrics: of this web process, and of the queues, which are the same everywhere. Labels are bounded: route templates, never addresses."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Any

import structlog
from litestar import Request, Response, get
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import text

from strvsocial import meters
from strvsocial.db import Database
from strvsocial.jobs import QUEUES
from strvsocial.settings import Settings

log = structlog.get_logger()

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_QUEUES = text(
    """
    select queue, count(*) filter (where state = 'queued') as waiting, count(*) filter (where state = 'running') as running,
      coalesce(extract(epoch from now() - min(run_after) filter (where state = 'queued' and run_after <= now())), 0) as age
    from jobs where state in ('queued', 'running') group by queue
    """
)
_DEAD = text("select count(*) from jobs where state = 'dead'")


class Metrics:
    """One application's figures."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("strv_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
        self.seconds = Histogram(
            "strv_request_seconds", "Seconds to the last byte; streams not counted.", ["route"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self.shed = Counter("strv_shed", "Requests refused because of load.", ["reason"], registry=registry)
        self.load = Gauge(
            "strv_load", "Requests of this process that run, wait, and may run.", ["state"], registry=registry
        )
        self.loop_delay = Gauge("strv_loop_delay_seconds", "How late the event loop came lately.", registry=registry)
        self.waiting = Gauge("strv_jobs_waiting", "Jobs that wait.", ["queue"], registry=registry)
        self.running = Gauge("strv_jobs_running", "Jobs that run.", ["queue"], registry=registry)
        self.oldest = Gauge(
            "strv_jobs_oldest_seconds", "How long the longest waiting due job has waited.", ["queue"], registry=registry
        )
        self.dead = Gauge("strv_jobs_dead", "Jobs given up.", registry=registry)
        self.streams = Gauge("strv_event_streams", "Open streams of server-sent events.", registry=registry)
        self.vectors = Gauge("strv_index_vectors", "Vectors in this process's index.", ["space"], registry=registry)
        self.index_ready = Gauge("strv_index_ready", "1 once every active space is loaded.", registry=registry)
        self.index_lag = Gauge(
            "strv_index_lag_seconds", "Since the index last read PostgreSQL to the end.", registry=registry
        )
        self.database_up = Gauge("strv_database_up", "1 when the database answered this scrape.", registry=registry)

    def count(self, scope: HTTPScope, status: int, seconds: float) -> None:
        """Counts an answered request."""
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = str(scope.get("path_template") or "unknown")
        self.requests.labels(method, route, str(status)).inc()
        if route != "/events":
            self.seconds.labels(route).observe(seconds)

    async def collect(self, state: Any) -> None:
        """Asks the parts for their figures."""
        database: Database = state.database
        meters.note_pool(database.engine.pool)
        for name, value in (
            ("running", state.load.running),
            ("waiting", len(state.load.line)),
            ("room", state.load.room),
        ):
            self.load.labels(name).set(int(value))
        self.loop_delay.set(state.load.delay)
        self.streams.set(state.listener.subscriber_count)
        self._collect_index(state.index.status())
        try:
            async with asyncio.timeout(2), database.read() as reader:
                rows = {row.queue: row for row in await reader.execute(_QUEUES)}
                self.dead.set(await reader.scalar(_DEAD) or 0)
        except Exception as error:
            log.warning("metrics.no_database", error=repr(error))
            self.database_up.set(0)
            return
        self.database_up.set(1)
        for queue in QUEUES:
            row = rows.get(queue)
            self.waiting.labels(queue).set(row.waiting if row else 0)
            self.running.labels(queue).set(row.running if row else 0)
            self.oldest.labels(queue).set(float(row.age) if row else 0)

    def _collect_index(self, status: Any) -> None:
        self.index_ready.set(status.ready)
        self.index_lag.set(float("inf") if status.lag_seconds is None else status.lag_seconds)
        self.vectors.clear()
        for space in status.spaces:
            self.vectors.labels(space.name).set(space.count)


class CountRequests:
    """Counts every answer and its time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            self.metrics.count(scope, status, time.perf_counter() - started)


def may_scrape(settings: Settings, authorization: str | None) -> bool:
    """Whether an Authorization header opens the metrics; any does where no token is set."""
    if settings.metrics_token is None:
        return True
    wanted = f"Bearer {settings.metrics_token.get_secret_value()}"
    return hmac.compare_digest((authorization or "").encode(), wanted.encode())


@get("/metrics", tags=["operations"], summary="Metrics", media_type="text/plain")
async def show_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Figures in Prometheus' text format. With STRV_METRICS_TOKEN set, only for who sends it as a bearer token."""
    if not may_scrape(request.app.state.settings, request.headers.get("authorization")):
        headers = {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}
        return Response(b"Send the token of STRV_METRICS_TOKEN.\n", status_code=401, headers=headers)
    metrics: Metrics = request.app.state.metrics
    await metrics.collect(request.app.state)
    return Response(
        generate_latest(metrics.registry) + meters.show(),
        media_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )
