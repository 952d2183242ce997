"""Jobs of media."""

from __future__ import annotations

from typing import Any

from strvsocial.jobs import Claimed, Handler

DELETED_AT_ONCE = 500


async def _delete_objects(context: Any, jobs: list[Claimed]) -> None:
    """Deletes `keys` and everything below `prefix`. Deleting what is gone is no error."""
    for job in jobs:
        keys = list(job.payload.get("keys", []))
        if prefix := job.payload.get("prefix"):
            keys += [found.key async for found in context.storage.list(prefix)]
        for start in range(0, len(keys), DELETED_AT_ONCE):
            await context.storage.delete(keys[start : start + DELETED_AT_ONCE])


DELETE_OBJECTS = Handler("quick", _delete_objects, tries=10)
