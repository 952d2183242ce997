"""A site from a backup: bytes before rows, as everywhere, so that an interrupted restore is simply run again.

The rows come in one transaction, together with what must not be carried over: leases of processes that are gone, uploads
whose parts are gone, transaction numbers of another PostgreSQL, index snapshots of another moment.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from msgspec import Struct

from strvsocial.backups.creating import OnProgress
from strvsocial.backups.dumps import feed_from, load
from strvsocial.backups.encryption import Identities, decrypt
from strvsocial.backups.manifests import BadBackup, KeptObject, Manifest
from strvsocial.backups.programs import find_programs
from strvsocial.backups.shelves import Shelf, measure
from strvsocial.content.work import PROCESS_ATTACHMENT, PROCESS_FILM
from strvsocial.db import plain_url
from strvsocial.embeddings.index_changes import GENERATIONS
from strvsocial.errors import Conflict, NotFound
from strvsocial.ids import new_id
from strvsocial.jobs import BULK
from strvsocial.media.sandbox import private_folder
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.storage.keys import check_key

AT_ONCE = 4

# A lease is nobody's now. Of equal wishes one is enough: the newest, or the one that is queued.
_RESET = f"""
update jobs set state = 'done', finished_at = now(), lease_until = null where state = 'running' and dedupe_key is not null
  and exists (select 1 from jobs other where other.dedupe_key = jobs.dedupe_key
    and (other.state = 'queued' or (other.state = 'running' and other.id > jobs.id)));
update jobs set state = 'queued', attempts = greatest(attempts - 1, 0), lease_until = null, lease_token = null,
  run_after = now() where state = 'running';
delete from uploads where state = 'open';
update uploads set lock_token = null, locked_until = null;
update embeddings set transaction = pg_current_xact_id() where transaction >= pg_current_xact_id();
insert into site_facts (name, value)
  select '{GENERATIONS}', coalesce(jsonb_object_agg(id::text, extract(epoch from now())::bigint), '{{}}') from embedding_spaces
  on conflict (name) do update set value = excluded.value;
"""  # noqa: S608 - made of constants.
_FORGET = """
update users set avatar_key = null where avatar_key = any($lost);
delete from uploads where key = any($lost);
"""
_RESIZE = """
update renditions set byte_size = found.byte_size from (values $sizes) as found (key, byte_size)
  where renditions.key = found.key;
"""
_PROCESS_AGAIN = f"""
create temporary table again on commit drop as
  select id, post_id, kind from attachments where status in ('ready', 'processing');
delete from renditions;
update attachments set status = 'processing', progress = 0 where id in (select id from again);
update posts set status = 'processing', pending = '{{rendition,embedding}}'
  where status = 'ready' and id in (select post_id from again);
insert into jobs (queue, kind, payload, priority, dedupe_key)
  select case kind when 'video' then 'long' else 'quick' end,
    case kind when 'video' then '{PROCESS_FILM}' else '{PROCESS_ATTACHMENT}' end,
    jsonb_build_object('attachment_id', id), {BULK}, 'process:' || id from again
  on conflict (dedupe_key) where state = 'queued' and dedupe_key is not null do nothing;
"""  # noqa: S608 - made of constants.


class Target(Struct):
    """Where a backup would be restored to, and what is there."""

    database: str
    server_major: int
    tables: int
    people: int
    clients: list[str]
    foreign_objects: int
    """Objects in the storage that the backup does not hold."""

    @property
    def is_empty(self) -> bool:
        """A database that was only migrated is as good as empty."""
        return not self.people and not self.foreign_objects


class Restored(Struct):
    """What a restore did. `rows` counts the rows that are there now."""

    name: str
    rows: dict[str, int]
    objects: int
    object_bytes: int
    reused: int


async def inspect(settings: Settings, storage: Storage, manifest: Manifest, objects: Sequence[KeptObject]) -> Target:
    """Without media the storage is none of this backup's business: it is taken to be as it should be."""
    connection = await _connect(settings)
    try:
        clients = await connection.fetch(
            """
            select distinct coalesce(nullif(application_name, ''), 'pid ' || pid) as name from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' order by 1
            """
        )
        tables = "select count(*) from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
        tables_there = await connection.fetchval(tables)
        has_people = await connection.fetchval("select to_regclass('public.users') is not null")
        people = await connection.fetchval("select count(*) from public.users") if has_people else 0
        major = "select current_setting('server_version_num')::int / 10000"
        held = {item.key for item in objects}
        foreign = 0 if manifest.media == "none" else sum([item.key not in held async for item in storage.list("")])
        return Target(
            await connection.fetchval("select current_database()"),
            await connection.fetchval(major),
            tables_there,
            people,
            [row["name"] for row in clients],
            foreign,
        )
    finally:
        await connection.close(timeout=5)


def refuse(target: Target, manifest: Manifest, force: str | None, revisions: set[str]) -> None:
    """Raises Conflict or BadBackup when the backup must not be restored there."""
    if manifest.revision not in revisions:
        raise BadBackup(
            f"The backup was made by STRV.social {manifest.version} at migration {manifest.revision}, which this version "
            "does not know. Restore it with that version or a newer one."
        )
    if target.server_major < manifest.server_major:
        raise BadBackup(
            f"The backup is of PostgreSQL {manifest.server_major}, the server here is {target.server_major}: too old."
        )
    if target.clients:
        who = ", ".join(target.clients)
        raise Conflict(f"Somebody uses the database {target.database} ({who}). Stop web, worker and embedder first.")
    if not target.is_empty and force != target.database:
        there = f"{target.people} people, and {target.foreign_objects} stored objects that the backup does not hold"
        raise Conflict(
            f"The site is not empty: {there}. To replace all rows of the database {target.database}, "
            f"say --force {target.database}"
        )


async def restore(
    settings: Settings,
    storage: Storage,
    shelf: Shelf,
    manifest: Manifest,
    objects: Sequence[KeptObject],
    identities: Identities | None,
    on_progress: OnProgress,
) -> Restored:
    """Puts everything in its place. Raises BadBackup; then the database is as it was, and this may be run again.

    What is there is replaced: `refuse` comes first.
    """
    keys = identities if manifest.encrypted else None
    # What is decrypted never lies beside the backups.
    async with private_folder(settings.data_dir / "tmp") as scratch:
        putting = _Putter(storage, shelf, scratch, keys, on_progress)
        await putting.put_all(objects)
    target = await inspect(settings, storage, manifest, objects)
    programs = await asyncio.to_thread(find_programs, max(manifest.dump_major, target.server_major))
    on_progress("database", 0, None)
    async with shelf.at_hand(manifest.dump) as dump:
        await asyncio.to_thread(
            load,
            settings.direct_url,
            feed_from(dump, manifest.dump.name, keys),
            programs,
            replace=target.tables > 0,
            afterwards=_afterwards(manifest, objects),
        )
    rows = await _count_rows(settings, manifest)
    return Restored(manifest.name, rows, len(objects), manifest.object_bytes, putting.reused)


class _Putter:
    """Brings objects into the storage, some at a time. What is there already, byte by byte, stays."""

    def __init__(
        self, storage: Storage, shelf: Shelf, scratch: Path, identities: Identities | None, on_progress: OnProgress
    ) -> None:
        self.storage, self.shelf, self.scratch, self.identities = storage, shelf, scratch, identities
        self.on_progress, self.reused, self.done_bytes = on_progress, 0, 0

    async def put_all(self, objects: Sequence[KeptObject]) -> None:
        waiting, total = iter(objects), sum(item.byte_size for item in objects)
        self.on_progress("media", 0, total)

        async def work() -> None:
            for item in waiting:
                await self._put(item)
                self.done_bytes += item.byte_size
                self.on_progress("media", self.done_bytes, total)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _put(self, item: KeptObject) -> None:
        async with self.shelf.at_hand(item.file) as kept:
            if self.identities is None:
                await self._put_file(item, kept)
                return
            opened = self.scratch / new_id()
            try:
                await asyncio.to_thread(_decrypt, kept, opened, item.file.name, self.identities)
                await self._put_file(item, opened)
            finally:
                opened.unlink(missing_ok=True)

    async def _put_file(self, item: KeptObject, path: Path) -> None:
        size, digest = await asyncio.to_thread(measure, path)
        if size != item.byte_size:
            raise BadBackup(f"{item.file.name} holds {size:,} bytes, not {item.byte_size:,}")
        if await self._digest(item.key, item.byte_size) == digest:
            self.reused += 1
            return
        await self.storage.put_file(item.key, path, item.mime)
        if await self._digest(item.key, item.byte_size) != digest:
            raise BadBackup(f"The storage does not give back {item.key} as it was stored.")

    async def _digest(self, key: str, byte_size: int) -> str | None:
        """The sha256 of a stored object, None where there is none of that size."""
        stored = await self.storage.stat(key)
        if stored is None or stored.byte_size != byte_size:
            return None
        return await _sha256(self.storage, key)


async def _sha256(storage: Storage, key: str) -> str | None:
    digest = hashlib.sha256()
    try:
        async for piece in storage.read(key):
            digest.update(piece)
    except NotFound:
        return None
    return digest.hexdigest()


def _decrypt(path: Path, opened: Path, name: str, identities: Identities) -> None:
    with path.open("rb") as source, opened.open("wb") as target:
        decrypt(source, target, name, identities)


def _afterwards(manifest: Manifest, objects: Sequence[KeptObject]) -> str:
    """What is to be set right in the restored rows, in their transaction."""
    lost = _array([*manifest.gone, *manifest.missing])
    sizes = {item.key: item.byte_size for item in objects}
    # `check_key` lets nothing through that would need quoting.
    changed = [f"('{check_key(key)}', {sizes[key]})" for key in manifest.changed if key in sizes]
    parts = [_RESET, _FORGET.replace("$lost", lost)]
    if changed:
        parts.append(_RESIZE.replace("$sizes", ", ".join(changed)))
    if manifest.media == "originals":
        parts.append(_PROCESS_AGAIN)
    return "\n".join(parts)


def _array(keys: Sequence[str]) -> str:
    return "'{" + ",".join(check_key(key) for key in keys) + "}'::text[]"


async def _connect(settings: Settings) -> asyncpg.Connection:
    return await asyncpg.connect(plain_url(settings.direct_url), timeout=10)


async def _count_rows(settings: Settings, manifest: Manifest) -> dict[str, int]:
    connection = await _connect(settings)
    try:
        return {table: await connection.fetchval(f'select count(*) from "{table}"') for table in manifest.rows}  # noqa: S608
    finally:
        await connection.close(timeout=5)
