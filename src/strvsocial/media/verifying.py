"""Whether everything that rows name is in storage, with its size, and for originals with the sha256 that they came with.

Storage is listed into a temporary table and PostgreSQL compares, as in `sweeping`. Reading originals again takes as long as
reading all of them takes, so that part can be stopped and taken up again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import text

from strvsocial.db import Database
from strvsocial.errors import NotFound
from strvsocial.media.sweeping import fill_listing
from strvsocial.storage import Storage

_BATCH = 200
# Posts and people stand above media; here their tables are known by name only.
_NAMED = """
    select a.source_key as key, a.created_at, a.byte_size, 'original' as what, true as is_original, a.id as attachment_id,
        p.public_id as post, u.username as author
      from attachments a join posts p on p.id = a.post_id join users u on u.id = p.author_id
    union all select r.key, r.created_at, r.byte_size, r.name, false, a.id, p.public_id, u.username
      from renditions r join attachments a on a.id = r.attachment_id join posts p on p.id = a.post_id
        join users u on u.id = p.author_id where r.state = 'ready'
    union all select avatar_key, updated_at, null, 'avatar', true, null, null, username
      from users where avatar_key is not null
    union all select up.key, up.created_at, up.length, 'upload', true, null, null, u.username
      from uploads up join users u on u.id = up.user_id where up.state = 'finished'
"""
_WRONG = text(
    f"""
    select named.*, listed.byte_size as found_bytes from ({_NAMED}) as named left join listed using (key)
    where named.created_at < :before
      and (listed.key is null or (named.byte_size is not null and listed.byte_size <> named.byte_size))
    order by named.post, named.is_original desc, named.what
    """  # noqa: S608 - made of constants.
)
# Each object once, by the oldest row that names it.
_ORIGINALS = text(
    """
    select a.id, a.source_key as key, a.byte_size, a.sha256, p.public_id as post, u.username as author
    from attachments a join posts p on p.id = a.post_id join users u on u.id = p.author_id
    where a.id >= :first
      and not exists (select from attachments older where older.source_key = a.source_key and older.id < a.id)
    order by a.id limit :limit
    """
)
_TOTAL = text(
    """
    select count(*) as files, coalesce(sum(byte_size), 0)::bigint as bytes
    from (select max(byte_size) as byte_size from attachments where id >= :first group by source_key) as originals
    """
)
_IS_NAMED = text("select exists (select from attachments where id = :id and source_key = :key)")
_WHOLE_TWIN = text(
    """
    select twin.source_key as key, twin.byte_size from attachments mine join attachments twin
      on twin.sha256 = mine.sha256 and twin.byte_size = mine.byte_size and twin.source_key <> mine.source_key
    where mine.id = :id group by 1, 2
    """
)
_MEND = text(
    """
    update attachments set source_key = :key where source_key = :lost
      and sha256 = (select sha256 from attachments where id = :id)
      and exists (select from attachments twin where twin.source_key = :key)
    returning id
    """
)

Problem = str
"""`lost`, `size` (another one than the row says), `content` (other bytes than were sent)."""


class Wrong(msgspec.Struct, frozen=True):
    """Something that a row names and that storage does not have as it should. `what`: `original`, `avatar`, `upload`, or
    the name of a rendition, which can be made again while its original is whole."""

    key: str
    problem: Problem
    what: str
    is_original: bool
    attachment_id: int | None
    post: str | None
    author: str


class Progress(msgspec.Struct, frozen=True):
    """Of reading originals: files and bytes read, of how many, and the attachment to begin with the next time."""

    files: int
    bytes: int
    all_files: int
    all_bytes: int
    next: int


async def find_wrong(
    database: Database, storage: Storage, progress: Callable[[int], None] = lambda count: None
) -> tuple[int, list[Wrong]]:
    """How many objects there are, and what is not there or has another size. `progress` hears how many were listed."""
    started = datetime.now(UTC)
    async with database.transaction() as db:
        count = await fill_listing(db, storage, progress)
        rows = (await db.execute(_WRONG, {"before": started})).all()
    wrong = []
    for row in rows:  # Listed before, written or deleted since: both are asked again.
        found = await storage.stat(row.key)
        if found is None:
            wrong.append(_wrong(row, "lost"))
        elif row.byte_size is not None and found.byte_size != row.byte_size:
            wrong.append(_wrong(row, "size"))
    return count, wrong


async def read_originals(
    database: Database,
    storage: Storage,
    first: int,
    on_wrong: Callable[[Wrong], None],
    on_progress: Callable[[Progress], None],
) -> None:
    """Reads every original from attachment `first` on and compares its sha256."""
    async with database.read() as reader:
        total = (await reader.execute(_TOTAL, {"first": first})).one()
    files = done = 0
    on_progress(Progress(files, done, total.files, total.bytes, first))
    while True:
        async with database.read() as reader:
            rows = (await reader.execute(_ORIGINALS, {"first": first, "limit": _BATCH})).all()
        if not rows:
            return
        for row in rows:
            if (problem := await _read(database, storage, row)) is not None:
                on_wrong(Wrong(row.key, problem, "original", True, row.id, row.post, row.author))
            files, done, first = files + 1, done + row.byte_size, row.id + 1
            on_progress(Progress(files, done, total.files, total.bytes, first))


async def mend_originals(database: Database, storage: Storage, wrong: Sequence[Wrong]) -> list[Wrong]:
    """Lets attachments name another copy of the same bytes where there is one; those that could be mended."""
    originals = [one for one in wrong if one.is_original and one.attachment_id is not None]
    return [one for one in originals if await _mend(database, storage, one)]


async def _mend(database: Database, storage: Storage, one: Wrong) -> bool:
    async with database.read() as reader:
        twins = (await reader.execute(_WHOLE_TWIN, {"id": one.attachment_id})).all()
    for twin in twins:
        found = await storage.stat(twin.key)
        if found is not None and found.byte_size == twin.byte_size:
            async with database.transaction() as db:
                # Locked, so that the copy's own row cannot go between this and the look at it.
                await db.execute(text("select 1 from attachments where source_key = :key for share"), {"key": twin.key})
                values = {"key": twin.key, "lost": one.key, "id": one.attachment_id}
                return bool((await db.execute(_MEND, values)).all())
    return False


async def _read(database: Database, storage: Storage, row: Any) -> Problem | None:
    """What is wrong with an original; None when all is well, or when it was deleted meanwhile."""
    digest, size = hashlib.sha256(), 0
    problem: Problem | None = None
    try:
        async for piece in storage.read(row.key):
            size += len(piece)
            await asyncio.to_thread(digest.update, piece)
    except NotFound:
        problem = "lost"
    else:
        if size != row.byte_size:
            problem = "size"
        elif digest.digest() != row.sha256:
            problem = "content"
    if problem is None:
        return None
    async with database.read() as reader:
        return problem if await reader.scalar(_IS_NAMED, {"id": row.id, "key": row.key}) else None


def _wrong(row: Any, problem: Problem) -> Wrong:
    return Wrong(row.key, problem, row.what, row.is_original, row.attachment_id, row.post, row.author)
