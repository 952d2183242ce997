"""The frame of the admin's pages: which there are, what a form did, and the part that tells of now."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Request
from msgspec import Struct

from strvsocial.operations.plots import RANGES
from strvsocial.web.rendering import PageResponse, is_fragment, page

AnyRequest = Request[Any, Any, Any]


class Place(Struct, frozen=True):
    """A page of the admin's: `seconds` after which what it shows is asked for again, 0 for never."""

    name: str
    path: str
    title: str
    about: str
    seconds: int = 0


OVERVIEW = Place("overview", "/admin", "Overview", "How the site is, right now and lately.", 10)
JOBS = Place("jobs", "/admin/jobs", "Queues", "Work that waits, runs, or was given up.", 10)
MEDIA = Place("media", "/admin/media", "Media", "Files that could not be prepared, and sizes of films that failed.")
STORAGE = Place("storage", "/admin/storage", "Storage", "What is kept, of which kind, and whose it is.", 60)
PROCESSES = Place(
    "processes", "/admin/processes", "Processes", "Who does the work. Each says every 15 s that it is there.", 5
)
PEOPLE = Place("people", "/admin/people", "People", "Everybody with an account.")
MAP = Place("map", "/admin/map", "Map", "What the site finds alike, seen from above.")
LOG = Place("log", "/admin/log", "Log", "What admins did, here and in the console.")
PLACES = (OVERVIEW, JOBS, MEDIA, STORAGE, PROCESSES, PEOPLE, MAP, LOG)

NOTES = {
    "suspended": "Suspended: hidden, and signed out everywhere.",
    "unsuspended": "The suspension is taken back.",
    "again": "It is made once more.",
    "signed-out": "Signed out everywhere. API tokens are ended, too.",
}


def told(done: str) -> str:
    """What a form did, as the page after it says. Only words of ours are said."""
    verb, _, count = done.partition("-")
    if verb == "retried" and count.isascii() and count.isdigit() and len(count) < 10:
        if count == "0":
            return "An equal job waits already; it stands for this one."
        return "1 job is tried again." if count == "1" else f"{count} jobs are tried again."
    return NOTES.get(done, "")


def address_of(place: Place, span: str, live: str, **more: str | None) -> str:
    """The address of a page with what was chosen on it, what is usual left out."""
    usual = "fortnight" if place is STORAGE else "hour"
    chosen = {"range": "" if span == usual else span, "live": "" if live == "on" else live, **more}
    query = urlencode({name: value for name, value in chosen.items() if value})
    return f"{place.path}?{query}" if query else place.path


def show(request: AnyRequest, place: Place, live: str = "on", span: str = "", **context: Any) -> PageResponse:
    """The page; for scripts only the part that tells of now."""
    part = f"operations/_{place.name}.html"
    spans = [(one, address_of(place, one.name, live)) for one in RANGES.values()] if span else []
    return page(
        part if is_fragment(request) else "operations/shell.html",
        part=part,
        section=place,
        sections=PLACES,
        span=span,
        spans=spans,
        seconds=max(place.seconds, RANGES[span].pause) if span else place.seconds,
        live=live,
        address=address_of(place, span, live, cursor=context.get("cursor")) if place.seconds else "",
        switch=address_of(place, span, "off" if live == "on" else "on") if place.seconds else "",
        **{"note": "", **context},
    )
