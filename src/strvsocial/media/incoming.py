"""Files that arrive in a form: streamed from the socket to storage, decided by content, counted on the way.

Handlers that call `receive_form` are declared with `request_max_body_size=None` and check first who is asking.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import structlog
from litestar import Request
from msgspec import Struct
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from strvsocial.errors import BadInput, StrvError, TooLarge, UnsupportedMedia
from strvsocial.ids import new_id
from strvsocial.media.bodies import get_part_slots, read_body
from strvsocial.media.parts import PartSlots, PartWriter
from strvsocial.media.quotas import Room
from strvsocial.media.signatures import HEAD_BYTES, Kind, get_kind
from strvsocial.settings import MB, Settings
from strvsocial.storage import Storage
from strvsocial.storage.health import StorageHealth, get_storage_health

log = structlog.get_logger()

FORM_BYTES = 1 * MB
"""All plain fields of a form together, and the whole of a form without files."""


class StoredFile(Struct, frozen=True):
    """A file that lies in storage and belongs to nothing yet. `filename` is for people only, never a path."""

    key: str
    byte_size: int
    sha256: bytes
    media_type: str
    mime: str
    filename: str


class Form(NamedTuple):
    """The plain fields, each with its values in order, and the files in order."""

    fields: dict[str, list[str]]
    files: list[StoredFile]


@dataclass(frozen=True)
class FormRules:
    """What a form may hold. `fields` names the plain fields and the most bytes of one value of each."""

    fields: Mapping[str, int]
    file_field: str = "file"
    most_files: int = 10
    most_values: int = 100
    media_types: frozenset[str] = frozenset({"image", "gif", "audio", "video"})
    max_file_bytes: int | None = None
    """A limit below that of the file's kind, for avatars."""

    def max_body_bytes(self, settings: Settings) -> int:
        largest = [settings.max_bytes(media_type) for media_type in self.media_types]
        files = max(*largest, self.most_files * min(largest)) if self.most_files > 1 else max(largest)
        return FORM_BYTES + (self.most_files * self.max_file_bytes if self.max_file_bytes else files)


async def receive_form(
    request: Request[Any, Any, Any], storage: Storage, settings: Settings, rules: FormRules, room: Room | None = None
) -> Form:
    """Reads a form and stores its files, for which there is `room`. Whatever is raised, nothing that was sent stays behind.

    Raises BadInput for fields that are unknown, too long or too many, for empty files and broken forms; TooLarge,
    QuotaExceeded among them; UnsupportedMedia for content that we do not take; BrokenOff when the client went away; Unavailable.
    """
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > rules.max_body_bytes(settings):
        raise TooLarge
    if room is not None:
        await room.announce(int(length) - FORM_BYTES if length.isdecimal() else 0)
    state = request.app.state
    health, slots = get_storage_health(state, storage), get_part_slots(state, settings)
    reading = _Reading(rules, settings, storage, health, slots, room)
    # A page that must say what was wrong shows what had been written so far.
    request.state.form_fields = reading.fields
    if content_type == "application/x-www-form-urlencoded":
        await _read_urlencoded(request, reading)
    elif content_type == "multipart/form-data" and options.get("boundary"):
        await _read_multipart(request, reading, options["boundary"])
    else:
        raise UnsupportedMedia("Please send this as multipart/form-data.", code="not_a_form")
    return Form(reading.fields, reading.files)


async def discard(storage: Storage, files: Sequence[StoredFile]) -> None:
    """Removes files that nothing came of. What cannot be removed now is found by the sweep for orphans."""
    if files:
        try:
            await storage.delete([file.key for file in files])
        except StrvError as error:
            log.warning("uploads.left_behind", keys=[file.key for file in files], error=str(error))


def clean_filename(name: str) -> str:
    """A name to show: the last segment of what the client sent, without control or direction characters."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    return shown.strip(" .")[:255]


async def _read_urlencoded(request: Request[Any, Any, Any], reading: _Reading) -> None:
    body = bytearray()
    async for piece in read_body(request):
        body += piece
        if len(body) > FORM_BYTES:
            raise TooLarge("This form is longer than we take.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise BadInput("This form is not written as a form should be.", code="broken_form") from error
    for name, value in pairs:
        reading.add_value(name, value.encode())
    reading.check()


async def _read_multipart(request: Request[Any, Any, Any], reading: _Reading, boundary: str) -> None:
    most = reading.rules.most_files + reading.rules.most_values
    try:
        with PushMultipartParser(boundary, max_segment_count=most + 1, max_header_size=4096) as parser:
            async for piece in read_body(request):
                if not parser.closed:
                    for event in parser.parse(piece):
                        await reading.take(event)
        reading.check()
    except BaseException as error:
        await asyncio.shield(reading.abort())
        if isinstance(error, ParserLimitReached):
            raise BadInput("This form has more parts or longer headers than we take.", code="broken_form") from error
        if isinstance(error, MultipartError):
            raise BadInput("This form is not written as a form should be.", code="broken_form") from error
        raise


@dataclass
class _Reading:
    """A form being read: the segments come one after the other."""

    rules: FormRules
    settings: Settings
    storage: Storage
    health: StorageHealth
    slots: PartSlots
    room: Room | None = None
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[StoredFile] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    _segment: MultipartSegment | None = None
    _value: bytearray = field(default_factory=bytearray)
    _file: _IncomingFile | None = None
    _values: int = 0
    _value_bytes: int = 0

    async def take(self, event: MultipartSegment | bytearray | None) -> None:
        """A segment begins, some of its bytes, or None at its end."""
        if isinstance(event, MultipartSegment):
            await self._begin(event)
        elif event is None:
            await self._end()
        elif self._file is not None:
            if self.room is not None:
                await self.room.take(len(event))
            await self._file.write(event)
        else:
            self._value_bytes += len(event)
            if self._value_bytes > FORM_BYTES:
                raise TooLarge("The text of this form is longer than we take.")
            self._value += event

    def add_value(self, name: str, value: bytes) -> None:
        """A plain field, checked."""
        self._values += 1
        if self._values > self.rules.most_values:
            raise BadInput("This form has more fields than we take.", code="broken_form")
        if name not in self.rules.fields:
            is_file = name == self.rules.file_field
            self.wrong[name[:64]] = "Please choose a file." if is_file else "There is no such field here."
        elif len(value) > self.rules.fields[name]:
            self.wrong[name] = "This is longer than we take."
        else:
            with suppress(UnicodeDecodeError):
                text = value.decode()
                if "\x00" not in text:
                    self.fields.setdefault(name, []).append(text)
                    return
            self.wrong[name] = "This is not a text."

    def check(self) -> None:
        if self.wrong:
            raise BadInput(fields=self.wrong)

    async def abort(self) -> None:
        if self._file is not None:
            await self._file.abort()
        await discard(self.storage, self.files)

    async def _begin(self, segment: MultipartSegment) -> None:
        self._segment, self._value = segment, bytearray()
        if segment.filename is None:
            return
        if segment.filename:
            await self.health.check()
        if segment.name != self.rules.file_field:
            self.wrong[segment.name[:64]] = "There is no field for a file of this name."
        if len(self.files) >= self.rules.most_files and segment.filename:
            self.wrong[self.rules.file_field] = f"Please send at most {self.rules.most_files} files."
        self.check()  # Before bytes are stored that nothing can come of.
        self._file = _IncomingFile(self, clean_filename(segment.filename))

    async def _end(self) -> None:
        assert self._segment is not None
        if self._file is None:
            self.add_value(self._segment.name, bytes(self._value))
            return
        # A browser sends an empty file without a name where nothing was chosen.
        if self._file.byte_size or self._segment.filename:
            self.files.append(await self._file.finish())
        self._file = None


class _IncomingFile:
    """One file of a form: recognised by its head, then streamed."""

    def __init__(self, reading: _Reading, filename: str) -> None:
        self.byte_size = 0
        self.filename = filename
        self._rules, self._settings = reading.rules, reading.settings
        self._storage, self._slots = reading.storage, reading.slots
        self._head = bytearray()
        self._limit = 0
        self._kind: Kind | None = None
        self._writer: PartWriter | None = None

    async def write(self, piece: bytearray) -> None:
        self.byte_size += len(piece)
        if self._writer is None:
            self._head += piece
            if len(self._head) >= HEAD_BYTES:
                await self._start()
            return
        self._check_size()
        await self._writer.write(piece)

    async def finish(self) -> StoredFile:
        if not self.byte_size:
            raise BadInput(fields={self._rules.file_field: "This file is empty."})
        if self._writer is None:
            await self._start()
        assert self._writer is not None
        assert self._kind is not None
        await self._writer.finish()
        digest = self._writer.digest.digest()
        return StoredFile(self._writer.key, self.byte_size, digest, *self._kind, self.filename)

    async def abort(self) -> None:
        if self._writer is not None:
            await self._writer.abort()

    async def _start(self) -> None:
        self._kind = get_kind(bytes(self._head))
        if self._kind.media_type not in self._rules.media_types:
            raise UnsupportedMedia(f"Please choose {_listed(self._rules.media_types)}.")
        self._limit = self._settings.max_bytes(self._kind.media_type)
        if self._rules.max_file_bytes is not None:
            self._limit = min(self._limit, self._rules.max_file_bytes)
        self._check_size()
        self._writer = PartWriter(self._storage, self._slots, f"originals/{new_id()}", self._kind.mime)
        head, self._head = self._head, bytearray()
        await self._writer.write(head)

    def _check_size(self) -> None:
        if self.byte_size > self._limit:
            raise TooLarge(too_large_text(self._kind, self._limit), fields={self._rules.file_field: "Too large."})


_WORDS = {"image": "a picture", "gif": "a GIF", "audio": "a sound file", "video": "a film"}


def too_large_text(kind: Kind | None, limit: int) -> str:
    """What to say of a file above its limit (bytes)."""
    what = _WORDS[kind.media_type] if kind else "a file"
    return f"This file is too large: {what} may have at most {limit // MB} MB."


def _listed(media_types: frozenset[str]) -> str:
    return " or ".join(_WORDS[media_type] for media_type in sorted(media_types))
