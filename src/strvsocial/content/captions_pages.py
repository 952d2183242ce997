"""The page on which authors put captions right, and the transcript as a part of the post's page."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content import posts
from strvsocial.content.captions import (
    CaptionsChange,
    CaptionsView,
    Segment,
    change_captions,
    get_captions,
    hear_again,
)
from strvsocial.content.timecodes import read_timecode, write_timecode
from strvsocial.errors import BadInput
from strvsocial.media.subtitles import MAX_BYTES
from strvsocial.web.formats import LANGUAGES
from strvsocial.web.forms import see
from strvsocial.web.input import check_fields
from strvsocial.web.rendering import PageResponse, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]

SPARE_ROWS = 2
"""Empty rows below the captions, so that some can be added without scripts."""


@get("/p/{post_id:str}/transcript", name="content.captions.transcript", include_in_schema=False)
async def show_transcript(reader: Reader, viewer: MaybeViewer, post_id: FromPath[str]) -> PageResponse:
    """Part of the post's page: what is said in it, which may be known only after the page was opened."""
    shown = await posts.get_visible(reader, viewer, post_id)
    return page("content/captions/_part.html", post=shown, captions=await get_captions(reader, viewer, post_id))


@get("/p/{post_id:str}/captions", name="content.captions.edit", include_in_schema=False)
async def show_captions(reader: Reader, me: Me, post_id: FromPath[str]) -> PageResponse:
    await posts.check_own(reader, me, post_id)
    shown = await posts.get_visible(reader, me, post_id)
    return _editor(shown, await get_captions(reader, me, post_id))


@post(
    "/p/{post_id:str}/captions",
    name="content.captions.save",
    include_in_schema=False,
    status_code=200,
    request_max_body_size=3 * MAX_BYTES,
)
async def save_captions(request: AnyRequest, db: Db, me: Me, post_id: FromPath[str]) -> Response[Any]:
    """Takes the rows of the form; a file, where one was chosen, takes their place."""
    shown = await posts.get_visible(db, me, post_id)
    form = await request.form()
    if form.get("again"):
        await hear_again(db, me, post_id)
        return see(shown.url)
    try:
        change = check_fields(await _sent(form), CaptionsChange)
        await change_captions(db, me, post_id, change)
    except BadInput as error:
        return _editor(shown, await get_captions(db, me, post_id), error, _rows(form))
    return see(shown.url)


def _editor(
    shown: Any, captions: CaptionsView, error: BadInput | None = None, rows: list[tuple[str, str, str]] | None = None
) -> PageResponse:
    if rows is None:
        rows = [(write_timecode(one.start), write_timecode(one.end), one.text) for one in captions.segments]
    return page(
        "content/captions/edit.html",
        status=error.status if error else 200,
        post=shown,
        captions=captions,
        rows=rows + [("", "", "")] * SPARE_ROWS,
        languages=LANGUAGES,
        message=error.message if error else "",
        fields=(error.fields or {}) if error else {},
    )


async def _sent(form: Any) -> dict[str, Any]:
    """The change that a form asks for: one form brings a file, the other one rows."""
    if isinstance(chosen := form.get("file"), UploadFile):
        content = await chosen.read(MAX_BYTES + 1)
        if not content:
            raise BadInput(fields={"file": "Choose a file first."})
        if len(content) > MAX_BYTES:
            raise BadInput(fields={"file": "This is larger than captions ever are: at most 1 MB, please."})
        return {"file": content.decode("utf-8", errors="replace").replace("\0", "")}
    segments = [_segment(number, *row) for number, row in enumerate(_rows(form), 1) if row[2].strip()]
    return {
        "shown": form.get("shown") == "on",
        "language": form.get("language") or None,
        "segments": msgspec.to_builtins(segments),
    }


def _rows(form: Any) -> list[tuple[str, str, str]]:
    columns = (
        [value for value in form.getall(name, []) if isinstance(value, str)] for name in ("start", "end", "text")
    )
    return [row for row in zip(*columns, strict=False) if any(value.strip() for value in row)]


def _segment(number: int, start: str, end: str, text: str) -> Segment:
    times = [read_timecode(start), read_timecode(end)]
    if None in times:
        raise BadInput(fields={"segments": f"Caption {number}: write times as 1:23.5, minutes and seconds."})
    return Segment(times[0] or 0.0, times[1] or 0.0, text.replace("\0", ""))


HANDLERS: list[ControllerRouterHandler] = [show_transcript, show_captions, save_captions]
