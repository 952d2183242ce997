"""The vectors of one space in FAISS. Blocking: `strvsocial.embeddings.index` calls it in threads, where FAISS frees the GIL.

Up to `EXACT_LIMIT` vectors the search is exact, over half-precision floats (384 values: 0.8 kB a vector, cosines right to
three digits). Beyond, an inverted file over 8-bit values: 4·√N lists, and as many of them probed as it takes to find 99 of
100 true neighbours. Both remove by id. FAISS keeps duplicates of an id, hence delete before add.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from strvsocial.embeddings.index_locks import ReadWriteLock

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

EXACT_LIMIT = 200_000
RECALL_GOAL = 0.99
OVERFETCH = 4
"""An inverted file is asked for this many times k, and the exact cosines of those choose the best k."""


def list_count(count: int) -> int:
    """How many lists an inverted file over `count` vectors has."""
    return max(1, round(4 * math.sqrt(count)))


class SpaceIndex:
    """Ids of posts, their vectors of length `dim`, and the change number that each vector came with."""

    def __init__(self, index: Any, changes: dict[int, int], trained_for: int | None = None) -> None:
        self._index = index
        self._lock = ReadWriteLock()
        self.changes = changes
        self.trained_for = trained_for

    @classmethod
    def exact(cls, dim: int) -> Self:
        flat = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        return cls(faiss.IndexIDMap2(flat), {})

    @classmethod
    def approximate(cls, sample: Floats, count: int) -> Self:
        """An empty inverted file for about `count` vectors, its lists found by k-means over `sample` (n x dim)."""
        dim = sample.shape[1]
        coarse: Any = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFScalarQuantizer(
            coarse, dim, list_count(count), faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.own_fields = True
        coarse.this.disown()
        index.cp.min_points_per_centroid = 1
        index.train(sample)
        index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
        index.nprobe = min(16, index.nlist)
        return cls(index, {}, trained_for=count)

    @property
    def dim(self) -> int:
        return int(self._index.d)

    @property
    def is_exact(self) -> bool:
        return self.trained_for is None

    def __len__(self) -> int:
        return len(self.changes)

    def __contains__(self, post_id: int) -> bool:
        return post_id in self.changes

    def put(self, ids: Sequence[int], changes: Sequence[int], vectors: Floats) -> None:
        """Adds vectors (n x dim), in place of those that the ids had."""
        with self._lock.writing():
            self._remove([post_id for post_id in ids if post_id in self.changes])
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(ids, np.int64))
            self.changes.update(zip(ids, changes, strict=True))

    def remove(self, ids: Collection[int]) -> None:
        """Forgets the ids; those that are not here are no error."""
        with self._lock.writing():
            self._remove([post_id for post_id in ids if post_id in self.changes])

    def _remove(self, ids: list[int]) -> None:
        if ids:
            # Flat storage moves everything behind a removed vector, so one call removes the whole batch.
            self._index.remove_ids(np.asarray(ids, np.int64))
            for post_id in ids:
                self.changes.pop(post_id, None)

    def search(self, vector: Floats, k: int) -> tuple[Ids, Floats]:
        """The `k` nearest ids and their cosines, nearest first; fewer when there are no more."""
        with self._lock.reading():
            cosines, ids = self._index.search(vector.reshape(1, -1), min(k, max(1, self._index.ntotal)))
        found = ids[0] >= 0
        return ids[0][found], np.clip(cosines[0][found], -1.0, 1.0)

    def vector(self, post_id: int) -> Floats | None:
        """The vector of a post as it is stored here, or None."""
        with self._lock.reading():
            if post_id not in self.changes:
                return None
            found: Floats = self._index.reconstruct(post_id)
        return found

    def cosines(self, vector: Floats, ids: Sequence[int]) -> dict[int, float]:
        """The cosines of exactly these posts, as far as they are here. No search: a scan of the few."""
        with self._lock.reading():
            here = [post_id for post_id in ids if post_id in self.changes]
            if not here:
                return {}
            stored = self._index.reconstruct_batch(np.asarray(here, np.int64))
        return dict(zip(here, np.clip(stored @ vector, -1.0, 1.0).tolist(), strict=True))

    def raise_probes(self, queries: Floats, neighbours: Sequence[Collection[int]]) -> float:
        """Probes more lists until the true `neighbours` of the sample `queries` are found; returns the recall."""
        k = max(len(true) for true in neighbours)
        wanted = sum(len(true) for true in neighbours)
        while True:
            with self._lock.reading():
                _, found = self._index.search(queries, k * OVERFETCH)
            hits = sum(len(set(true) & set(row.tolist())) for true, row in zip(neighbours, found, strict=True))
            if hits >= RECALL_GOAL * wanted or self._index.nprobe >= self._index.nlist:
                return hits / wanted
            self._index.nprobe = min(self._index.nlist, self._index.nprobe * 2)

    def pack(self) -> bytearray:
        """Everything as bytes: three counts, ids, change numbers, FAISS's own format."""
        packed = bytearray()
        with self._lock.reading():
            ids = np.fromiter(self.changes.keys(), np.int64, len(self.changes))
            changes = np.fromiter(self.changes.values(), np.int64, len(self.changes))
            head = np.array([len(ids), self.trained_for or 0, getattr(self._index, "nprobe", 0)], np.int64)
            for part in (head, ids, changes):
                packed += part.tobytes()
            # Written piece by piece: `serialize_index` would hold everything three times.
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(packed.extend))  # type: ignore[attr-defined]
        return packed

    @classmethod
    def unpack(cls, packed: bytes | bytearray) -> Self:
        """Raises ValueError when the bytes are not what `pack` made."""
        try:
            count, trained_for, probes = np.frombuffer(packed, np.int64, 3).tolist()
            numbers = np.frombuffer(packed, np.int64, 2 * count, offset=24)
            reader = faiss.PyCallbackIOReader(_reader(memoryview(packed)[24 + 16 * count :]))  # type: ignore[attr-defined]
            index: Any = faiss.read_index(reader)
        except (RuntimeError, ValueError, OverflowError) as error:
            raise ValueError(f"not a packed index: {error}") from error
        if index.ntotal != count:
            raise ValueError(f"{index.ntotal} vectors for {count} ids")
        if trained_for:
            index.nprobe = probes
        changes = dict(zip(numbers[:count].tolist(), numbers[count:].tolist(), strict=True))
        return cls(index, changes, trained_for or None)


def _reader(view: memoryview) -> Callable[[int], bytes]:
    """`read(size)` over a view, without a copy of the whole."""
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        at += size
        return bytes(view[at - size : at])

    return read
