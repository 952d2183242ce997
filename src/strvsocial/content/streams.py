"""Films as streams: the playlist of the sizes that are there, for those who may see the post."""

from __future__ import annotations

import hashlib
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from sqlalchemy import String, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Post
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.errors import NotFound
from strvsocial.media.ladder import Stream, write_master
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.ranges import matches_none
from strvsocial.web.viewers import Viewer

_RUNGS = (
    select(Rendition.details, Rendition.bitrate, Rendition.width, Rendition.height)
    .join(Attachment, Attachment.id == Rendition.attachment_id)
    .join(Post, Post.id == Attachment.post_id)
    .where(
        Attachment.public_id == bindparam("attachment_id", type_=String),
        Rendition.role == "rung",
        Rendition.state == "ready",
        visible_to(VIEWER_ID),
    )
)


@get("/media/{attachment_id:str}/master.m3u8", name="content.streams.show", include_in_schema=False)
async def show_master(
    request: Request[Any, Any, Any],
    reader: NamedDependency[AsyncConnection],
    viewer: NamedDependency[Viewer | None],
    attachment_id: FromPath[str],
) -> Response[Any]:
    """The master playlist (RFC 8216, section 4.3.4). It grows while sizes are still being made."""
    wanted = {"attachment_id": attachment_id, "viewer_id": viewer.id if viewer else None}
    rows = (await reader.execute(_RUNGS, wanted)).all()
    if not any(row.width for row in rows):
        raise NotFound
    streams = [
        Stream(
            row.details["playlist"],
            row.details["bandwidth"],
            row.bitrate or row.details["bandwidth"],
            row.width,
            row.height,
            row.details["codecs"],
        )
        for row in rows
    ]
    body = write_master(streams).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization"}
    if matches_none(request.headers.get("if-none-match", ""), etag):
        return Response(None, status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/vnd.apple.mpegurl")


MEDIA: list[ControllerRouterHandler] = [show_master]
