"""Captions: read, corrected and switched off by JSON; played as WebVTT."""

from __future__ import annotations

import hashlib
from typing import Any

from litestar import Request, Response, delete, get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.captions import (
    CaptionsChange,
    CaptionsView,
    change_captions,
    get_captions,
    hear_again,
    list_cues,
)
from strvsocial.media.ranges import matches_none
from strvsocial.media.subtitles import write_webvtt
from strvsocial.web.input import read_input
from strvsocial.web.openapi import JSON, takes
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]


@get("/posts/{post_id:str}/captions", name="content.captions.show", summary="What is said in a post", tags=["posts"])
async def show(reader: Reader, viewer: MaybeViewer, post_id: FromPath[str]) -> CaptionsView:
    """The captions of a sound or a film, with their times."""
    return await get_captions(reader, viewer, post_id)


@patch(
    "/posts/{post_id:str}/captions",
    name="content.captions.change",
    summary="Correct captions",
    tags=["posts"],
    opt=takes(CaptionsChange, JSON),
)
async def change(request: AnyRequest, db: Db, me: Me, post_id: FromPath[str]) -> CaptionsView:
    """Corrects the captions of one's own post, replaces them by a WebVTT or SubRip file, switches them off or on."""
    await change_captions(db, me, post_id, await read_input(request, CaptionsChange))
    return await get_captions(db, me, post_id)


@delete(
    "/posts/{post_id:str}/captions",
    name="content.captions.hear_again",
    summary="Have captions made anew",
    tags=["posts"],
)
async def remove(request: AnyRequest, db: Db, me: Me, post_id: FromPath[str]) -> None:
    """Gives up the captions of one's own post; the sound is heard once more."""
    await hear_again(db, me, post_id)


@get("/media/{attachment_id:str}/captions.vtt", name="content.captions.file", include_in_schema=False)
async def play(request: AnyRequest, reader: Reader, viewer: MaybeViewer, attachment_id: FromPath[str]) -> Response[Any]:
    """The captions as a player wants them, for those who may see the post."""
    body = write_webvtt(await list_cues(reader, viewer, attachment_id)).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization"}
    if matches_none(request.headers.get("if-none-match", ""), etag):
        return Response(None, status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="text/vtt")


API: list[ControllerRouterHandler] = [show, change, remove]
MEDIA: list[ControllerRouterHandler] = [play]
