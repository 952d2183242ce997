"""Proof that an index holds what PostgreSQL holds."""

from __future__ import annotations

import asyncio

import numpy as np
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.embeddings import index_changes as changes
from strvsocial.embeddings import index_shelves as shelves
from strvsocial.embeddings.index_changes import Rows
from strvsocial.embeddings.index_shelves import SAMPLE_NEIGHBOURS, Shelf, TrueNeighbours
from strvsocial.embeddings.index_spaces import OVERFETCH, SpaceIndex

EXACT_TOLERANCE, LOSSY_COSINE = 5e-4, 0.99
"""Half-precision floats keep values of at most 1 to within 2^-11; eight-bit values keep the direction."""
RECALL_FLOOR = 0.95


class Verdict(Struct, frozen=True):
    """`missing` are in PostgreSQL only, `extra` in the index only, `different` have another vector or change number."""

    rows: int
    count: int
    missing: int
    extra: int
    different: int
    recall: float

    @property
    def ok(self) -> bool:
        return not (self.missing or self.extra or self.different) and self.recall >= RECALL_FLOOR


async def check(reader: AsyncConnection, shelf: Shelf, samples: int = 100) -> Verdict:
    """Compares every id, change number and vector with the rows, and searches with exact search on a sample.

    What was committed meanwhile is followed first, and rows that changed during the comparison are looked at again.
    """
    await shelves.follow(reader, shelf)
    seen: set[int] = set()
    suspects: set[int] = set()
    truth: TrueNeighbours | None = None
    async for rows in changes.read_all(reader, shelf.space):
        truth = truth or TrueNeighbours(await _queries(reader, shelf, samples, rows), SAMPLE_NEIGHBOURS)
        seen.update(rows.ids)
        suspects.update(await asyncio.to_thread(_differing, shelf.index, rows))
        await asyncio.to_thread(truth.see, rows)
    suspects |= shelf.index.changes.keys() - seen
    await shelves.follow(reader, shelf)
    again = await changes.read_some(reader, shelf.space, sorted(suspects))
    differing = set(_differing(shelf.index, again))
    missing = {post_id for post_id in differing if post_id not in shelf.index}
    extra = {post_id for post_id in suspects if post_id in shelf.index} - set(again.ids)
    recall = await asyncio.to_thread(_recall, shelf.index, truth) if truth is not None else 1.0
    count = len(shelf.index)
    return Verdict(len(seen), count, len(missing), len(extra), len(differing - missing), round(recall, 4))


async def _queries(reader: AsyncConnection, shelf: Shelf, samples: int, rows: Rows) -> np.ndarray:
    ids = list(shelf.index.changes)
    chosen = np.random.default_rng().choice(ids, min(samples, len(ids)), replace=False).tolist() if ids else []
    found = await changes.read_some(reader, shelf.space, chosen)
    return found.vectors if found.ids else rows.vectors[:samples]


def _differing(index: SpaceIndex, rows: Rows) -> list[int]:
    found = []
    for post_id, change, vector in zip(rows.ids, rows.changes, rows.vectors, strict=True):
        stored = index.vector(post_id)
        if (
            stored is None
            or index.changes.get(post_id) != change
            or (index.is_exact and not np.allclose(stored, vector, rtol=1e-3, atol=EXACT_TOLERANCE))
            or (not index.is_exact and float(stored @ vector) < LOSSY_COSINE * float(vector @ vector))
        ):
            found.append(post_id)
    return found


def _recall(index: SpaceIndex, truth: TrueNeighbours) -> float:
    """The share of the true neighbours that the index finds. Of many equal vectors any will do."""
    hits = wanted = 0
    for query, true, worst in zip(truth.queries, truth.ids, truth.worst, strict=True):
        ids, cosines = index.search(query, len(true) * (1 if index.is_exact else OVERFETCH))
        if index.is_exact:
            hits += int(np.count_nonzero(cosines >= worst - EXACT_TOLERANCE))
        else:
            hits += len(set(true) & set(ids.tolist()))
        wanted += len(true)
    return hits / wanted if wanted else 1.0
