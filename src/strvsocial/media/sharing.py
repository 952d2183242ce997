"""Equal bytes are stored once: rows of several attachments name one object.

Who takes over another attachment's object locks that attachment's row first (`for share`) and looks whether it still
names the object. Its deletion waits for that lock, and objects are deleted only after their rows, by who then asks for
other rows (`release`). So either the new row is there when that is asked, or the old one was gone when it was looked for.
A twin that somebody else has locked is passed over: nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.db import Database
from strvsocial.media.attachments import want_deletion
from strvsocial.media.holding import BackupRuns, deleting
from strvsocial.media.products import PIPELINE
from strvsocial.storage import Storage

log = structlog.get_logger()

# Towards older rows only: two that are processed at once never point at each other.
_SAME_BYTES = text(
    """
    select twin.id, twin.source_key as key, twin.byte_size from attachments mine
      join attachments twin on twin.sha256 = mine.sha256 and twin.byte_size = mine.byte_size and twin.id < mine.id
    where mine.id = :id and twin.source_key <> mine.source_key order by twin.id limit 1
    """
)
_LOCK_TWIN = text("select 1 from attachments where id = :id and source_key = :key for share skip locked")
_LOCK_MINE = text("select source_key from attachments where id = :id for update")
_POINT = text("update attachments set source_key = :key where id = :id")
_DOUBLED = text(
    """
    select mine.id from attachments mine where mine.id > :after and exists (
      select from attachments twin where twin.sha256 = mine.sha256 and twin.byte_size = mine.byte_size
        and twin.id < mine.id and twin.source_key <> mine.source_key)
    order by mine.id limit 500
    """
)
_REFERRED = text(
    """
    select source_key as key from attachments where source_key = any(:keys)
    union select key from renditions where key = any(:keys)
    union select key from uploads where key = any(:keys) and state <> 'used'
    """
)
_LOCK_READY = text(
    """
    select 1 from attachments where id = :twin and status = 'ready' and pipeline = :pipeline
      and not exists (select from renditions where attachment_id = :twin and state <> 'ready')
    for share skip locked
    """
)
_LOCK_WAITING = text("select 1 from attachments where id = :id and status = 'processing' for update")
_ADOPT = text(
    """
    insert into renditions (attachment_id, name, role, state, progress, key, mime, byte_size, width, height, bitrate, details)
    select :id, name, role, state, progress, key, mime, byte_size, width, height, bitrate, details
    from renditions where attachment_id = :twin
    on conflict on constraint uq_renditions_name do nothing
    """
)
_BECOME_READY = text(
    """
    update attachments mine set kind = twin.kind, status = 'ready', failure = null, progress = 100, width = twin.width,
      height = twin.height, duration = twin.duration, has_audio = twin.has_audio, placeholder = twin.placeholder,
      pipeline = twin.pipeline
    from attachments twin where twin.id = :twin and mine.id = :id
    """
)
_RENDITIONS = text("select key, byte_size from renditions where attachment_id = :id")
_DROP = text("delete from renditions where attachment_id = :id returning key")


async def release(database: Database, storage: Storage, keys: Sequence[str]) -> None:
    """Deletes those of `keys` that no row names any more. Raises BackupRuns."""
    async with deleting(database):
        async with database.read() as reader:
            named = {row.key for row in await reader.execute(_REFERRED, {"keys": list(keys)})}
        await storage.delete([key for key in keys if key not in named])


async def forget(database: Database, storage: Storage, keys: Sequence[str]) -> None:
    """Releases what nobody has a use for, now, or after the backup that copies just now."""
    try:
        await release(database, storage, keys)
    except BackupRuns:
        async with database.transaction() as db:
            await want_deletion(db, keys)


async def share_original(database: Database, storage: Storage, attachment_id: int) -> bool:
    """Lets an attachment name the original of an older one with the same bytes; its own is deleted by a job.

    False when there is none, or when what lies there is not whole: then a second copy is what saves both.
    """
    async with database.read() as reader:
        twin = (await reader.execute(_SAME_BYTES, {"id": attachment_id})).one_or_none()
    if twin is None or not await _is_whole(storage, [twin]):
        return False
    async with database.transaction() as db:
        mine = await db.scalar(_LOCK_MINE, {"id": attachment_id})
        if mine is None or mine == twin.key or not await db.scalar(_LOCK_TWIN, {"id": twin.id, "key": twin.key}):
            return False
        await db.execute(_POINT, {"id": attachment_id, "key": twin.key})
        await want_deletion(db, [mine])
    return True


async def share_originals(database: Database, storage: Storage) -> int:
    """Stores once what is stored twice, of all attachments; how many gave their copy up."""
    shared, after = 0, 0
    while True:
        async with database.read() as reader:
            doubled = [row.id for row in await reader.execute(_DOUBLED, {"after": after})]
        if not doubled:
            return shared
        for attachment_id in doubled:
            shared += await share_original(database, storage, attachment_id)
        after = doubled[-1]


async def adopt(database: Database, storage: Storage, attachment_id: int, twin_id: int) -> bool:
    """Makes an attachment that waits to be processed ready by the renditions of a ready one with the same bytes.

    Who calls has seen to it that the author may see the twin. False when the twin has changed meanwhile, or when what it
    names is not in storage.
    """
    async with database.read() as reader:
        renditions = (await reader.execute(_RENDITIONS, {"id": twin_id})).all()
    if not renditions or not await _is_whole(storage, renditions):
        return False
    async with database.transaction() as db:
        both = {"id": attachment_id, "twin": twin_id}
        if not await db.scalar(_LOCK_WAITING, {"id": attachment_id}):
            return False
        if not await db.scalar(_LOCK_READY, {"twin": twin_id, "pipeline": PIPELINE}):
            return False
        await _drop_renditions(db, attachment_id)
        await db.execute(_ADOPT, both)
        await db.execute(_BECOME_READY, both)
    return True


async def _drop_renditions(db: AsyncSession, attachment_id: int) -> None:
    """What an earlier try has left."""
    if keys := list(await db.scalars(_DROP, {"id": attachment_id})):
        await want_deletion(db, keys)


async def _is_whole(storage: Storage, rows: Sequence[Row[Any]]) -> bool:
    for row in rows:
        found = await storage.stat(row.key)
        if found is None or found.byte_size != row.byte_size:
            log.warning("media.not_shared", key=row.key, byte_size=row.byte_size)
            return False
    return True
