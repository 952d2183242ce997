"""Jobs of media."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.jobs import BULK, Claimed, Handler, Postpone, enqueue
from strvsocial.media import sweeping
from strvsocial.media.holding import BackupRuns
from strvsocial.media.sharing import release

DELETED_AT_ONCE = 500
SWEEP_STORAGE = "media.sweep_storage"


async def _delete_objects(context: Any, jobs: list[Claimed]) -> None:
    """Deletes `keys` and everything below `prefix`, but not what rows still name. Deleting what is gone is no error."""
    for job in jobs:
        keys = list(job.payload.get("keys", []))
        if prefix := job.payload.get("prefix"):
            keys += [found.key async for found in context.storage.list(prefix)]
        for start in range(0, len(keys), DELETED_AT_ONCE):
            try:
                await release(context.database, context.storage, keys[start : start + DELETED_AT_ONCE])
            except BackupRuns as error:
                raise Postpone(error.message, seconds=30) from error


DELETE_OBJECTS = Handler("quick", _delete_objects, tries=10)


async def want_sweep(db: AsyncSession, *, orphans: bool) -> None:
    """Wants expired uploads removed, and with `orphans` all bytes that nothing refers to."""
    name = f"{SWEEP_STORAGE}:{'orphans' if orphans else 'expired'}"
    await enqueue(db, SWEEP_STORAGE, {"orphans": orphans}, queue="quick", priority=BULK, dedupe_key=name)


async def _sweep_storage(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        try:
            await sweeping.sweep(context.database, context.storage, orphans=bool(job.payload.get("orphans")))
        except BackupRuns as error:
            raise Postpone(error.message, seconds=60) from error


SWEEP = Handler("quick", _sweep_storage, timeout=3600)
