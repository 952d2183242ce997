"""One line of an import: what it may say, and how it is checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from strvsocial.content.drafts import Draft, check_draft
from strvsocial.content.words import is_storable
from strvsocial.errors import BadInput, StrvError
from strvsocial.media.incoming import StoredFile, clean_filename, too_large_text
from strvsocial.media.signatures import HEAD_BYTES, get_kind
from strvsocial.settings import Settings
from strvsocial.users.names import clean_username

MAX_LINE = 1_000_000
"""Bytes of one line."""
MAX_KEY = 200
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A post as a line of the file has it. `files` are paths relative to the file."""

    key: str
    author: str
    title: str
    text: str = ""
    tags: list[str] = []
    files: list[str] = []
    alt: list[str] = []
    created_at: datetime | None = None
    visibility: str = "public"


class FoundFile(NamedTuple):
    """A file of a line, recognised but not yet stored."""

    path: Path
    media_type: str
    mime: str
    byte_size: int


class Entry(NamedTuple):
    """A line that can be imported. The files of `draft` are named after their paths and lie nowhere yet."""

    number: int
    key: str
    author: str
    created_at: datetime
    draft: Draft
    files: list[FoundFile]


class BadLine(NamedTuple):
    number: int
    reason: str


class RawLine(NamedTuple):
    """A line, or None for one that is too long, and the byte at which it ends."""

    number: int
    line: bytes | None
    end: int


_decode = msgspec.json.Decoder(Line).decode


def read_lines(file: BinaryIO) -> Iterator[RawLine]:
    """The lines that are not blank, never more than one of them in memory."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        too_long = len(line) > MAX_LINE
        while line and not line.endswith(b"\n") and too_long:
            line = file.readline(MAX_LINE)
        if too_long or line.strip():
            yield RawLine(number, None if too_long else line, file.tell())


def parse(raw: RawLine, folder: Path, settings: Settings) -> Entry | BadLine:
    """The line as an entry, or why it cannot be imported."""
    if raw.line is None:
        return BadLine(raw.number, f"The line is longer than {MAX_LINE:,} bytes.")
    try:
        return _entry(raw.number, _decode(raw.line), folder, settings)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return BadLine(raw.number, str(error))
    except StrvError as error:
        fields = [f"{name}: {problem}" for name, problem in (error.fields or {}).items()]
        return BadLine(raw.number, " ".join(fields) or error.message)
    except OSError as error:
        return BadLine(raw.number, f"files: {error.filename}: {error.strerror}.")


def _entry(number: int, line: Line, folder: Path, settings: Settings) -> Entry:
    if not (0 < len(line.key) <= MAX_KEY and is_storable(line.key)):
        raise BadInput(fields={"key": f"A key has 1 to {MAX_KEY} characters."})
    if len(line.alt) > len(line.files):
        raise BadInput(fields={"alt": f"There are {len(line.alt)} descriptions for {len(line.files)} files."})
    found = [_find(folder, name, settings) for name in line.files]
    alts = [*line.alt, *[""] * (len(found) - len(line.alt))]
    places = [_unstored(file) for file in found]
    draft = Draft(line.title, line.text, line.tags, line.visibility, list(zip(places, alts, strict=True)))
    created_at = _moment(line.created_at)
    return Entry(number, line.key, clean_username(line.author), created_at, check_draft(draft), found)


def _find(folder: Path, name: str, settings: Settings) -> FoundFile:
    """A file below the folder, whatever the path says, with its kind decided by content."""
    if "\0" in name:
        raise BadInput(fields={"files": "A path has a NUL in it."})
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise BadInput(fields={"files": f"{name} is not a file beside or below the imported one."})
    with path.open("rb") as file:
        kind = get_kind(file.read(HEAD_BYTES))
    byte_size = path.stat().st_size
    limit = settings.max_bytes(kind.media_type)
    if byte_size > limit:
        raise BadInput(fields={"files": f"{name}: {too_large_text(kind, limit)}"})
    return FoundFile(path, kind.media_type, kind.mime, byte_size)


def _unstored(file: FoundFile) -> StoredFile:
    return StoredFile("", file.byte_size, b"", file.media_type, file.mime, clean_filename(file.path.name))


def _moment(created_at: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if created_at is None:
        return now
    moment = created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)
    if not _OLDEST <= moment <= now + timedelta(days=1):
        raise BadInput(fields={"created_at": "This is before 1970 or in the future."})
    return moment
