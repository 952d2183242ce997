"""Making a backup while people go on posting.

The order makes it whole. Deletions of bytes are held. One snapshot gives the dump and the list of what rows refer to;
bytes are written before their rows, so all of it is in storage by then, and stays there until it has been copied.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from strvsocial import __version__
from strvsocial.backups.dumps import read_dump
from strvsocial.backups.encryption import ENDING, encrypt
from strvsocial.backups.manifests import (
    DUMP,
    MANIFEST,
    MEDIA,
    PARTIAL,
    SUMS,
    BadBackup,
    KeptFile,
    KeptObject,
    Manifest,
    encode_list,
    encode_manifest,
)
from strvsocial.backups.programs import find_programs
from strvsocial.backups.shelves import BACKUPS, OBJECTS, Shelf
from strvsocial.backups.snapshots import Reference, Snapshot, Watch, watching
from strvsocial.errors import NotFound
from strvsocial.ids import new_id
from strvsocial.settings import Settings
from strvsocial.storage import Storage, StoredObject

log = structlog.get_logger()

AT_ONCE = 4
HOLD_SECONDS = 6 * 3600.0
"""Deletions are held no longer than this: what people delete must go, even beside a backup that takes for ever."""
NOTE_SECONDS = 15.0
MEDIA_CHOICES = ("all", "originals", "none")


OnProgress = Callable[[str, int, int | None], None]
"""Is told what is done: the name of the work, how much of how much, None where nobody knows."""


@dataclass(frozen=True)
class Plan:
    """What a backup would hold. `copied` lies here already, `wanted` has yet to be copied."""

    snapshot: Snapshot
    copied: list[KeptObject]
    wanted: list[tuple[Reference, StoredObject]]
    absent: list[Reference]

    @property
    def wanted_bytes(self) -> int:
        return sum(stored.byte_size for _, stored in self.wanted)


async def create(
    settings: Settings, storage: Storage, shelf: Shelf, recipients: Sequence[str], media: str, on_progress: OnProgress
) -> Manifest:
    """A new backup. Raises BadBackup, and Conflict when another one runs; then nothing counts as a backup."""
    async with watching(settings.direct_url) as watch:
        started, name = await _choose_name(shelf)
        async with watch.hold() as snapshot:
            programs = await asyncio.to_thread(find_programs, snapshot.server_major)
            plan = await _plan(snapshot, storage, shelf, recipients, media)
            _refuse_without_space(plan, shelf)
            counted = _counted(read_dump(settings.direct_url, snapshot.id, programs), "database", on_progress)
            dump = await keep(shelf, f"{BACKUPS}{name}/{DUMP}", counted, recipients)
        copied = _Copier(storage, shelf, recipients, watch, on_progress)
        await copied.copy(plan, f"{BACKUPS}{name}/{PARTIAL}")
        absent = [*(reference.key for reference in plan.absent), *copied.absent]
        missing = await watch.still_referred(absent)
        objects = sorted([*plan.copied, *copied.objects], key=lambda item: item.key)
        listed = await shelf.write(f"{BACKUPS}{name}/{MEDIA}", await asyncio.to_thread(encode_list, objects))
        manifest = Manifest(
            name=name,
            started_at=started,
            finished_at=datetime.now(UTC),
            version=__version__,
            revision=snapshot.revision,
            server_major=snapshot.server_major,
            dump_major=programs.major,
            encrypted=bool(recipients),
            media=media,
            rows=snapshot.rows,
            objects=len(objects),
            object_bytes=sum(item.byte_size for item in objects),
            dump=dump,
            media_list=listed,
            gone=sorted(set(absent) - missing),
            missing=sorted(missing),
            damaged=sorted(copied.damaged),
            changed=sorted(copied.changed),
        )
        await _finish(shelf, manifest)
    await shelf.delete([name for name in await shelf.list_sizes(BACKUPS) if name.endswith("/" + PARTIAL)])
    log.info("backup.created", name=name, objects=len(objects), copied=len(copied.objects))
    return manifest


async def plan(settings: Settings, storage: Storage, shelf: Shelf, recipients: Sequence[str], media: str) -> Plan:
    """What `create` would do now. Deletions are held for as long as this looks."""
    async with watching(settings.direct_url) as watch, watch.hold() as snapshot:
        return await _plan(snapshot, storage, shelf, recipients, media)


async def _choose_name(shelf: Shelf) -> tuple[datetime, str]:
    """Now, and the name of a backup that begins now."""
    taken = {name.split("/")[1] for name in await shelf.list_sizes(BACKUPS)}
    now = datetime.now(UTC)
    name = first = now.strftime("%Y%m%dT%H%M%SZ")
    for number in itertools.count(2):
        if name not in taken:
            break
        name = f"{first}-{number}"
    return now, name


async def _plan(snapshot: Snapshot, storage: Storage, shelf: Shelf, recipients: Sequence[str], media: str) -> Plan:
    references = [
        reference
        for reference in snapshot.references
        if media == "all" or (media == "originals" and reference.is_original)
    ]
    stored = {item.key: item async for item in storage.list("")} if references else {}
    sizes = await shelf.list_sizes(OBJECTS)
    kept = await _list_kept(shelf)
    copied: list[KeptObject] = []
    wanted: list[tuple[Reference, StoredObject]] = []
    absent: list[Reference] = []
    for reference in references:
        item = stored.get(reference.key) or await storage.stat(reference.key)
        if item is None:
            absent.append(reference)
            continue
        known = kept.get(_place(item, recipients))
        if known and known.intact and sizes.get(known.file.name) == known.file.byte_size:
            copied.append(known)
        else:
            wanted.append((reference, item))
    return Plan(snapshot, copied, wanted, absent)


async def _list_kept(shelf: Shelf) -> dict[str, KeptObject]:
    """Everything that backups have copied, by where it lies. A list that cannot be read only costs copies."""
    found: dict[str, KeptObject] = {}
    for name in await shelf.list_sizes(BACKUPS):
        _, backup, file = name.split("/")
        if file in (MEDIA, PARTIAL):
            with suppress(BadBackup):
                found |= {item.file.name: item for item in await shelf.load_objects(backup, file)}
    return found


def _place(item: StoredObject, recipients: Sequence[str]) -> str:
    """Where this version of an object lies, encrypted for these: its key and a mark of the version."""
    mark = hashlib.sha256(f"{item.byte_size} {item.etag} {' '.join(sorted(recipients))}".encode()).hexdigest()[:12]
    return f"{OBJECTS}{item.key}.{mark}{ENDING if recipients else ''}"


def _refuse_without_space(plan: Plan, shelf: Shelf) -> None:
    needed, free = plan.wanted_bytes + plan.snapshot.database_bytes // 2, shelf.free_bytes()
    if free is not None and needed > free:
        raise BadBackup(f"Not enough space in {shelf.folder}: about {needed:,} bytes are needed, {free:,} are free.")


class _Copier:
    """Copies what is wanted, some at a time."""

    def __init__(
        self, storage: Storage, shelf: Shelf, recipients: Sequence[str], watch: Watch, on_progress: OnProgress
    ) -> None:
        self.storage, self.shelf, self.recipients, self.watch = storage, shelf, recipients, watch
        self.on_progress = on_progress
        self.objects: list[KeptObject] = []
        self.absent: list[str] = []
        self.damaged: list[str] = []
        self.changed: list[str] = []
        self.began_at = self.noted_at = time.monotonic()
        self.holds, self.done_bytes = True, 0

    async def copy(self, plan: Plan, partial: str) -> None:
        """Copies all; what is done so far is noted in `partial`, for the next backup should this one not end well."""
        waiting, total = iter(plan.wanted), plan.wanted_bytes
        self.on_progress("media", 0, total)

        async def work() -> None:
            for reference, stored in waiting:
                await self._copy_one(reference, stored)
                self.done_bytes += stored.byte_size
                self.on_progress("media", self.done_bytes, total)
                await self._look_at_the_clock(partial)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            if plan.wanted and len(self.objects) < len(plan.wanted):
                await self.shelf.write(partial, encode_list(self.objects))

    async def _look_at_the_clock(self, partial: str) -> None:
        now = time.monotonic()
        if now - self.noted_at > NOTE_SECONDS:
            self.noted_at = now
            await self.shelf.write(partial, encode_list(self.objects))
        if self.holds and now - self.began_at > HOLD_SECONDS:
            self.holds = False
            log.warning("backup.deletions_go_on", after_seconds=HOLD_SECONDS)
            await self.watch.release()

    async def _copy_one(self, reference: Reference, stored: StoredObject) -> None:
        digest, size = hashlib.sha256(), 0

        async def read() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in self.storage.read(stored.key):
                digest.update(piece)
                size += len(piece)
                yield piece

        try:
            file = await keep(self.shelf, _place(stored, self.recipients), read(), self.recipients)
        except NotFound:
            self.absent.append(stored.key)
            return
        is_damaged = reference.sha256 is not None and digest.digest() != reference.sha256
        is_changed = reference.byte_size is not None and size != reference.byte_size and not is_damaged
        self.damaged += [stored.key] * is_damaged
        self.changed += [stored.key] * is_changed
        intact = not is_damaged and not is_changed
        # Made anew while we read: its next version has another mark, and will be copied by the next backup.
        self.objects.append(
            KeptObject(stored.key, size, reference.mime, stored.etag, reference.is_original, intact, file)
        )


async def keep(shelf: Shelf, name: str, pieces: AsyncIterator[bytes], recipients: Sequence[str]) -> KeptFile:
    """Keeps what comes as `name`, encrypted where there are recipients."""
    path = shelf.scratch / new_id()
    try:
        if recipients:
            await encrypt(pieces, path, recipients)
        else:
            with path.open("wb") as file:
                async for piece in pieces:
                    file.write(piece)
        name = name if name.endswith(ENDING) or not recipients else name + ENDING
        return await shelf.take(name, path)
    finally:
        path.unlink(missing_ok=True)


async def _finish(shelf: Shelf, manifest: Manifest) -> None:
    """The checksums, then the manifest: with it the backup is one."""
    folder = f"{BACKUPS}{manifest.name}/"
    data = encode_manifest(manifest)
    sums = [(hashlib.sha256(data).hexdigest(), MANIFEST)]
    sums += [(file.sha256, file.name.removeprefix(folder)) for file in (manifest.dump, manifest.media_list)]
    await shelf.write(folder + SUMS, "".join(f"{digest}  {name}\n" for digest, name in sums).encode())
    await shelf.write(folder + MANIFEST, data)


async def _counted(pieces: AsyncIterator[bytes], name: str, on_progress: OnProgress) -> AsyncIterator[bytes]:
    done = 0
    async for piece in pieces:
        done += len(piece)
        on_progress(name, done, None)
        yield piece
