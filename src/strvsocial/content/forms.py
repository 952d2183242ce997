"""Posts as people and clients send them: a form with files, a plain form, or JSON. Pages and API share this."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.drafts import Changes, Draft, Files
from strvsocial.content.edits import edit
from strvsocial.content.models import Post
from strvsocial.content.posts import find_published, publish
from strvsocial.errors import BadInput, TooLarge
from strvsocial.media.attachments import want_deletion
from strvsocial.media.incoming import FORM_BYTES, Form, FormRules, StoredFile, discard, receive_form
from strvsocial.media.quotas import Room
from strvsocial.media.uploads import claim_uploads
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]

# Bytes of one value: beyond these nobody reads on; the limits that people are told are checked later, in characters.
_WORDS = {"title": 200_000, "text": 200_000, "tags": 20_000, "visibility": 100}
_MEDIA = {"upload": 100, "alt": 20_000}
_NEW = {**_WORDS, **_MEDIA, "idempotency_key": 1_000}
_EDIT = {**_WORDS, **_MEDIA, "alts": 20_000, "order": 100, "remove": 100}
_ONCE = ("title", "text", "visibility", "idempotency_key")
_MOST = 100
"""Values of one field in JSON, as in a form."""


async def publish_sent(request: AnyRequest, db: AsyncSession, storage: Storage, settings: Settings, me: Viewer) -> Post:
    """Publishes what a request sends. Equal submits with one `Idempotency-Key` get the one post. Raises BadInput.

    Whatever is raised, no bytes that were sent stay behind, and uploads that were named stay unused.
    """
    room = _room_for(request, settings, me)
    fields, files = await _read(request, storage, settings, _NEW, room)
    # A plain form cannot send a header: it has the key in a hidden field.
    key = request.headers.get("idempotency-key", _one(fields, "idempotency_key") or None)
    try:
        if key and len(key) <= 200 and "\0" not in key and (earlier := await find_published(db, me.id, key)):
            await room.settle(db, 0)
            await want_deletion(db, [file.key for file in files])
            return earlier
        await room.settle(db, sum(file.byte_size for file in files))
        draft = Draft(
            title=_one(fields, "title") or "",
            text=_one(fields, "text") or "",
            tags=fields.get("tags", ()),
            visibility=_one(fields, "visibility") or "public",
            files=await _with_alts(db, me, fields, files),
            idempotency_key=key,
        )
        return await publish(db, me.id, draft)
    except BaseException:
        await discard(storage, files)
        await room.give_back(db)
        raise


async def edit_sent(
    request: AnyRequest, db: AsyncSession, storage: Storage, settings: Settings, me: Viewer, public_id: str
) -> Post:
    """Edits one's own post with what a request sends. In a form, an empty `tags` field means no tags."""
    room = _room_for(request, settings, me)
    fields, files = await _read(request, storage, settings, _EDIT, room)
    try:
        await room.settle(db, sum(file.byte_size for file in files))
        changes = Changes(
            title=_one(fields, "title"),
            text=_one(fields, "text"),
            tags=fields.get("tags"),
            visibility=_one(fields, "visibility"),
            alts=fields.get("alts"),
            remove=fields.get("remove", ()),
            order=fields.get("order", ()),
            files=await _with_alts(db, me, fields, files),
        )
        return await edit(db, me, public_id, changes)
    except BaseException:
        await discard(storage, files)
        await room.give_back(db)
        raise


def _room_for(request: AnyRequest, settings: Settings, me: Viewer) -> Room:
    length = request.headers.get("content-length", "")
    return Room(request.app.state.database, settings, me.id, int(length) if length.isdecimal() else None)


async def _read(
    request: AnyRequest, storage: Storage, settings: Settings, rules: Mapping[str, int], room: Room
) -> Form:
    if request.headers.get("content-type", "").split(";", 1)[0].strip().lower() == "application/json":
        form = Form(await _read_json(request, rules), [])
    else:
        try:
            form = await receive_form(request, storage, settings, FormRules(fields=rules), room)
        except BaseException:
            await asyncio.shield(room.give_back())
            raise
    repeated = [name for name in _ONCE if len(form.fields.get(name, ())) > 1]
    if repeated:
        await discard(storage, form.files)
        await room.give_back()
        raise BadInput(fields=dict.fromkeys(repeated, "Give this once."))
    return form


async def _read_json(request: AnyRequest, rules: Mapping[str, int]) -> dict[str, list[str]]:
    """A JSON object of texts and lists of texts, as the fields of a form."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES:
            raise TooLarge("This is longer than we take.")
    try:
        sent = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise BadInput("This is not valid JSON.", code="broken_json") from error
    if not isinstance(sent, dict):
        raise BadInput("Send a JSON object.", code="broken_json")
    sent = {name: value for name, value in sent.items() if value is not None}
    problems = {name[:64]: problem for name, value in sent.items() if (problem := _problem(name, value, rules))}
    if problems:
        raise BadInput(fields=problems)
    return {name: [value] if isinstance(value, str) else value for name, value in sent.items()}


def _problem(name: str, value: object, rules: Mapping[str, int]) -> str | None:
    if name not in rules:
        return "There is no such field here."
    if name in _ONCE:
        return None if isinstance(value, str) else "This must be text."
    if isinstance(value, str):
        return None
    if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
        return "This must be a list of texts."
    return f"At most {_MOST} of these, please." if len(value) > _MOST else None


def _one(fields: Mapping[str, list[str]], name: str) -> str | None:
    return fields[name][0] if fields.get(name) else None


async def _with_alts(db: AsyncSession, me: Viewer, fields: Mapping[str, list[str]], files: list[StoredFile]) -> Files:
    """The files of the form, then the finished uploads, each with its `alt` by order."""
    # A form without JavaScript, or before the first upload, sends the field empty.
    uploads = [upload for upload in fields.get("upload", ()) if upload]
    stored = [*files, *(await claim_uploads(db, me.id, uploads) if uploads else ())]
    alts = fields.get("alt", [])
    # A form sends its description field even when no file was chosen; words without a picture are an oversight.
    if any(alt.strip() for alt in alts[len(stored) :]):
        raise BadInput(fields={"alt": f"There are {len(alts)} descriptions for {len(stored)} files."})
    return [(file, alts[number] if number < len(alts) else "") for number, file in enumerate(stored)]
