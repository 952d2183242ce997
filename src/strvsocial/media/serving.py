"""Renditions as bytes: /media/{attachment}/{name}, and people's pictures: /media/avatars/{name}.

Whether the viewer may see the post is asked on every request, of `app.state.find_rendition` (content knows). What may
not be seen is answered like what does not exist. The database connection goes back before the first byte is sent.
Originals, pcm and frames are never served.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.db import Database
from strvsocial.errors import NotFound
from strvsocial.media.ranges import Span, Unsatisfiable, find_span, matches_none
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.web.viewers import Viewer

log = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]

SERVED_ROLES = ("variant", "playback", "poster", "rung", "playlist", "waveform", "storyboard", "preview")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", re.ASCII)
_AVATAR = re.compile(r"[A-Za-z0-9]{8,32}\.webp", re.ASCII)
_ENCLOSED = "sandbox; default-src 'none'"


class Servable(Struct, frozen=True):
    """Where bytes lie, what they are, and what tells one version from another (without quotes)."""

    key: str
    mime: str
    byte_size: int
    version: str


FindRendition = Callable[[AsyncConnection, Viewer | None, str, str], Awaitable[Servable | None]]
"""`(reader, viewer, attachment's public id, rendition's name)`: what this viewer may see, or None."""


@route(
    "/media/{attachment_id:str}/{name:str}",
    http_method=["GET", "HEAD"],
    name="media.renditions.show",
    include_in_schema=False,
)
async def show_rendition(
    request: AnyRequest,
    attachment_id: FromPath[str],
    name: FromPath[str],
    viewer: NamedDependency[Viewer | None],
    database: NamedDependency[Database],
) -> Response[Any]:
    """One rendition of a post's medium, for those who may see the post."""
    if not _NAME.fullmatch(name):
        raise NotFound
    find: FindRendition = request.app.state.find_rendition
    async with database.read() as reader:
        found = await find(reader, viewer, attachment_id, name)
    if found is None:
        raise NotFound
    return await serve(request, found, name, "private, max-age=86400, immutable")


@route("/media/avatars/{name:str}", http_method=["GET", "HEAD"], name="media.avatars.show", include_in_schema=False)
async def show_avatar(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
    """A person's picture: public, and never another one under the same name."""
    if not _AVATAR.fullmatch(name):
        raise NotFound
    storage: Storage = request.app.state.storage
    found = await storage.stat(f"avatars/{name}")
    if found is None:
        raise NotFound
    picture = Servable(found.key, "image/webp", found.byte_size, name.removesuffix(".webp"))
    return await serve(request, picture, name, "public, max-age=31536000, immutable")


async def serve(request: AnyRequest, found: Servable, name: str, cache_control: str) -> Response[Any]:
    """200, 206, 304 or 416, as the request's headers want it."""
    etag = f'"{found.version}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": cache_control,
        "Content-Disposition": f'inline; filename="{name}"',
        "Content-Security-Policy": _ENCLOSED,
        "X-Content-Type-Options": "nosniff",
    }
    if matches_none(request.headers.get("if-none-match", ""), etag):
        return Response(None, status_code=304, headers=headers)
    span = None
    if request.method == "GET" and (wanted := request.headers.get("range")):
        try:
            span = find_span(wanted, request.headers.get("if-range"), etag, found.byte_size)
        except Unsatisfiable:
            refusal = {"Content-Range": f"bytes */{found.byte_size}", "Cache-Control": "no-store"}
            return Response(b"", status_code=416, headers=refusal, media_type="text/plain")
    if _is_accelerated(request):
        return await _hand_over(request, found, span, headers)
    start, end = span or Span(0, found.byte_size)
    headers["Content-Length"] = str(end - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.byte_size}"
    status = 206 if span is not None else 200
    if request.method == "HEAD":
        return Stream(_nothing(), status_code=status, headers=headers, media_type=found.mime)
    storage: Storage = request.app.state.storage
    pieces = await _begin(storage.read(found.key, start, end), found)
    return Stream(pieces, status_code=status, headers=headers, media_type=found.mime)


def _is_accelerated(request: AnyRequest) -> bool:
    """Whether the nginx in front sends the bytes. It asks for them with `X-Strv-Accel: off` where it could not."""
    settings: Settings = request.app.state.settings
    # Conditions that nginx would hold against a version that it does not know.
    strict = "if-match" in request.headers or "if-unmodified-since" in request.headers
    refused = strict or request.headers.get("x-strv-accel") == "off"
    return settings.media_accel == "nginx" and request.method == "GET" and not refused


async def _hand_over(request: AnyRequest, found: Servable, span: Span | None, headers: dict[str, str]) -> Response[Any]:
    """Tells nginx where the bytes lie; it answers with these headers, and counts ranges and lengths itself."""
    storage: Storage = request.app.state.storage
    headers["X-Accel-Redirect"] = await storage.internal_address(found.key)
    if span is not None:
        headers["X-Strv-Range"] = f"bytes={span.start}-{span.end - 1}"
    del headers["Accept-Ranges"]
    return Response(b"", headers=headers, media_type=found.mime)


async def _begin(pieces: AsyncIterator[bytes], found: Servable) -> AsyncIterator[bytes]:
    """Reads the first piece before anything is answered, so that missing bytes and storage that is down are errors."""
    try:
        first = await anext(pieces, b"")
    except NotFound:
        log.error("media.bytes_missing", key=found.key)
        raise

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_pieces()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


HANDLERS = [show_avatar, show_rendition]
