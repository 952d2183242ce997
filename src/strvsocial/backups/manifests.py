"""What a backup says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from strvsocial.errors import StrvError

FORMAT = 1
MANIFEST, MEDIA, SUMS, DUMP = "manifest.json", "media.ndjson", "SHA256SUMS", "database.dump"
PARTIAL = "media.partial.ndjson"
"""What an unfinished backup has copied so far, so that the next one need not copy it again."""


class BadBackup(StrvError):
    """Something of a backup is not as it was written, or cannot be used here."""

    status, code, message = 422, "bad_backup", "This backup cannot be used."


class KeptFile(Struct, frozen=True):
    """A file as it lies in the backup."""

    name: str
    byte_size: int
    sha256: str


class KeptObject(Struct, frozen=True):
    """An object of the site's storage. `byte_size` is its own; `file` is what lies in the backup, perhaps encrypted.

    `etag` is what the storage called this version: equal key, size and etag are not copied again, unless what was copied
    is not `intact`: not what the row says that it is.
    """

    key: str
    byte_size: int
    mime: str
    etag: str
    is_original: bool
    intact: bool
    file: KeptFile


class Manifest(Struct, frozen=True, kw_only=True):
    """The head of a backup. `rows` counts the rows of each table in the snapshot.

    `media` is all, originals or none. The lists name keys: `gone` were deleted by people while they were about to be
    copied; `missing` are not in the storage though rows refer to them; `damaged` are originals whose bytes are not those
    that were uploaded; `changed` were made anew, so that their size is no longer the row's.
    """

    format: int = FORMAT
    name: str
    started_at: datetime
    finished_at: datetime
    version: str
    revision: str
    server_major: int
    dump_major: int
    encrypted: bool
    media: str
    rows: dict[str, int]
    objects: int
    object_bytes: int
    dump: KeptFile
    media_list: KeptFile
    gone: list[str] = []
    missing: list[str] = []
    damaged: list[str] = []
    changed: list[str] = []


def encode_manifest(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode_manifest(name: str, data: bytes) -> Manifest:
    """Raises BadBackup."""
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBackup(f"backups/{name}/{MANIFEST} cannot be read: {error}") from error
    if found.format > FORMAT:
        raise BadBackup(
            f"Backup {name} has format {found.format}; this version reads {FORMAT}. Update STRV.social first."
        )
    return found


def encode_list(objects: Iterable[KeptObject]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in objects)


def decode_list(name: str, data: bytes) -> Iterator[KeptObject]:
    """Raises BadBackup."""
    decoder = msgspec.json.Decoder(KeptObject)
    for number, line in enumerate(data.splitlines(), 1):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as error:
            raise BadBackup(f"{name}, line {number}, cannot be read: {error}") from error
