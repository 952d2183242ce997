"""Whether the storage takes bytes now: asked by what is about to send some, and by operators' probes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from strvsocial.errors import Unavailable
from strvsocial.storage import Storage

FRESH_SECONDS = 2.0


class StorageHealth:
    """Asks at most every two seconds; who asks meanwhile gets the same answer."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self._trouble: Unavailable | None = None

    async def find_trouble(self) -> Unavailable | None:
        """Why nothing can be stored, or None. Takes a second at most."""
        async with self._asking:
            if self._asked_at is None or time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._trouble = await self._ask()
                self._asked_at = time.monotonic()
        return self._trouble

    async def check(self) -> None:
        """Raises Unavailable, with what to tell people, when nothing can be stored."""
        if trouble := await self.find_trouble():
            raise Unavailable(trouble.message, retry_after=trouble.retry_after)

    def forget(self) -> None:
        """Asks anew next time."""
        self._asked_at = None

    async def _ask(self) -> Unavailable | None:
        try:
            await self._storage.check()
        except Unavailable as trouble:
            return trouble
        return None


def get_storage_health(state: Any, storage: Storage) -> StorageHealth:
    """What this process knows of its storage, made when first asked for. `state` is the application's."""
    health: StorageHealth | None = state.get("storage_health")
    if health is None:
        health = state["storage_health"] = StorageHealth(storage)
    return health
