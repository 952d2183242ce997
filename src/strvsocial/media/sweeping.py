"""Comparing storage with the rows: bytes that nothing refers to, and rows whose bytes are gone.

Storage is listed into a temporary table, then PostgreSQL compares; memory does not grow with the site. Young objects are
left alone: a post may be about to be written for them. What is to be deleted is asked about once more just before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.db import Database
from strvsocial.errors import StrvError
from strvsocial.media import uploads
from strvsocial.media.appending import remove_bytes
from strvsocial.media.holding import BackupRuns, deleting
from strvsocial.media.quotas import forget_holds
from strvsocial.media.sharing import share_originals
from strvsocial.settings import Settings
from strvsocial.storage import OpenMultipart, Storage

log = structlog.get_logger()

GRACE = timedelta(hours=24)
_BATCH = 1_000

# Everything that a row says is in storage; backups copy exactly this. A tail exists while its upload is open; a job may
# hold the only mention of a picture that is about to become somebody's avatar. What can be made again is no original.
REFERENCES = """
    select source_key as key, created_at, 'attachment ' || public_id as about, source_mime as mime, byte_size, sha256,
        true as is_original from attachments
    union all select r.key, r.created_at, 'rendition ' || a.public_id || '/' || r.name, r.mime, r.byte_size, null, false
      from renditions r join attachments a on a.id = r.attachment_id where r.state = 'ready'
    union all select avatar_key, updated_at, 'user ' || username, 'image/webp', null, null, true
      from users where avatar_key is not null
    union all select key, created_at, 'upload ' || public_id, coalesce(mime, 'application/octet-stream'), length, sha256,
        true from uploads where state = 'finished'
"""
_MENTIONS = f"""
    select key from ({REFERENCES}) as referred
    union all select key from uploads where state <> 'finished'
    union all select 'tails/' || public_id from uploads where state = 'open'
    union all select payload ->> 'source_key' from jobs
      where state in ('queued', 'running') and payload ? 'source_key'
"""  # noqa: S608 - made of constants.
_LISTED = text(
    "create temporary table listed (key text primary key, byte_size bigint, modified_at timestamptz) on commit drop"
)
_LIST = text(
    """
    insert into listed select * from unnest(cast(:keys as text[]), cast(:sizes as bigint[]), cast(:times as timestamptz[]))
    on conflict do nothing
    """
)
_ORPHANS = text(
    f"""
    with mentioned as materialized ({_MENTIONS})
    select key, byte_size, modified_at from listed
    where modified_at < :before and not exists (select 1 from mentioned where mentioned.key = listed.key)
    order by key
    """  # noqa: S608 - made of constants.
)
_MISSING = text(
    f"""
    select key, about from ({REFERENCES}) as referred
    where created_at < :before and not exists (select 1 from listed where listed.key = referred.key)
    order by key
    """  # noqa: S608 - made of constants.
)
_STILL_MENTIONED = text(f"select key from ({_MENTIONS}) as mentioned where key = any(:keys)")  # noqa: S608
# The table of facts stands above media; here it is known by name only.
_REMEMBER = text(
    """
    insert into site_facts (name, value) values ('last_sweep', cast(:facts as jsonb))
    on conflict (name) do update set value = excluded.value
    """
)
_LAST_SWEEP = text("select value::text from site_facts where name = 'last_sweep'")
_OPEN_MULTIPARTS = text("select multipart_id from uploads where state = 'open' and multipart_id = any(:ids)")


class Orphan(msgspec.Struct):
    """An object that no row refers to."""

    key: str
    byte_size: int
    modified_at: datetime


class Missing(msgspec.Struct):
    """A row whose object is not there. `about` says which row, for people."""

    key: str
    about: str


class Comparison(msgspec.Struct):
    """What does not fit together. `multiparts` are keys of multipart uploads that nobody goes on with."""

    objects: int
    orphans: list[Orphan]
    missing: list[Missing]
    multiparts: list[str]


class LastSweep(msgspec.Struct, frozen=True):
    """The last search for orphans: how many objects there were, what was removed, how many rows lack their bytes."""

    at: datetime
    objects: int
    deleted: int
    aborted: int
    missing: int


async def compare(
    database: Database,
    storage: Storage,
    grace: timedelta = GRACE,
    progress: Callable[[int], None] = lambda count: None,
) -> Comparison:
    """Compares storage with the rows; `progress` is told how many objects were listed."""
    started = datetime.now(UTC)
    async with database.transaction() as db:
        count = await fill_listing(db, storage, progress)
        orphans = [Orphan(*row) for row in await db.execute(_ORPHANS, {"before": started - grace})]
        absent = [Missing(*row) for row in await db.execute(_MISSING, {"before": started})]
    # Listed before, written since: storage is asked again.
    missing = [found for found in absent if await storage.stat(found.key) is None]
    multiparts = [item.key for item in await _find_abandoned(database, storage, started - grace)]
    return Comparison(count, orphans, missing, multiparts)


async def fill_listing(db: AsyncSession, storage: Storage, progress: Callable[[int], None]) -> int:
    """Makes the temporary table `listed` of all that storage has; how many objects. It ends with the transaction."""
    await db.execute(_LISTED)
    count = 0
    async for batch in _batches(storage.list("")):
        keys, sizes, _, times = zip(*batch, strict=True)
        await db.execute(_LIST, {"keys": list(keys), "sizes": list(sizes), "times": list(times)})
        count += len(batch)
        progress(count)
    return count


async def delete_orphans(
    database: Database, storage: Storage, keys: Sequence[str], progress: Callable[[int], None] = lambda count: None
) -> int:
    """Deletes those of `keys` that still nothing refers to; how many they were. Raises BackupRuns."""
    deleted = 0
    remaining = iter(keys)
    while batch := [*islice(remaining, _BATCH)]:
        async with deleting(database):
            async with database.read() as reader:
                mentioned = {row.key for row in await reader.execute(_STILL_MENTIONED, {"keys": batch})}
            gone = [key for key in batch if key not in mentioned]
            await storage.delete(gone)
        deleted += len(gone)
        progress(deleted)
    return deleted


async def abort_abandoned(database: Database, storage: Storage, grace: timedelta = GRACE) -> int:
    """Aborts multipart uploads that are older than `grace` and that no open upload goes on with; how many they were.

    What a process was writing when it died goes as well.
    """
    before = datetime.now(UTC) - grace
    abandoned = await _find_abandoned(database, storage, before)
    for item in abandoned:
        await storage.abort_multipart(item.key, item.multipart_id)
    await storage.forget_interrupted(before)
    return len(abandoned)


async def remove_expired(database: Database, storage: Storage) -> int:
    """Forgets expired uploads and removes what they have in storage; how many they were. Raises BackupRuns."""
    async with deleting(database):
        async with database.transaction() as db:
            expired = await uploads.forget_expired(db)
            await forget_holds(db)
        for row in expired:
            if row.state != "used":
                await remove_bytes(storage, row.public_id, row.key, row.multipart_id)
    return len(expired)


async def sweep(database: Database, storage: Storage, *, orphans: bool) -> None:
    """Expired uploads always; with `orphans` everything that nothing refers to, which means listing all of storage."""
    expired = await remove_expired(database, storage)
    if orphans:
        try:
            shared = await share_originals(database, storage)
            found = await compare(database, storage)
            deleted = await delete_orphans(database, storage, [orphan.key for orphan in found.orphans])
            aborted = await abort_abandoned(database, storage)
        except BackupRuns:
            raise
        except StrvError as error:
            log.warning("media.sweep_failed", error=str(error))
            raise
        async with database.transaction() as db:
            facts = {"objects": found.objects, "deleted": deleted, "aborted": aborted, "missing": len(found.missing)}
            await db.execute(_REMEMBER, {"facts": msgspec.json.encode({"at": datetime.now(UTC), **facts}).decode()})
        log.info(
            "media.swept",
            expired=expired,
            shared=shared,
            objects=found.objects,
            deleted=deleted,
            aborted=aborted,
            missing=len(found.missing),
        )


async def find_last_sweep(reader: AsyncConnection) -> LastSweep | None:
    """What the last search for orphans found; None before the first."""
    found = await reader.scalar(_LAST_SWEEP)
    return None if found is None else msgspec.json.decode(found, type=LastSweep)


async def count_bytes(db: AsyncSession | AsyncConnection, settings: Settings, top: int) -> dict[str, Any]:
    """How much the rows say is stored: originals and renditions by kind, unused uploads, whose it is and how much each may
    keep, and what equal bytes that are stored once save."""
    totals = [dict(row._mapping) for row in await db.execute(_BY_KIND)]
    people = [dict(row._mapping) for row in await db.execute(_BY_PERSON, {"top": top, "total": settings.quota_bytes})]
    waiting = (await db.execute(_WAITING)).one()
    once = (await db.execute(_ONCE)).one()
    return {
        "kinds": totals,
        "people": people,
        "unused_uploads": dict(waiting._mapping),
        "stored_once": {**once._mapping, "saved_bytes": once.named_bytes - once.stored_bytes},
    }


_BY_KIND = text(
    """
    select a.kind, count(*) as files, sum(a.byte_size)::bigint as original_bytes,
      coalesce(sum(made.served), 0)::bigint as rendition_bytes, coalesce(sum(made.work), 0)::bigint as work_bytes
    from attachments a left join lateral (
      select sum(byte_size) filter (where role not in ('pcm', 'frames')) as served,
        sum(byte_size) filter (where role in ('pcm', 'frames')) as work
      from renditions where attachment_id = a.id
    ) as made on true
    group by a.kind order by a.kind
    """
)
_BY_PERSON = text(
    """
    select u.username, count(*) as files, sum(a.byte_size)::bigint as original_bytes,
      coalesce(sum(made.bytes), 0)::bigint as rendition_bytes,
      nullif(coalesce(u.quota_bytes, :total), 0) as quota_bytes
    from attachments a join posts p on p.id = a.post_id join users u on u.id = p.author_id
      left join lateral (select sum(byte_size) as bytes from renditions where attachment_id = a.id) as made on true
    group by u.id order by sum(a.byte_size) + coalesce(sum(made.bytes), 0) desc, u.id limit :top
    """
)
_ONCE = text(
    """
    select count(*) as objects, coalesce(sum(named), 0)::bigint as named_bytes, coalesce(sum(stored), 0)::bigint as stored_bytes
    from (
      select sum(byte_size) as named, max(byte_size) as stored from (
        select source_key as key, byte_size from attachments
        union all select key, byte_size from renditions where state = 'ready'
      ) as rows group by key
    ) as objects
    """
)
_WAITING = text(
    """
    select count(*) as files, coalesce(sum("offset"), 0)::bigint as bytes from uploads where state in ('open', 'finished')
    """
)


async def _find_abandoned(database: Database, storage: Storage, before: datetime) -> list[OpenMultipart]:
    old = [item async for item in storage.list_multiparts() if item.started_at < before]
    async with database.read() as reader:
        known = await reader.execute(_OPEN_MULTIPARTS, {"ids": [item.multipart_id for item in old]})
        wanted = {row.multipart_id for row in known}
    return [item for item in old if item.multipart_id not in wanted]


async def _batches(items: AsyncIterator[Any]) -> AsyncIterator[list[Any]]:
    batch: list[Any] = []
    async for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
