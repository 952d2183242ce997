"""A map of what the site understands: the vectors of recent public posts of one space, seen from their two widest sides.

The projection is a principal component analysis (Pearson 1901; Jolliffe, Principal Component Analysis, 2002, chapter 2): near on
the map is mostly near in the space, far is far.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Post
from strvsocial.content.visibility import visible_to
from strvsocial.embeddings.models import Embedding
from strvsocial.embeddings.spaces import Space, active_spaces
from strvsocial.errors import NotFound

MOST, LEAST, KEPT_SECONDS = 1000, 3, 300
MARGIN = 4.0
"""Percent of the map that stay free at each edge."""


class Spot(Struct, frozen=True):
    """A post on the map; `across` and `down` are percent."""

    across: float
    down: float
    kind: str
    title: str
    url: str


class Map(Struct, frozen=True):
    """`share` is how much of all differences the two directions tell, from 0 to 1."""

    space: str
    spots: list[Spot]
    share: float


class Layout(Struct, frozen=True):
    """Where posts lie, by id, and how much of all differences that tells."""

    places: dict[int, tuple[float, float]]
    share: float


_layouts: dict[int, tuple[float, Layout]] = {}
"""By space, for some minutes. Places only: whether a post may be seen is asked every time."""


async def draw_map(reader: AsyncConnection, name: str = "") -> tuple[Map | None, list[Space]]:
    """The map of a space, of the first one by default, and the spaces that there are. Raises NotFound for an unknown one."""
    spaces = await active_spaces(reader)
    space = next((one for one in spaces if one.name == name or not name), None)
    if space is None:
        if name:
            raise NotFound("There is no such space.")
        return None, spaces
    layout = await _find_layout(reader, space)
    shown = select(Post.id, Post.public_id, Post.title, Post.media_type).where(Post.id.in_(layout.places), *_PUBLIC)
    spots = [
        Spot(*layout.places[row.id], row.media_type, row.title, f"/p/{row.public_id}")
        for row in await reader.execute(shown.order_by(Post.id.desc()))
    ]
    return Map(space.name, spots, layout.share), spaces


_PUBLIC = (visible_to(None), Post.status == "ready")


async def _find_layout(reader: AsyncConnection, space: Space) -> Layout:
    known = _layouts.get(space.id)
    if known is not None and time.monotonic() - known[0] < KEPT_SECONDS:
        return known[1]
    latest = (
        select(Post.id, Embedding.vector)
        .join(Embedding, Embedding.post_id == Post.id)
        .where(Embedding.space_id == space.id, Embedding.vector.is_not(None), *_PUBLIC)
        .order_by(Post.id.desc())
        .limit(MOST)
    )
    rows = [(row.id, row.vector or b"") for row in await reader.execute(latest)]
    layout = await asyncio.to_thread(_lay_out, space.dim, rows)
    _layouts[space.id] = (time.monotonic(), layout)
    return layout


def _lay_out(dim: int, rows: Sequence[tuple[int, bytes]]) -> Layout:
    rows = [row for row in rows if len(row[1]) == 4 * dim]
    if len(rows) < LEAST:
        return Layout({}, 0.0)
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(len(rows), dim)
    places, share = project(vectors)
    spots = zip(rows, places, strict=True)
    return Layout({row[0]: (round(float(across), 2), round(float(down), 2)) for row, (across, down) in spots}, share)


def project(vectors: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[np.ndarray[Any, Any], float]:
    """Vectors (n x dim) to percent of width and height (n x 2), and the share of the variance that is told.

    The directions point to where their largest part is positive, so that the map does not flip from one day to the next.
    """
    centred = vectors - vectors.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:2] * np.sign(directions[np.arange(2), np.abs(directions[:2]).argmax(axis=1)])[:, None]
    flat = centred @ directions.T
    reach = np.maximum(np.quantile(np.abs(flat), 0.99, axis=0), 1e-9)
    places = 50 + (50 - MARGIN) * np.clip(flat / reach, -1, 1)
    told = float((lengths[:2] ** 2).sum() / max(float((lengths**2).sum()), 1e-12))
    return places, told
