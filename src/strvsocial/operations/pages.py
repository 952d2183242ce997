"""The admin's pages: the site at a glance, its queues, storage, processes and people, and what admins did.

Everything works by links and plain forms; where scripts run, the part that tells of now is asked for again and again.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.media.sweeping import count_bytes, find_last_sweep
from strvsocial.operations import figures, maps, processes, queues, samples
from strvsocial.operations.places import (
    JOBS,
    LOG,
    MAP,
    OVERVIEW,
    PROCESSES,
    STORAGE,
    AnyRequest,
    address_of,
    show,
    told,
)
from strvsocial.operations.plots import RANGES
from strvsocial.settings import Settings
from strvsocial.users import audit
from strvsocial.web.forms import see
from strvsocial.web.health import ask_parts
from strvsocial.web.input import read_input
from strvsocial.web.paging import Cursor
from strvsocial.web.rendering import PageResponse
from strvsocial.web.viewers import Viewer

Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Admin = NamedDependency[Viewer]
SiteSettings = NamedDependency[Settings]
Span = Annotated[Literal["hour", "day", "fortnight"], QueryParameter(name="range")]
Live = Annotated[Literal["on", "off"], QueryParameter()]
Done = Annotated[str, QueryParameter(max_length=40)]


PARTS = {
    "database": "Database",
    "redis": "Redis",
    "storage": "Storage",
    "live": "Live news",
    "index": "Index",
    "models": "Models",
}
STOCK = ("people", "posts", "seconds", *(f"bytes.{kind}" for kind in figures.KINDS))
TRAFFIC = ("requests", "errors", "p95")


class Kind(Struct):
    kind: Annotated[str, Meta(max_length=64)]


@get("/admin", name="operations.overview.show", include_in_schema=False)
async def show_overview(
    request: AnyRequest, reader: Reader, admin: Admin, span: Span = "hour", live: Live = "on"
) -> PageResponse:
    parts = await ask_parts(request.app.state)
    running = await processes.list_processes(reader)
    waiting = await queues.list_queues(reader)
    plots = [
        *await figures.draw_queues(reader, RANGES[span]),
        *await figures.draw_requests(reader, RANGES[span]),
    ]
    return show(
        request,
        OVERVIEW,
        live,
        span,
        parts={title: parts.get(name, "not asked") for name, title in PARTS.items()},
        missing=processes.missing_kinds(running),
        kinds=processes.KIND_TITLES,
        processes=running,
        queues=waiting,
        latest=await samples.read_latest(reader, [*STOCK, *TRAFFIC]),
        plots=plots,
    )


@get("/admin/jobs", name="operations.jobs.list", include_in_schema=False)
async def show_jobs(
    request: AnyRequest,
    reader: Reader,
    admin: Admin,
    span: Span = "hour",
    live: Live = "on",
    cursor: Cursor = None,
    done: Done = "",
) -> PageResponse:
    failures = await queues.list_failures(reader, admin, cursor=cursor)
    return show(
        request,
        JOBS,
        live,
        span,
        queues=await queues.list_queues(reader),
        dead=await queues.list_dead_kinds(reader),
        failures=failures.items,
        next=address_of(JOBS, span, live, cursor=failures.next) if failures.next else None,
        cursor=cursor,
        note=told(done),
        plots=await figures.draw_queues(reader, RANGES[span]),
    )


@post("/admin/jobs/{job_id:int}/retry", name="operations.jobs.retry", include_in_schema=False, status_code=200)
async def retry_job(db: Db, admin: Admin, job_id: FromPath[int]) -> Response[Any]:
    return see(f"/admin/jobs?done=retried-{await queues.retry(db, admin, job_id)}")


@post("/admin/jobs/retry", name="operations.jobs.retry_kind", include_in_schema=False, status_code=200)
async def retry_kind(request: AnyRequest, db: Db, admin: Admin) -> Response[Any]:
    sent = await read_input(request, Kind)
    return see(f"/admin/jobs?done=retried-{await queues.retry_kind(db, admin, sent.kind)}")


@get("/admin/storage", name="operations.storage.show", include_in_schema=False)
async def show_storage(
    request: AnyRequest,
    reader: Reader,
    settings: SiteSettings,
    admin: Admin,
    span: Span = "fortnight",
    live: Live = "on",
) -> PageResponse:
    return show(
        request,
        STORAGE,
        live,
        span,
        stored=await count_bytes(reader, settings, 10),
        names=figures.KINDS,
        disk=None if settings.s3_bucket else await asyncio.to_thread(shutil.disk_usage, settings.data_dir),
        bucket=settings.s3_bucket,
        sweep=await find_last_sweep(reader),
        plots=[await figures.draw_storage(reader, RANGES[span])],
    )


@get("/admin/processes", name="operations.processes.list", include_in_schema=False)
async def show_processes(request: AnyRequest, reader: Reader, admin: Admin, live: Live = "on") -> PageResponse:
    running = await processes.list_processes(reader)
    return show(
        request,
        PROCESSES,
        live,
        processes=running,
        missing=processes.missing_kinds(running),
        kinds=processes.KIND_TITLES,
        now=datetime.now(UTC),
    )


@get("/admin/map", name="operations.map.show", include_in_schema=False)
async def show_map(
    request: AnyRequest, reader: Reader, admin: Admin, space: Annotated[str, QueryParameter(max_length=8)] = ""
) -> PageResponse:
    drawn, spaces = await maps.draw_map(reader, space)
    return show(request, MAP, map=drawn, spaces=spaces)


@get("/admin/log", name="operations.log.list", include_in_schema=False)
async def show_log(request: AnyRequest, reader: Reader, admin: Admin, cursor: Cursor = None) -> PageResponse:
    found = await audit.list_entries(reader, cursor=cursor)
    following = f"/admin/log?cursor={found.next}" if found.next else None
    return show(request, LOG, entries=found.items, next=following)


HANDLERS: list[ControllerRouterHandler] = [
    show_overview,
    show_jobs,
    retry_job,
    retry_kind,
    show_storage,
    show_processes,
    show_map,
    show_log,
]
