"""What PostgreSQL says about vectors: the active spaces, the rows that changed, all rows in chunks.

Sequence numbers become visible out of order, so they cannot tell what is new. Each row therefore carries its writing
transaction, and a reader keeps a watermark: the oldest transaction that was still running when it last looked. Whatever
commits later has a transaction number at or above it, so `transaction >= watermark` misses nothing; rows that come up
twice are recognised by their change number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import structlog
from msgspec import Struct
from numpy.typing import NDArray
from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.live import wake_index

log = structlog.get_logger()

CHUNK = 4096
"""Ids read at a time."""
CHUNK_BYTES = 2_000_000
"""Vectors read at a time: 1,300 of 384 values. Larger chunks are no faster and leave holes in the heap."""


class SpaceRow(Struct, frozen=True):
    """An active space. `generation` rises when an operator asks for the index to be loaded anew."""

    id: int
    name: str
    dim: int
    generation: int
    calibration: dict[str, Any] = {}

    @property
    def chunk(self) -> int:
        """How many vectors are read at a time."""
        return max(64, CHUNK_BYTES // (4 * self.dim))


class Rows(Struct, frozen=True):
    """Vectors of posts: `ids` and `changes` of length n, `vectors` n x dim."""

    ids: list[int]
    changes: list[int]
    vectors: NDArray[np.float32]


GENERATIONS = "index.generations"
_SPACES = text(
    """
    select s.id, s.name, s.dim, coalesce((f.value ->> s.id::text)::bigint, 0) as generation, s.calibration
    from embedding_spaces s left join site_facts f on f.name = :fact
    where s.state = 'active' order by s.id
    """
).columns(calibration=JSONB)
_WATERMARK = text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_CHANGED = text(
    """
    select post_id, change, vector is null as gone from embeddings
    where space_id = :space and transaction >= cast(cast(:watermark as text) as xid8)
    """
)
_SOME = text("select post_id, change, vector from embeddings where space_id = :space and post_id = any(:ids)")
_ALL = text(
    """
    select post_id, change, vector from embeddings
    where space_id = :space and post_id > :after and vector is not null order by post_id limit :limit
    """
)
_NUMBERS = text(
    """
    select post_id, change from embeddings
    where space_id = :space and post_id > :after and vector is not null order by post_id limit :limit
    """
)
_COUNT = text("select count(*) from embeddings where space_id = :space and vector is not null")
_SITE = text(
    """
    select concat_ws('-', (select system_identifier from pg_control_system()), oid) from pg_database
    where datname = current_database()
    """
)
_SITE_WITHOUT_RIGHTS = text(
    "select concat_ws('-', current_database(), oid) from pg_database where datname = current_database()"
)
_RAISE_GENERATION = text(
    """
    insert into site_facts (name, value) values (:fact, jsonb_build_object(cast(:space as text), 1))
    on conflict (name) do update set value = site_facts.value
      || jsonb_build_object(cast(:space as text), coalesce((site_facts.value ->> cast(:space as text))::bigint, 0) + 1)
    """
)


async def find_site(reader: AsyncConnection) -> str:
    """A name for this very database, so that two sites may share one Redis."""
    may_ask = await reader.scalar(text("select has_function_privilege('pg_control_system()', 'execute')"))
    return str(await reader.scalar(_SITE if may_ask else _SITE_WITHOUT_RIGHTS))


async def active_spaces(reader: AsyncConnection) -> list[SpaceRow]:
    rows = await reader.execute(_SPACES, {"fact": GENERATIONS})
    return [SpaceRow(row.id, row.name, row.dim, row.generation, row.calibration) for row in rows]


async def ask_for_reload(db: AsyncSession, space_id: int) -> None:
    """Makes every process that answers similarity queries load the space anew, once the transaction commits."""
    await db.execute(_RAISE_GENERATION, {"fact": GENERATIONS, "space": str(space_id)})
    await wake_index(db)


async def watermark(reader: AsyncConnection) -> int:
    """Every transaction below it has ended. Take it before reading the rows that it shall cover."""
    return int(await reader.scalar(_WATERMARK) or 0)


async def changed_since(reader: AsyncConnection, space: SpaceRow, mark: int) -> dict[int, int | None]:
    """Change numbers by post of everything written in transactions from `mark` on; None where a tombstone stands."""
    rows = await reader.execute(_CHANGED, {"space": space.id, "watermark": str(mark)})
    return {row.post_id: None if row.gone else row.change for row in rows}


async def count(reader: AsyncConnection, space: SpaceRow) -> int:
    return int(await reader.scalar(_COUNT, {"space": space.id}) or 0)


async def read_some(reader: AsyncConnection, space: SpaceRow, ids: Sequence[int]) -> Rows:
    """The vectors of some posts; a tombstone is left out."""
    return _decode(space, (await reader.execute(_SOME, {"space": space.id, "ids": list(ids)})).all())


async def read_all(reader: AsyncConnection, space: SpaceRow) -> AsyncIterator[Rows]:
    """All vectors of a space, in chunks by post id."""
    after = 0
    while rows := (await reader.execute(_ALL, {"space": space.id, "after": after, "limit": space.chunk})).all():
        yield _decode(space, rows)
        after = rows[-1].post_id


async def read_numbers(reader: AsyncConnection, space: SpaceRow) -> AsyncIterator[tuple[int, int, dict[int, int]]]:
    """Change numbers by post id for (first, last] ranges of ids, in order; the last range has no upper end."""
    after, limit = 0, 2 * CHUNK
    while True:
        rows = (await reader.execute(_NUMBERS, {"space": space.id, "after": after, "limit": limit})).all()
        last = rows[-1].post_id if len(rows) == limit else (1 << 63) - 1
        yield after, last, {row.post_id: row.change for row in rows}
        if len(rows) < limit:
            return
        after = last


def _decode(space: SpaceRow, rows: Sequence[Row[Any]]) -> Rows:
    ids: list[int] = []
    changes: list[int] = []
    vectors = np.empty((len(rows), space.dim), np.float32)
    for row in rows:
        post_id, change, stored = row.post_id, row.change, row.vector
        if stored is None:
            continue
        vector = np.frombuffer(stored, "<f4")
        if vector.shape != (space.dim,) or not np.isfinite(vector).all():
            log.error("index.bad_vector", space=space.name, post_id=post_id, length=len(vector), wanted=space.dim)
            continue
        vectors[len(ids)] = vector
        ids.append(post_id)
        changes.append(change)
    return Rows(ids, changes, vectors[: len(ids)])
