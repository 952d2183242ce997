"""Whether a backup could be restored: every byte read, the dump opened, all of it complete. Needs no database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from msgspec import Struct

from strvsocial.backups.creating import OnProgress
from strvsocial.backups.dumps import feed_from, list_tables
from strvsocial.backups.encryption import Identities
from strvsocial.backups.manifests import MANIFEST, SUMS, BadBackup, KeptFile, Manifest
from strvsocial.backups.programs import find_programs
from strvsocial.backups.shelves import BACKUPS, Shelf
from strvsocial.errors import NotFound

AT_ONCE = 4


class Verdict(Struct):
    """What `verify` found. Each problem names its file. `dump_opened` is false where no key was given for it."""

    name: str
    problems: list[str]
    manifest: Manifest | None = None
    age_seconds: float = 0
    files: int = 0
    byte_size: int = 0
    dump_opened: bool = False


async def verify(shelf: Shelf, name: str, identities: Identities | None, on_progress: OnProgress) -> Verdict:
    """Reads all of a backup. `identities` open an encrypted one; without them its checksums are compared alone."""
    verdict = Verdict(name, [])
    try:
        await _judge_head(shelf, name, verdict)
        manifest = await shelf.load_manifest(name)
        verdict.manifest = manifest
        verdict.age_seconds = (datetime.now(UTC) - manifest.started_at).total_seconds()
        if problem := await shelf.judge(manifest.media_list):
            verdict.problems.append(problem)
        objects = await shelf.load_objects(name)
    except BadBackup as error:
        verdict.problems.append(error.message)
        return verdict
    if len(objects) != manifest.objects or sum(item.byte_size for item in objects) != manifest.object_bytes:
        verdict.problems.append(
            f"{manifest.media_list.name} lists {len(objects)} objects, the manifest counts {manifest.objects}"
        )
    files = [item.file for item in objects]
    verdict.files, verdict.byte_size = 1 + len(files), manifest.dump.byte_size + sum(file.byte_size for file in files)
    await _judge_dump(shelf, manifest, identities, verdict)
    verdict.problems += await _judge_files(shelf, files, on_progress)
    return verdict


async def _judge_head(shelf: Shelf, name: str, verdict: Verdict) -> None:
    """The manifest holds the checksums of the rest; its own stands in SHA256SUMS."""
    folder = f"{BACKUPS}{name}/"
    try:
        lines = (await shelf.load(folder + SUMS)).decode(errors="replace").splitlines()
    except NotFound:
        verdict.problems.append(f"{folder}{SUMS} is missing")
        return
    digests = {words[1]: words[0] for line in lines if len(words := line.split()) == 2}
    size = (await shelf.list_sizes(folder + MANIFEST)).get(folder + MANIFEST, 0)
    if problem := await shelf.judge(KeptFile(folder + MANIFEST, size, digests.get(MANIFEST, ""))):
        verdict.problems.append(problem)


async def _judge_dump(shelf: Shelf, manifest: Manifest, identities: Identities | None, verdict: Verdict) -> None:
    try:
        async with shelf.at_hand(manifest.dump) as path:
            if manifest.encrypted and identities is None:
                return
            feed = feed_from(path, manifest.dump.name, identities if manifest.encrypted else None)
            programs = await asyncio.to_thread(find_programs, manifest.dump_major)
            tables = await asyncio.to_thread(list_tables, feed, programs)
        verdict.dump_opened = True
        if lacking := sorted(set(manifest.rows) - set(tables)):
            verdict.problems.append(f"{manifest.dump.name} lacks the rows of {', '.join(lacking)}")
    except BadBackup as error:
        verdict.problems.append(error.message)


async def _judge_files(shelf: Shelf, files: list[KeptFile], on_progress: OnProgress) -> list[str]:
    problems: list[str] = []
    waiting, done, total = iter(files), 0, sum(file.byte_size for file in files)

    async def work() -> None:
        nonlocal done
        for file in waiting:
            if problem := await shelf.judge(file):
                problems.append(problem)
            done += file.byte_size
            on_progress("objects", done, total)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return sorted(problems)
