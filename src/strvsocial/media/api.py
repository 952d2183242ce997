"""Resumable uploads: tus 1.0 with creation, expiration and termination (https://tus.io/protocols/resumable-upload).

A finished upload becomes part of a post by its id: `POST /api/v1/posts` with `upload=<id>`.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from litestar import Request, Response, Router, delete, head, patch, post, route
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from strvsocial.errors import BadInput, Conflict, StrvError, UnsupportedMedia
from strvsocial.media import uploads
from strvsocial.media.appending import Overflow, Places, append, finish_interrupted, remove_upload
from strvsocial.media.bodies import get_part_slots, read_body
from strvsocial.media.models import Upload
from strvsocial.media.uploads import Bookkeeping, Locked
from strvsocial.settings import Settings
from strvsocial.storage.health import get_storage_health
from strvsocial.web.openapi import says, takes
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]

VERSION = "1.0.0"
CHUNK_TYPE = "application/offset+octet-stream"
MOST_METADATA = 4_000
_LARGEST_NUMBER = 18


_VERSION_HEADER: dict[str, Any] = {"Tus-Resumable": {"type": "string", "enum": [VERSION], "required": True}}
_BYTES = {"type": "integer", "minimum": 0, "maximum": 10**_LARGEST_NUMBER - 1, "required": True}
_SENT = {"Tus-Resumable": "The version of tus.", "Cache-Control": "Always `no-store`."}
_PLACE = {**_SENT, "Upload-Offset": "Bytes that are here.", "Upload-Expires": "When the upload is given up."}
_OTHER_VERSION = {"412": "Another version of tus."}


class OtherVersion(StrvError):
    status, code, message = 412, "tus_version", f"Please speak tus {VERSION}: send the header Tus-Resumable: {VERSION}."


async def provide_places(request: AnyRequest) -> Places:
    """What an upload needs of this process."""
    state = request.app.state
    if "upload_books" not in state:
        state["upload_books"] = Bookkeeping(state.database)
    return Places(state.settings, state.upload_books, state.storage, get_part_slots(state, state.settings))


@route(
    ["/", "/{upload_id:str}"],
    http_method=["OPTIONS"],
    name="media.uploads.options",
    status_code=204,
    summary="What uploads can do",
    opt=says(
        sends={
            **_SENT,
            "Tus-Version": "Versions spoken.",
            "Tus-Extension": "Extensions spoken.",
            "Tus-Max-Size": "Bytes of a file at most.",
        }
    ),
)
async def show_options(settings: NamedDependency[Settings]) -> Response[None]:
    """What this server can do."""
    largest = max(settings.max_bytes(media_type) for media_type in ("image", "gif", "audio", "video"))
    return _answer(
        204,
        {"Tus-Version": VERSION, "Tus-Extension": "creation,expiration,termination", "Tus-Max-Size": str(largest)},
    )


@post(
    "/",
    name="media.uploads.create",
    status_code=201,
    summary="Announce an upload",
    opt=says(
        {**_OTHER_VERSION, "413": "Larger than any file may be, or than what is left of the quota."},
        headers={
            **_VERSION_HEADER,
            "Upload-Length": _BYTES,
            "Upload-Metadata": {"type": "string", "maxLength": MOST_METADATA},
        },
        sends={**_PLACE, "Location": "Where the bytes go."},
    ),
)
async def create_upload(
    request: AnyRequest, me: NamedDependency[Viewer], places: NamedDependency[Places]
) -> Response[None]:
    """Announces a file of `Upload-Length` bytes; `Upload-Metadata` may name it (`filename`). `Location` takes its bytes."""
    _check_version(request)
    length = _number(request, "upload-length")
    filename = _metadata(request).get("filename", "")
    await get_storage_health(request.app.state, places.storage).check()
    async with places.books.transaction() as db:
        upload = await uploads.create(db, me.id, length, filename, places.settings)
    location = f"/api/v1/uploads/{upload.public_id}"
    return _answer(201, {"Location": location, "Upload-Offset": "0", **_expires(upload.expires_at)})


@head(
    "/{upload_id:str}",
    name="media.uploads.show",
    status_code=200,
    summary="How far an upload is",
    opt=says(
        {**_OTHER_VERSION, "423": "Somebody is sending to it."},
        headers=_VERSION_HEADER,
        sends={**_PLACE, "Upload-Length": "Bytes in all."},
    ),
)
async def show_upload(
    upload_id: FromPath[str], request: AnyRequest, me: NamedDependency[Viewer], places: NamedDependency[Places]
) -> Response[None]:
    """How much of an upload is here: `Upload-Offset`."""
    _check_version(request)
    upload = await uploads.get(places.books, me.id, upload_id)
    if upload.state == "open" and upload.offset == upload.length:
        upload = await _complete(places, me, upload)
    return _answer(
        200,
        {
            "Upload-Offset": str(upload.offset),
            "Upload-Length": str(upload.length),
            **_expires(upload.expires_at),
        },
    )


@patch(
    "/{upload_id:str}",
    name="media.uploads.append",
    status_code=204,
    request_max_body_size=None,
    summary="Add bytes to an upload",
    opt={
        **takes({"type": "string", "format": "binary"}, CHUNK_TYPE),
        **says(
            {
                **_OTHER_VERSION,
                "408": "The bytes stopped early; what came is kept.",
                "423": "Somebody is sending to it.",
            },
            headers={**_VERSION_HEADER, "Upload-Offset": _BYTES},
            sends=_PLACE,
        ),
    },
)
async def append_to_upload(
    upload_id: FromPath[str], request: AnyRequest, me: NamedDependency[Viewer], places: NamedDependency[Places]
) -> Response[None]:
    """Adds the body at `Upload-Offset`, which must be where the upload stands."""
    _check_version(request)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != CHUNK_TYPE:
        raise UnsupportedMedia(f"The bytes of an upload are sent as {CHUNK_TYPE}.", code="not_a_chunk")
    offset = _number(request, "upload-offset")
    upload = await uploads.get(places.books, me.id, upload_id)
    if upload.state != "open" and offset == upload.length:
        return _answer(204, {"Upload-Offset": str(upload.length), **_expires(upload.expires_at)})
    await get_storage_health(request.app.state, places.storage).check()
    lease = await uploads.take_lease(places.books, me.id, upload_id)
    try:
        _check_fits(request, lease.upload, offset)
    except StrvError:
        await uploads.end_lease(places.books, lease)
        raise
    new_offset = await append(places, lease, read_body(request))
    expires = datetime.now(UTC) + timedelta(seconds=places.settings.upload_ttl_seconds)
    return _answer(204, {"Upload-Offset": str(new_offset), **_expires(expires)})


@delete(
    "/{upload_id:str}",
    name="media.uploads.remove",
    status_code=204,
    summary="Give up an upload",
    opt=says({**_OTHER_VERSION, "423": "Somebody is sending to it."}, headers=_VERSION_HEADER, sends=_SENT),
)
async def delete_upload(
    upload_id: FromPath[str], request: AnyRequest, me: NamedDependency[Viewer], places: NamedDependency[Places]
) -> Response[None]:
    """Removes an upload that no post uses, and its bytes."""
    _check_version(request)
    await remove_upload(places, me.id, upload_id)
    return _answer(204, {})


async def _complete(places: Places, me: Viewer, upload: Upload) -> Upload:
    """All bytes are here, but the process that stored them died before it could say so."""
    try:
        lease = await uploads.take_lease(places.books, me.id, upload.public_id)
    except Locked:
        raise
    except Conflict:  # Finished in the meantime.
        return await uploads.get(places.books, me.id, upload.public_id)
    await finish_interrupted(places, lease)
    return await uploads.get(places.books, me.id, upload.public_id)


def _check_fits(request: AnyRequest, upload: Upload, offset: int) -> None:
    if offset != upload.offset:
        raise Conflict(f"This upload stands at {upload.offset}, not at {offset}.", code="other_offset")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > upload.length - offset:
        raise Overflow


def _check_version(request: AnyRequest) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise OtherVersion


def _number(request: AnyRequest, name: str) -> int:
    value = request.headers.get(name, "")
    if not (value.isascii() and value.isdecimal() and len(value) <= _LARGEST_NUMBER):
        raise BadInput(f"The header {name.title()} must be a number of bytes.", fields={name.title(): "A number."})
    return int(value)


def _metadata(request: AnyRequest) -> dict[str, str]:
    """`Upload-Metadata`: pairs of a key and a base64 value, with commas between them."""
    header = request.headers.get("upload-metadata", "")
    if len(header) > MOST_METADATA:
        raise BadInput(fields={"Upload-Metadata": "This is longer than we take."})
    found = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise BadInput(fields={"Upload-Metadata": "Values must be UTF-8 in base64."}) from error
    return found


def _expires(moment: datetime) -> dict[str, str]:
    return {"Upload-Expires": format_datetime(moment.astimezone(UTC), usegmt=True)}


def _answer(status: int, headers: dict[str, str]) -> Response[None]:
    everywhere = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
    return Response(None, status_code=status, headers={**everywhere, **headers})


HANDLERS = [
    Router(
        "/uploads",
        route_handlers=[show_options, create_upload, show_upload, append_to_upload, delete_upload],
        dependencies={"places": Provide(provide_places)},
        tags=["uploads"],
    )
]
