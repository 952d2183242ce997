"""The index of all active spaces in a process that answers similarity queries: FAISS that follows PostgreSQL.

`VectorIndex` starts from the snapshot in Redis, or from the rows where there is none, and then follows the changes: woken
by `strvsocial.live.Listener`, and every two seconds anyway. A switched or outgrown space is built beside the old one and
swapped. PostgreSQL is the truth; Redis may be empty or away.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import faiss
import numpy as np
import structlog
from msgspec import Struct
from numpy.typing import NDArray

from strvsocial.db import Database
from strvsocial.embeddings import index_changes as changes
from strvsocial.embeddings import index_shelves as shelves
from strvsocial.embeddings.calibration import similarities
from strvsocial.embeddings.index_changes import SpaceRow
from strvsocial.embeddings.index_memory import give_back_memory
from strvsocial.embeddings.index_shelves import Shelf
from strvsocial.embeddings.index_snapshots import SnapshotStore, open_redis
from strvsocial.embeddings.index_spaces import OVERFETCH
from strvsocial.settings import Settings

log = structlog.get_logger()

POLL_SECONDS = 2.0
CHECK_SECONDS = 900.0
"""How often all ids and change numbers are compared with PostgreSQL."""
SAVE_SECONDS = 300.0
SAVE_CHANGES = 1000
SEARCH_THREADS = 2
ROWS_SECONDS = 1.5
"""How long a search waits for exact vectors before it makes do with those of the index."""

Vector = NDArray[np.float32]
T = TypeVar("T")


class Neighbour(NamedTuple):
    post_id: int
    cosine: float


class SpaceStatus(Struct, frozen=True, kw_only=True):
    """One space in this process. `watermark` is the oldest transaction that may still bring news."""

    name: str
    space_id: int
    count: int
    dim: int
    exact: bool
    generation: int
    watermark: int
    unsaved: int
    source: str


class IndexStatus(Struct, frozen=True, kw_only=True):
    """`lag_seconds` is the time since PostgreSQL was last read to the end; None before the first time."""

    ready: bool
    lag_seconds: float | None
    last_error: str | None
    loading: list[str]
    spaces: list[SpaceStatus]


class VectorIndex:
    """Start it with `start()`, close it with `aclose()`. Until `ready`, searches find nothing and nobody fails."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings, pool_size=4)
        self._redis = open_redis(settings.redis_url)
        # OpenMP counts threads per calling thread: a search shall not spread over the cores that serve pages.
        self._threads = ThreadPoolExecutor(
            SEARCH_THREADS, "faiss", initializer=faiss.omp_set_num_threads, initargs=(1,)
        )
        self._store: SnapshotStore | None = None
        self._shelves: dict[str, Shelf] = {}
        self._building: dict[str, asyncio.Task[None]] = {}
        self._saving: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._looked = asyncio.Condition()
        self.looks = 0
        self._read_at: float | None = None
        self._error: str | None = None
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether every active space has been loaded once."""
        return self._ready

    def start(self) -> None:
        self._following = asyncio.create_task(self._follow(), name="vector-index")

    def wake(self) -> None:
        """Something changed: look now. For `Listener.on_vectors`; cheap and never fails."""
        self._wake.set()

    async def aclose(self) -> None:
        tasks = [task for task in (self._following, self._saving, *self._building.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._redis.aclose()
        await self._database.aclose()

    def status(self) -> IndexStatus:
        return IndexStatus(
            ready=self._ready,
            lag_seconds=None if self._read_at is None else time.monotonic() - self._read_at,
            last_error=self._error,
            loading=sorted(self._building),
            spaces=[_describe(name, shelf) for name, shelf in sorted(self._shelves.items())],
        )

    async def until(self, satisfied: Callable[[], bool]) -> None:
        """Waits until something holds, asking after each look at PostgreSQL."""
        async with self._looked:
            await self._looked.wait_for(satisfied)

    # Questions

    def spaces_of(self, post_id: int) -> list[str]:
        """The names of the spaces in which a post has a vector."""
        return [name for name, shelf in self._shelves.items() if post_id in shelf.index]

    async def vectors_of(self, post_id: int) -> dict[str, Vector]:
        """The vectors of a post by space, as precise as the index keeps them."""
        found = await self._in_thread(
            lambda: {name: shelf.index.vector(post_id) for name, shelf in list(self._shelves.items())}
        )
        return {name: vector for name, vector in found.items() if vector is not None}

    def similarities(self, space_name: str, cosines: NDArray[Any]) -> NDArray[Any]:
        """Cosines of a space as similarities from 0 to 1, comparable between spaces."""
        shelf = self._shelves.get(space_name)
        return similarities(shelf.space.calibration if shelf else {}, cosines)

    async def search(self, space_name: str, vector: Vector, k: int) -> list[Neighbour]:
        """The `k` nearest posts to a vector of a space, nearest first."""
        shelf = self._shelves.get(space_name)
        if shelf is None or not len(shelf.index):
            return []
        if shelf.index.is_exact:
            ids, cosines = await self._in_thread(shelf.index.search, vector, k)
            return [Neighbour(*pair) for pair in zip(ids.tolist(), cosines.tolist(), strict=True)]
        ids, _ = await self._in_thread(shelf.index.search, vector, k * OVERFETCH)
        scored = await self._exact_cosines(shelf, vector, ids.tolist())
        return sorted((Neighbour(*pair) for pair in scored.items()), key=lambda near: -near.cosine)[:k]

    async def cosines(self, space_name: str, vector: Vector, ids: Sequence[int]) -> dict[int, float]:
        """The cosines between a vector and exactly these posts, as far as they have one in the space."""
        shelf = self._shelves.get(space_name)
        if shelf is None or not ids:
            return {}
        if shelf.index.is_exact:
            return await self._in_thread(shelf.index.cosines, vector, ids)
        return await self._exact_cosines(shelf, vector, ids)

    async def _exact_cosines(self, shelf: Shelf, vector: Vector, ids: Sequence[int]) -> dict[int, float]:
        # Eight-bit values put near neighbours in the wrong order; the rows know better.
        try:
            async with asyncio.timeout(ROWS_SECONDS), self._database.read() as reader:
                rows = await changes.read_some(reader, shelf.space, ids)
        except Exception as error:
            log.warning("index.rows_out_of_reach", error=repr(error))
            return await self._in_thread(shelf.index.cosines, vector, ids)
        return dict(zip(rows.ids, np.clip(rows.vectors @ vector, -1.0, 1.0).tolist(), strict=True))

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    # Following

    async def _follow(self) -> None:
        while True:
            started = time.monotonic()
            self._wake.clear()
            try:
                await self._look()
                self._read_at, self._error = time.monotonic(), None
            except Exception as error:
                self._error = repr(error)
                log.warning("index.behind", error=repr(error))
            async with self._looked:
                self.looks += 1
                self._looked.notify_all()
            # At most half of the time goes into looking, however often somebody wakes us.
            await asyncio.sleep(min(1.0, time.monotonic() - started) if self._error is None else 1.0)
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        async with self._database.read() as reader:
            if self._store is None:
                self._store = SnapshotStore(self._redis, await changes.find_site(reader))
            spaces = {space.name: space for space in await changes.active_spaces(reader)}
            for name in self._shelves.keys() - spaces.keys():
                del self._shelves[name]
            for shelf in list(self._shelves.values()):
                await shelves.follow(reader, shelf)
                await self._check(reader, shelf)
        for space in spaces.values():
            self._build_if_needed(space)
        self._ready = self._ready or spaces.keys() <= self._shelves.keys()
        self._save_if_due()

    async def _check(self, reader: Any, shelf: Shelf) -> None:
        if time.monotonic() - shelf.checked_at > CHECK_SECONDS:
            repaired = await shelves.reconcile(reader, shelf)
            if repaired:
                log.error("index.drifted", space=shelf.space.name, repaired=repaired)

    def _build_if_needed(self, space: SpaceRow) -> None:
        shelf = self._shelves.get(space.name)
        is_same = shelf is not None and shelf.space.id == space.id and shelf.space.generation == space.generation
        if shelf is not None and is_same:
            shelf.space = space
        if (shelf is None or not is_same or shelf.outgrown) and space.name not in self._building:
            self._building[space.name] = asyncio.create_task(self._build(space), name=f"index-{space.name}")

    async def _build(self, space: SpaceRow) -> None:
        assert self._store is not None
        try:
            async with self._database.read() as reader:
                self._shelves[space.name] = await shelves.load(reader, self._store, space)
            await asyncio.to_thread(give_back_memory)
        except Exception as error:
            self._error = repr(error)
            log.warning("index.not_loaded", space=space.name, error=repr(error))
            await asyncio.sleep(POLL_SECONDS)
        finally:
            del self._building[space.name]
            self.wake()

    def _save_if_due(self) -> None:
        if self._saving is not None and not self._saving.done():
            return
        for shelf in self._shelves.values():
            age = math.inf if shelf.saved_at is None else time.monotonic() - shelf.saved_at
            many = shelf.unsaved >= max(SAVE_CHANGES, len(shelf.index) // 10)
            if age > (SAVE_SECONDS / 10 if many else SAVE_SECONDS):
                is_first = shelf.saved_at is None
                shelf.saved_at = time.monotonic()
                self._saving = asyncio.create_task(self._save(shelf, is_first), name="index-save")
                return

    async def _save(self, shelf: Shelf, is_first: bool) -> None:
        """Saves a shelf that was just built, or has news and no other process saved lately, or that Redis lost."""
        assert self._store is not None
        try:
            manifest = await self._store.find_usable_manifest(shelf.space.id)
            lately = datetime.now(UTC) - timedelta(seconds=SAVE_SECONDS / 2)
            is_stale = manifest is None or (shelf.unsaved > 0 and manifest.saved_at < lately)
            if is_first or is_stale:
                await shelves.save(self._store, shelf)
                await asyncio.to_thread(give_back_memory)
        except Exception as error:
            log.warning("index.not_saved", space=shelf.space.name, error=repr(error))


def _describe(name: str, shelf: Shelf) -> SpaceStatus:
    return SpaceStatus(
        name=name,
        space_id=shelf.space.id,
        count=len(shelf.index),
        dim=shelf.index.dim,
        exact=shelf.index.is_exact,
        generation=shelf.space.generation,
        watermark=shelf.watermark,
        unsaved=shelf.unsaved,
        source=shelf.source,
    )
