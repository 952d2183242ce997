"""A shelf: the index of one active space and how far it has followed PostgreSQL; loading, following and proving it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.embeddings import index_changes as changes
from strvsocial.embeddings.index_changes import Rows, SpaceRow
from strvsocial.embeddings.index_snapshots import BadSnapshot, RedisError, SnapshotStore, describe
from strvsocial.embeddings.index_spaces import EXACT_LIMIT, SpaceIndex, list_count

log = structlog.get_logger()

POINTS_PER_LIST = 40
"""Training vectors for each list of an inverted file: FAISS warns below 39."""
SAMPLE_QUERIES, SAMPLE_NEIGHBOURS = 64, 10
Progress = Callable[[int, int], None]
"""Called with how many vectors are loaded and how many there are."""


@dataclass
class Shelf:
    """`unsaved` counts the changes since the last snapshot that this process knows of. Times are monotonic."""

    space: SpaceRow
    index: SpaceIndex
    watermark: int
    source: Literal["snapshot", "rows"]
    unsaved: int = 0
    checked_at: float = field(default_factory=time.monotonic)
    saved_at: float | None = None

    @property
    def outgrown(self) -> bool:
        """Whether it has twice the vectors that its lists were made for, or too many for an exact search."""
        trained_for = self.index.trained_for
        return len(self.index) > (EXACT_LIMIT * 1.1 if trained_for is None else 2 * trained_for)


async def load(
    reader: AsyncConnection, store: SnapshotStore, space: SpaceRow, progress: Progress | None = None
) -> Shelf:
    """The index of a space as PostgreSQL has it now, from the snapshot where it is good, else from the rows."""
    mark = await changes.watermark(reader)
    index = await _load_snapshot(store, space)
    if index is not None:
        shelf = Shelf(space, index, mark, "snapshot", saved_at=time.monotonic())
        shelf.unsaved = await reconcile(reader, shelf)
        if not shelf.outgrown:
            return shelf
    built = await _build(reader, space, progress)
    return Shelf(space, built, mark, "rows", unsaved=len(built))


async def _load_snapshot(store: SnapshotStore, space: SpaceRow) -> SpaceIndex | None:
    try:
        found = await store.load(space.id, space.dim, space.generation)
        if found is None:
            log.info("index.no_snapshot", space=space.name)
            return None
        index = await asyncio.to_thread(SpaceIndex.unpack, found[1])
        if (index.dim, len(index)) != (space.dim, found[0].count):
            raise BadSnapshot(f"it holds {len(index)} vectors of {index.dim} values, the manifest says otherwise")
    except (BadSnapshot, ValueError) as error:
        log.warning("index.bad_snapshot", space=space.name, error=str(error))
        return None
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("index.snapshot_out_of_reach", space=space.name, error=repr(error))
        return None
    return index


async def _build(reader: AsyncConnection, space: SpaceRow, progress: Progress | None) -> SpaceIndex:
    started, total = time.monotonic(), await changes.count(reader, space)
    if total <= EXACT_LIMIT:
        index = SpaceIndex.exact(space.dim)
        async for rows in changes.read_all(reader, space):
            await asyncio.to_thread(index.put, rows.ids, rows.changes, rows.vectors)
            if progress is not None:
                progress(len(index), total)
    else:
        index = await _build_approximate(reader, space, total, progress)
    log.info("index.built", space=space.name, count=len(index), seconds=round(time.monotonic() - started, 2))
    return index


async def _build_approximate(
    reader: AsyncConnection, space: SpaceRow, total: int, progress: Progress | None
) -> SpaceIndex:
    sample = await _sample(changes.read_all(reader, space), min(1.0, POINTS_PER_LIST * list_count(total) / total))
    index = await asyncio.to_thread(SpaceIndex.approximate, sample, total)
    queries = sample[:: max(1, len(sample) // SAMPLE_QUERIES)][:SAMPLE_QUERIES].copy()
    del sample
    truth = TrueNeighbours(queries, SAMPLE_NEIGHBOURS)
    async for rows in changes.read_all(reader, space):
        await asyncio.to_thread(index.put, rows.ids, rows.changes, rows.vectors)
        await asyncio.to_thread(truth.see, rows)
        if progress is not None:
            progress(len(index), total)
    recall = await asyncio.to_thread(index.raise_probes, queries, truth.ids)
    log.info("index.trained", space=space.name, lists=list_count(total), recall=round(recall, 4))
    return index


async def _sample(chunks: AsyncIterator[Rows], fraction: float) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    return np.concatenate([rows.vectors[random.random(len(rows.ids)) < fraction] async for rows in chunks])


class TrueNeighbours:
    """The exact nearest neighbours of a few queries over vectors that are seen chunk by chunk."""

    def __init__(self, queries: NDArray[np.float32], k: int) -> None:
        self.queries = queries
        self._k = k
        self._cosines = np.full((len(queries), 0), -2.0, np.float32)
        self._ids = np.zeros((len(queries), 0), np.int64)

    def see(self, rows: Rows) -> None:
        cosines = np.hstack([self._cosines, self.queries @ rows.vectors.T])
        ids = np.hstack([self._ids, np.broadcast_to(np.asarray(rows.ids), (len(self.queries), len(rows.ids)))])
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : self._k]
        self._cosines = np.take_along_axis(cosines, best, axis=1)
        self._ids = np.take_along_axis(ids, best, axis=1)

    @property
    def ids(self) -> list[list[int]]:
        found: list[list[int]] = self._ids.tolist()
        return found

    @property
    def worst(self) -> list[float]:
        """The cosine of the last of the neighbours of each query."""
        found: list[float] = self._cosines[:, -1].tolist()
        return found


async def follow(reader: AsyncConnection, shelf: Shelf) -> int:
    """Applies what was committed since the last time; returns how many vectors came, changed or went."""
    mark = await changes.watermark(reader)
    known = shelf.index.changes
    changed = await changes.changed_since(reader, shelf.space, shelf.watermark)
    gone = [post_id for post_id, change in changed.items() if change is None and post_id in known]
    fresh = [post_id for post_id, change in changed.items() if change is not None and known.get(post_id) != change]
    await _apply(reader, shelf, fresh, gone)
    shelf.watermark = mark
    shelf.unsaved += len(gone) + len(fresh)
    return len(gone) + len(fresh)


async def reconcile(reader: AsyncConnection, shelf: Shelf) -> int:
    """Compares every id and change number with PostgreSQL and repairs what differs; returns how many did.

    It makes a snapshot of any age good, and heals what following cannot see: rows deleted without a tombstone, a
    database restored to an earlier moment.
    """
    repaired = 0
    here = np.sort(np.fromiter(shelf.index.changes.keys(), np.int64, len(shelf.index)))
    async for after, last, numbers in changes.read_numbers(reader, shelf.space):
        known = shelf.index.changes
        mine = here[np.searchsorted(here, after, "right") : np.searchsorted(here, last, "right")].tolist()
        gone = [post_id for post_id in mine if post_id not in numbers]
        fresh = [post_id for post_id, change in numbers.items() if known.get(post_id) != change]
        await _apply(reader, shelf, fresh, gone)
        repaired += len(gone) + len(fresh)
    shelf.checked_at = time.monotonic()
    return repaired


async def _apply(reader: AsyncConnection, shelf: Shelf, fresh: list[int], gone: list[int]) -> None:
    if gone:
        await asyncio.to_thread(shelf.index.remove, gone)
    step = shelf.space.chunk
    for start in range(0, len(fresh), step):
        rows = await changes.read_some(reader, shelf.space, fresh[start : start + step])
        if rows.ids:
            await asyncio.to_thread(shelf.index.put, rows.ids, rows.changes, rows.vectors)


async def save(store: SnapshotStore, shelf: Shelf) -> bool:
    """Saves the shelf unless another process is at it or has saved a newer one. Raises RedisError."""
    token = await store.lock(shelf.space.id)
    if token is None:
        return False
    try:
        mark, unsaved = shelf.watermark, shelf.unsaved
        packed = await asyncio.to_thread(shelf.index.pack)
        manifest = await asyncio.to_thread(
            describe,
            packed,
            space_id=shelf.space.id,
            generation=shelf.space.generation,
            watermark=mark,
            dim=shelf.index.dim,
        )
        await store.save(manifest, packed)
        shelf.unsaved -= unsaved
    finally:
        await store.unlock(shelf.space.id, token)
    log.info("index.saved", space=shelf.space.name, count=manifest.count, byte_size=manifest.byte_size)
    return True
