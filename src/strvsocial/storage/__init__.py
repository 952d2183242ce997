"""Where bytes lie: local files by default, S3 when a bucket is set. One interface, one test-suite for both.

Keys: `originals/{id}` as uploaded, `tails/{upload}` the beginning of a part that a resumable upload has yet to send the
rest of, `media/{attachment}/{rendition}` served, `work/{attachment}/{name}` for the embedder only, `avatars/{id}.webp`
served. What was made anew lies in `media/{attachment}-{generation}/`. Several rows may name one original or rendition.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from strvsocial.settings import Settings


class StoredObject(NamedTuple):
    """What storage knows of an object."""

    key: str
    byte_size: int
    etag: str
    modified_at: datetime


class OpenMultipart(NamedTuple):
    """A multipart upload that was neither completed nor aborted."""

    key: str
    multipart_id: str
    started_at: datetime


@runtime_checkable  # Litestar checks what it injects.
class Storage(Protocol):
    """Object storage. Raises `strvsocial.errors.NotFound` for a missing key, `Unavailable` when it cannot be reached."""

    async def check(self) -> None:
        """Raises Unavailable, with a message for people, when nothing could be stored now."""
        ...

    async def put(self, key: str, data: bytes, mime: str) -> None: ...
    async def put_file(self, key: str, path: Path, mime: str) -> None: ...
    async def get_file(self, key: str, path: Path) -> None: ...
    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes `start` up to, not including, `end`, in pieces of at most 256 KiB."""
        ...

    async def internal_address(self, key: str) -> str:
        """Where the nginx in front of us finds the bytes: see deploy/nginx/strv/media-files.conf and media-bucket.conf."""
        ...

    async def stat(self, key: str) -> StoredObject | None: ...
    async def delete(self, keys: Sequence[str]) -> None: ...
    def list(self, prefix: str) -> AsyncIterator[StoredObject]: ...

    async def start_multipart(self, key: str, mime: str) -> str: ...
    async def put_part(self, key: str, multipart_id: str, number: int, data: bytes | bytearray) -> str:
        """Stores part `number` (from 1); all but the last are of one size. Returns its ETag."""
        ...

    async def complete_multipart(self, key: str, multipart_id: str, etags: Sequence[str]) -> None: ...
    async def abort_multipart(self, key: str, multipart_id: str) -> None: ...
    def list_multiparts(self) -> AsyncIterator[OpenMultipart]: ...

    async def forget_interrupted(self, before: datetime) -> None:
        """Removes what a process was writing when it died, begun before a time, where the storage keeps such things."""
        ...


def open_storage(settings: Settings) -> AbstractAsyncContextManager[Storage]:
    """The storage that the settings name, open for the length of the block."""
    if settings.s3_bucket:
        from strvsocial.storage.s3 import open_s3

        return open_s3(settings)
    from strvsocial.storage.files import open_files

    return open_files(settings)
