"""The admin's pages: the site at a glance, its queues, storage, processes and people, and what admins did.

Everything works by links and plain forms; where scripts run, the part that tells of now is asked for again and again.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.media.sweeping import count_bytes, find_last_sweep
from strvsocial.operations import figures, maps, people, processes, queues, samples
from strvsocial.operations.plots import RANGES
from strvsocial.settings import Settings
from strvsocial.users import audit
from strvsocial.web.forms import see
from strvsocial.web.health import ask_parts
from strvsocial.web.input import read_input
from strvsocial.web.paging import Cursor
from strvsocial.web.rendering import PageResponse, is_fragment, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Admin = NamedDependency[Viewer]
SiteSettings = NamedDependency[Settings]
Span = Annotated[Literal["hour", "day", "fortnight"], QueryParameter(name="range")]
Live = Annotated[Literal["on", "off"], QueryParameter()]
Done = Annotated[str, QueryParameter(max_length=40)]


class Place(Struct, frozen=True):
    """A page of the admin's: `seconds` after which what it shows is asked for again, 0 for never."""

    name: str
    path: str
    title: str
    about: str
    seconds: int = 0


OVERVIEW = Place("overview", "/admin", "Overview", "How the site is, right now and lately.", 10)
JOBS = Place("jobs", "/admin/jobs", "Queues", "Work that waits, runs, or was given up.", 10)
STORAGE = Place("storage", "/admin/storage", "Storage", "What is kept, of which kind, and whose it is.", 60)
PROCESSES = Place(
    "processes", "/admin/processes", "Processes", "Who does the work. Each says every 15 s that it is there.", 5
)
PEOPLE = Place("people", "/admin/people", "People", "Everybody with an account.")
MAP = Place("map", "/admin/map", "Map", "What the site finds alike, seen from above.")
LOG = Place("log", "/admin/log", "Log", "What admins did, here and in the console.")
PLACES = (OVERVIEW, JOBS, STORAGE, PROCESSES, PEOPLE, MAP, LOG)

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
    return _show(
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
    return _show(
        request,
        JOBS,
        live,
        span,
        queues=await queues.list_queues(reader),
        dead=await queues.list_dead_kinds(reader),
        failures=failures.items,
        next=_address(JOBS, span, live, cursor=failures.next) if failures.next else None,
        cursor=cursor,
        note=_told(done),
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
    return _show(
        request,
        STORAGE,
        live,
        span,
        stored=await count_bytes(reader, 10),
        names=figures.KINDS,
        disk=None if settings.s3_bucket else await asyncio.to_thread(shutil.disk_usage, settings.data_dir),
        bucket=settings.s3_bucket,
        sweep=await find_last_sweep(reader),
        plots=[await figures.draw_storage(reader, RANGES[span])],
    )


@get("/admin/processes", name="operations.processes.list", include_in_schema=False)
async def show_processes(request: AnyRequest, reader: Reader, admin: Admin, live: Live = "on") -> PageResponse:
    running = await processes.list_processes(reader)
    return _show(
        request,
        PROCESSES,
        live,
        processes=running,
        missing=processes.missing_kinds(running),
        kinds=processes.KIND_TITLES,
        now=datetime.now(UTC),
    )


@get("/admin/people", name="operations.people.list", include_in_schema=False)
async def show_people(
    request: AnyRequest,
    reader: Reader,
    admin: Admin,
    q: Annotated[str, QueryParameter(max_length=100)] = "",
    only: Annotated[Literal["", "suspended", "admins"], QueryParameter()] = "",
    cursor: Cursor = None,
    done: Done = "",
) -> PageResponse:
    found = await people.list_people(reader, request.app.state.settings, q, only=only, cursor=cursor)
    leading = urlencode({"q": q, "only": only, "cursor": found.next}) if found.next else ""
    following = f"/admin/people?{leading}" if leading else None
    return _show(request, PEOPLE, people=found.items, q=q, chosen=only, next=following, note=_told(done))


@post(
    "/admin/people/{username:str}/suspend", name="operations.people.suspend", include_in_schema=False, status_code=200
)
async def suspend(db: Db, admin: Admin, username: FromPath[str]) -> Response[Any]:
    await people.suspend(db, admin, username)
    return see(f"/admin/people?q={quote(username)}&done=suspended")


@post(
    "/admin/people/{username:str}/unsuspend",
    name="operations.people.unsuspend",
    include_in_schema=False,
    status_code=200,
)
async def unsuspend(db: Db, admin: Admin, username: FromPath[str]) -> Response[Any]:
    await people.unsuspend(db, admin, username)
    return see(f"/admin/people?q={quote(username)}&done=unsuspended")


@post(
    "/admin/people/{username:str}/sign-out",
    name="operations.people.sign_out",
    include_in_schema=False,
    status_code=200,
)
async def sign_out(db: Db, admin: Admin, username: FromPath[str]) -> Response[Any]:
    await people.sign_out(db, admin, username)
    return see(f"/admin/people?q={quote(username)}&done=signed-out")


@get("/admin/map", name="operations.map.show", include_in_schema=False)
async def show_map(
    request: AnyRequest, reader: Reader, admin: Admin, space: Annotated[str, QueryParameter(max_length=8)] = ""
) -> PageResponse:
    drawn, spaces = await maps.draw_map(reader, space)
    return _show(request, MAP, map=drawn, spaces=spaces)


@get("/admin/log", name="operations.log.list", include_in_schema=False)
async def show_log(request: AnyRequest, reader: Reader, admin: Admin, cursor: Cursor = None) -> PageResponse:
    found = await audit.list_entries(reader, cursor=cursor)
    following = f"/admin/log?cursor={found.next}" if found.next else None
    return _show(request, LOG, entries=found.items, next=following)


NOTES = {
    "suspended": "Suspended: hidden, and signed out everywhere.",
    "unsuspended": "The suspension is taken back.",
    "signed-out": "Signed out everywhere. API tokens are ended, too.",
}


def _told(done: str) -> str:
    """What a form did, as the page after it says. Only words of ours are said."""
    verb, _, count = done.partition("-")
    if verb == "retried" and count.isascii() and count.isdigit() and len(count) < 10:
        if count == "0":
            return "An equal job waits already; it stands for this one."
        return "1 job is tried again." if count == "1" else f"{count} jobs are tried again."
    return NOTES.get(done, "")


def _address(place: Place, span: str, live: str, **more: str | None) -> str:
    """The address of a page with what was chosen on it, what is usual left out."""
    usual = "fortnight" if place is STORAGE else "hour"
    chosen = {"range": "" if span == usual else span, "live": "" if live == "on" else live, **more}
    query = urlencode({name: value for name, value in chosen.items() if value})
    return f"{place.path}?{query}" if query else place.path


def _show(request: AnyRequest, place: Place, live: str = "on", span: str = "", **context: Any) -> PageResponse:
    """The page; for scripts only the part that tells of now."""
    part = f"operations/_{place.name}.html"
    spans = [(one, _address(place, one.name, live)) for one in RANGES.values()] if span else []
    return page(
        part if is_fragment(request) else "operations/shell.html",
        part=part,
        section=place,
        sections=PLACES,
        span=span,
        spans=spans,
        seconds=max(place.seconds, RANGES[span].pause) if span else place.seconds,
        live=live,
        address=_address(place, span, live, cursor=context.get("cursor")) if place.seconds else "",
        switch=_address(place, span, "off" if live == "on" else "on") if place.seconds else "",
        **{"note": "", **context},
    )


HANDLERS: list[ControllerRouterHandler] = [
    show_overview,
    show_jobs,
    retry_job,
    retry_kind,
    show_storage,
    show_processes,
    show_people,
    suspend,
    unsuspend,
    sign_out,
    show_map,
    show_log,
]
