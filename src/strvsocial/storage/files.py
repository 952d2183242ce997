"""Storage in local files, under `<data dir>/media`.

    objects/<key>          an object, put in place by rename, never half written
    incoming/<random>      what `put` is writing
    multiparts/<id>.body   a multipart upload: each part is written at its place in one file
    multiparts/<id>.json   its key and the size of its parts

Everything that blocks runs in threads. What `put_part` has answered for is on the disk, not only in memory, since an
upload's offset is committed to PostgreSQL next.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from strvsocial.errors import NotFound, Unavailable
from strvsocial.settings import Settings
from strvsocial.storage import OpenMultipart, StoredObject
from strvsocial.storage.keys import check_key, check_prefix
from strvsocial.storage.measured import measured

PIECE_BYTES = 256 * 1024
KEPT_BYTES = 64 * 1024 * 1024
"""What of a large upload may stay in the kernel's cache: the rest would push out what PostgreSQL and readers need."""
LEAST_FREE_BYTES = 32 * 1024 * 1024
"""With less than this left on the disk nothing new is taken."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Multipart(msgspec.Struct):
    key: str
    part_bytes: int


@contextmanager
def _translated() -> Iterator[None]:
    """Turns what the file system says into our own errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("These bytes are not in storage.") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        message = "The site's storage is full." if full else "The site's storage cannot be reached."
        raise Unavailable(message, retry_after=60 if full else 10) from error


async def _in_thread(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    with _translated():
        return await asyncio.to_thread(function, *args, **kwargs)


def _sync_folder(folder: Path) -> None:
    """A rename is only safe from a power cut once its folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_at(path: Path, offset: int, data: bytes | bytearray) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        start, view = offset, memoryview(data)
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
        os.fdatasync(handle)
        if start >= KEPT_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, start, len(data), os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _move(source: Path, target: Path) -> None:
    for tries_left in (2, 1, 0):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(target)
            _sync_folder(target.parent)
            return
        except FileNotFoundError:  # Somebody deleted the last object of this folder, and the folder, just now.
            if not tries_left or not source.exists():
                raise


@measured
class FileStorage:
    """Objects in files below `root`. See the module's text for the folders."""

    def __init__(self, root: Path, part_bytes: int) -> None:
        self.objects, self.incoming, self.multiparts = root / "objects", root / "incoming", root / "multiparts"
        self.part_bytes = part_bytes
        for folder in (self.objects, self.incoming, self.multiparts):
            folder.mkdir(parents=True, exist_ok=True)

    async def check(self) -> None:
        disk = await _in_thread(os.statvfs, self.incoming)
        if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES or not disk.f_favail:
            raise Unavailable("The site's storage is full.", retry_after=60)

    async def put(self, key: str, data: bytes, mime: str) -> None:
        def write(temporary: Path) -> None:
            temporary.write_bytes(data)

        await _in_thread(self._place, key, write)

    async def put_file(self, key: str, path: Path, mime: str) -> None:
        def write(temporary: Path) -> None:
            shutil.copyfile(path, temporary)

        await _in_thread(self._place, key, write)

    async def get_file(self, key: str, path: Path) -> None:
        await _in_thread(shutil.copyfile, self._path(key), path)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        file = await _in_thread(open, self._path(key), "rb", 0)
        try:
            if start:
                file.seek(start)
            left = (1 << 62) if end is None else end - start
            while left > 0 and (piece := await _in_thread(file.read, min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
        finally:
            file.close()

    async def internal_address(self, key: str) -> str:
        return f"/-/media/files/{check_key(key)}"

    async def stat(self, key: str) -> StoredObject | None:
        try:
            return await _in_thread(self._stat, key)
        except NotFound:
            return None

    async def delete(self, keys: Sequence[str]) -> None:
        await _in_thread(self._delete, [self._path(key) for key in keys])

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        found = self._walk(check_prefix(prefix))
        while batch := await _in_thread(lambda: [*islice(found, 500)]):
            for item in batch:
                yield item

    async def start_multipart(self, key: str, mime: str) -> str:
        multipart_id = secrets.token_hex(16)
        started = msgspec.json.encode(_Multipart(check_key(key), self.part_bytes))

        def start() -> None:
            # In this order, and by rename, a crash leaves nothing that `list_multiparts` does not see.
            unfinished = self.incoming / multipart_id
            unfinished.write_bytes(started)
            unfinished.replace(self.multiparts / f"{multipart_id}.json")
            (self.multiparts / f"{multipart_id}.body").touch(exist_ok=False)
            _sync_folder(self.multiparts)

        await _in_thread(start)
        return multipart_id

    async def put_part(self, key: str, multipart_id: str, number: int, data: bytes | bytearray) -> str:
        def put() -> str:
            body, started = self._open_multipart(key, multipart_id)
            if len(data) > started.part_bytes:
                raise ValueError(f"a part has at most {started.part_bytes} bytes, this one {len(data)}")
            _write_at(body, (number - 1) * started.part_bytes, data)
            return f"{number:x}-{len(data):x}"

        return await _in_thread(put)

    async def complete_multipart(self, key: str, multipart_id: str, etags: Sequence[str]) -> None:
        def complete() -> None:
            body, started = self._open_multipart(key, multipart_id)
            sizes = [int(etag.rpartition("-")[2], 16) for etag in etags]
            if any(size != started.part_bytes for size in sizes[:-1]):
                raise ValueError("all parts but the last must be of one size")
            # A part that was written once and then not counted may lie behind the end.
            os.truncate(body, sum(sizes))
            _move(body, self._path(key))
            (self.multiparts / f"{multipart_id}.json").unlink(missing_ok=True)

        await _in_thread(complete)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        check_key(multipart_id)

        def abort() -> None:
            for ending in ("body", "json"):
                (self.multiparts / f"{multipart_id}.{ending}").unlink(missing_ok=True)

        await _in_thread(abort)

    async def list_multiparts(self) -> AsyncIterator[OpenMultipart]:
        for item in await _in_thread(lambda: [*self._walk_multiparts()]):
            yield item

    async def forget_interrupted(self, before: datetime) -> None:
        await _in_thread(self._forget_interrupted, before.timestamp())

    def _forget_interrupted(self, before: float) -> None:
        for path in self.incoming.iterdir():
            with suppress(FileNotFoundError):  # Finished while we look.
                if path.stat().st_mtime < before:
                    path.unlink()

    def _path(self, key: str) -> Path:
        return self.objects / check_key(key)

    def _place(self, key: str, write: Callable[[Path], None]) -> None:
        target, temporary = self._path(key), self.incoming / secrets.token_hex(16)
        try:
            write(temporary)
            handle = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            _move(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def _stat(self, key: str) -> StoredObject:
        found = self._path(key).stat()
        etag = f"{found.st_mtime_ns:x}-{found.st_size:x}"
        return StoredObject(key, found.st_size, etag, datetime.fromtimestamp(found.st_mtime, UTC))

    def _delete(self, paths: Sequence[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths} - {self.objects}:
            with suppress(OSError):  # Not empty, or somebody else removed it.
                folder.rmdir()

    def _walk(self, prefix: str) -> Iterator[StoredObject]:
        first = self.objects / prefix.rpartition("/")[0]
        for folder, _, names in os.walk(first):
            for name in names:
                key = str(Path(folder, name).relative_to(self.objects))
                if key.startswith(prefix):
                    with suppress(FileNotFoundError):  # Deleted while we look.
                        yield self._stat(key)

    def _open_multipart(self, key: str, multipart_id: str) -> tuple[Path, _Multipart]:
        name = check_key(multipart_id)
        started = msgspec.json.decode((self.multiparts / f"{name}.json").read_bytes(), type=_Multipart)
        if started.key != key:
            raise ValueError(f"multipart {name} belongs to another key")
        return self.multiparts / f"{name}.body", started

    def _walk_multiparts(self) -> Iterator[OpenMultipart]:
        for path in self.multiparts.glob("*.json"):
            with suppress(FileNotFoundError, msgspec.DecodeError):
                started = msgspec.json.decode(path.read_bytes(), type=_Multipart)
                yield OpenMultipart(started.key, path.stem, datetime.fromtimestamp(path.stat().st_mtime, UTC))


@asynccontextmanager
async def open_files(settings: Settings) -> AsyncIterator[FileStorage]:
    """Storage below the data directory."""
    yield await _in_thread(FileStorage, settings.data_dir / "media", settings.upload_part_bytes)
