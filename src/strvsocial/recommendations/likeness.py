"""How alike two posts are: one score from 0 to 1 over all spaces in which the first has a vector.

In each space the cosine becomes a similarity that means the same everywhere (`embeddings.calibration`); two hundredths of
it are the cosine itself, so that the unrelated keep an order, too. Over the spaces

    score = 3/4 · the best space + 1/4 · the mean over the first post's spaces (0 where the second has no vector)

A strong likeness in one space suffices; agreement of the others decides between equals. The score depends on the two
posts alone, never on ranks, so a page of a list stays where it was while new posts arrive. And it rises with every
cosine, so the k-th cosines of each space bound what no search has found yet (Fagin's threshold, PODS 2001).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strvsocial.embeddings.index import Neighbour, Vector, VectorIndex

BEST, MEAN = 0.75, 0.25
CONTRIBUTES = 0.4
"""A space contributed if it comes to this part of the best one."""


class Likeness(NamedTuple):
    """`by_space` holds the similarity in each space that both posts share."""

    score: float
    by_space: dict[str, float]

    @property
    def spaces(self) -> list[str]:
        """The spaces that contributed, the strongest first."""
        best = max(self.by_space.values(), default=0.0)
        strong = (name for name, part in self.by_space.items() if part >= CONTRIBUTES * best)
        return sorted(strong, key=lambda name: -self.by_space[name])

    @property
    def shares(self) -> dict[str, float]:
        """Each space's part of the score; they sum to 1."""
        total = sum(self.by_space.values()) or 1.0
        return {name: round(part / total, 4) for name, part in sorted(self.by_space.items(), key=lambda item: -item[1])}


def fuse(parts: Mapping[str, float], space_count: int) -> float:
    """The score of similarities by space, for a first post that has vectors in `space_count` spaces."""
    if not parts:
        return 0.0
    return min(1.0, BEST * max(parts.values()) + MEAN * sum(parts.values()) / space_count)


def calibrate(index: VectorIndex, space: str, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines as similarities from 0 to 1 that never stop rising."""
    calibrated: NDArray[np.float64] = 0.98 * index.similarities(space, cosines) + 0.02 * (1 + cosines) / 2
    return calibrated


async def search(index: VectorIndex, vectors: Mapping[str, Vector], k: int) -> tuple[dict[str, list[Neighbour]], float]:
    """The `k` nearest posts in each space, and the score that no post outside of these can exceed; 0 if there is none."""
    found = await asyncio.gather(*(index.search(name, vector, k) for name, vector in vectors.items()))
    near = dict(zip(vectors, found, strict=True))
    last = {
        name: float(calibrate(index, name, np.array([hits[-1].cosine]))[0])
        for name, hits in near.items()
        if len(hits) >= k
    }
    return near, fuse(last, len(vectors))


async def compare(index: VectorIndex, vectors: Mapping[str, Vector], ids: Sequence[int]) -> dict[int, Likeness]:
    """The likeness of a post, given by its `vectors`, to each of `ids` that shares a space with it."""
    found = await asyncio.gather(*(index.cosines(name, vector, ids) for name, vector in vectors.items()))
    parts: dict[int, dict[str, float]] = {}
    for name, cosines in zip(vectors, found, strict=True):
        similar = calibrate(index, name, np.fromiter(cosines.values(), float, len(cosines))).tolist()
        for post_id, similarity in zip(cosines, similar, strict=True):
            parts.setdefault(post_id, {})[name] = similarity
    return {post_id: Likeness(fuse(by_space, len(vectors)), by_space) for post_id, by_space in parts.items()}
