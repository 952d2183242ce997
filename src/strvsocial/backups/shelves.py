"""Where backups lie: a folder, or a bucket of the S3 server that the site's settings name."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from strvsocial.backups.manifests import (
    MANIFEST,
    MEDIA,
    BadBackup,
    KeptFile,
    KeptObject,
    Manifest,
    decode_list,
    decode_manifest,
)
from strvsocial.errors import NotFound
from strvsocial.ids import new_id
from strvsocial.media.sandbox import private_folder
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.storage.files import FileStorage

BACKUPS, OBJECTS = "backups/", "objects/"
BINARY = "application/octet-stream"


class Folder(FileStorage):
    """Files below `root` under their plain names; put in place by rename, and on the disk before we go on."""

    def __init__(self, root: Path) -> None:
        self.objects, self.incoming, self.multiparts = root, root / ".unfinished", root / ".unfinished"
        self.part_bytes = 0

    async def move_in(self, key: str, path: Path) -> None:
        """`put_file`, without a second copy: the file must lie on the same disk."""

        def move(target: Path) -> None:
            path.rename(target)

        await asyncio.to_thread(self._place, key, move)


class Shelf:
    """Backups in one storage, all below `prefix`. `scratch` is a private folder for what is being written.

    `folder` is where they lie when that is a folder.
    """

    def __init__(self, storage: Storage, prefix: str, scratch: Path, folder: Path | None) -> None:
        self.storage, self.prefix, self.scratch, self.folder = storage, prefix, scratch, folder

    async def list_backups(self) -> list[str]:
        """The names of finished backups, the oldest first."""
        names = [key.split("/")[1] for key in await self.list_sizes(BACKUPS) if key.endswith("/" + MANIFEST)]
        return sorted(names)

    async def choose(self, name: str | None) -> str:
        """The name itself, or the newest. Raises BadBackup when there is none."""
        names = await self.list_backups()
        if name is None and names:
            return names[-1]
        if name not in names:
            raise BadBackup(f"There is no finished backup {name or ''} here.".replace("  ", " "))
        return name

    async def list_sizes(self, start: str) -> dict[str, int]:
        """Sizes by name of everything whose name begins with `start`."""
        skip = len(self.prefix)
        return {item.key[skip:]: item.byte_size async for item in self.storage.list(self.prefix + start)}

    async def load(self, name: str) -> bytes:
        """A small file. Raises NotFound."""
        return b"".join([piece async for piece in self.storage.read(self.prefix + name)])

    async def load_manifest(self, backup: str) -> Manifest:
        """Raises BadBackup."""
        try:
            return decode_manifest(backup, await self.load(f"{BACKUPS}{backup}/{MANIFEST}"))
        except NotFound as error:
            raise BadBackup(f"There is no finished backup {backup} here.") from error

    async def load_objects(self, backup: str, file: str = MEDIA) -> list[KeptObject]:
        """Raises BadBackup."""
        name = f"{BACKUPS}{backup}/{file}"
        try:
            return [*decode_list(name, await self.load(name))]
        except NotFound as error:
            raise BadBackup(f"{name} is missing.") from error

    async def write(self, name: str, data: bytes) -> KeptFile:
        await self.storage.put(self.prefix + name, data, BINARY)
        return KeptFile(name, len(data), hashlib.sha256(data).hexdigest())

    async def take(self, name: str, path: Path) -> KeptFile:
        """Keeps the file at `path`, which is ours from now on."""
        size, digest = await asyncio.to_thread(measure, path)
        if isinstance(self.storage, Folder):
            await self.storage.move_in(self.prefix + name, path)
        else:
            await self.storage.put_file(self.prefix + name, path, BINARY)
            await asyncio.to_thread(path.unlink)
        return KeptFile(name, size, digest)

    @asynccontextmanager
    async def at_hand(self, file: KeptFile) -> AsyncIterator[Path]:
        """A path to a kept file, for reading: its own in a folder, else a copy. Raises BadBackup when it is damaged."""
        copy = None if self.folder else self.scratch / new_id()
        try:
            if problem := await self.judge(file, copy):
                raise BadBackup(problem)
            yield copy or Path(self.folder or "", file.name)
        finally:
            if copy:
                copy.unlink(missing_ok=True)

    async def judge(self, file: KeptFile, path: Path | None = None) -> str | None:
        """What is wrong with a kept file, or None; on the way it is copied to `path`."""
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("wb") if path else _Nowhere() as target:
                async for piece in self.storage.read(self.prefix + file.name):
                    digest.update(piece)
                    size += target.write(piece)
        except NotFound:
            return f"{file.name} is missing"
        if size != file.byte_size:
            what = "truncated" if size < file.byte_size else "too long"
            return f"{file.name} is {what}: {size:,} of {file.byte_size:,} bytes"
        return None if digest.hexdigest() == file.sha256 else f"{file.name} is damaged: its checksum is another one"

    async def delete(self, names: list[str]) -> None:
        await self.storage.delete([self.prefix + name for name in names])

    def free_bytes(self) -> int | None:
        """Space left, where that can be known."""
        return shutil.disk_usage(self.folder).free if self.folder else None


class _Nowhere:
    """A file that forgets."""

    def __enter__(self) -> _Nowhere:
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, piece: bytes) -> int:
        return len(piece)


def measure(path: Path) -> tuple[int, str]:
    """Size and sha256 of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def open_shelf(target: str, settings: Settings, *, must_exist: bool = False) -> AsyncIterator[Shelf]:
    """`target` is a folder, made unless it `must_exist`, or `s3://bucket/prefix`. Raises BadBackup for what is neither."""
    if target.startswith("s3://"):
        from strvsocial.storage.s3 import open_s3

        bucket, _, prefix = target.removeprefix("s3://").partition("/")
        if bucket == settings.s3_bucket:
            raise BadBackup("A backup belongs into another bucket than the media: whoever empties one empties both.")
        prefix = prefix.strip("/")
        async with (
            open_s3(settings.model_copy(update={"s3_bucket": bucket})) as bucket_storage,
            private_folder(settings.data_dir / "tmp") as scratch,
        ):
            yield Shelf(bucket_storage, f"{prefix}/" if prefix else "", scratch, None)
        return
    root = await asyncio.to_thread(Path(target).resolve)
    if "://" in target or (must_exist and not await asyncio.to_thread(root.is_dir)):
        raise BadBackup(f"{target} is no folder (and s3://bucket/prefix is the only other place).")
    storage = Folder(root)
    # What only reads leaves no trace in it: it may be mounted read-only.
    async with private_folder(settings.data_dir / "tmp" if must_exist else storage.incoming) as scratch:
        yield Shelf(storage, "", scratch, root)
