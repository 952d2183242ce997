"""Rows of vectors: every write is a change that the indexes follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.live import wake_index

FLOAT32 = np.dtype("<f4")

_UPSERT = text(
    """
    insert into embeddings as old (space_id, post_id, vector, input_hash)
    values (:space_id, :post_id, :vector, :input_hash)
    on conflict (space_id, post_id) do update set vector = excluded.vector, input_hash = excluded.input_hash,
      change = nextval('embedding_changes'), transaction = pg_current_xact_id(), created_at = now()
    where old.input_hash is distinct from excluded.input_hash or (old.vector is null) <> (excluded.vector is null)
    """
)
_BURY = text(
    """
    update embeddings set vector = null, input_hash = null,
      change = nextval('embedding_changes'), transaction = pg_current_xact_id()
    where post_id = any(:post_ids) and vector is not null
    """
)
_BURY_IN_SPACES = text(_BURY.text + " and space_id = any(:space_ids)")
_HOLD = text("select id from posts where id = any(:post_ids) order by id for update")


class Entry(NamedTuple):
    """The vector of a post in a space and the hash of what it was made from. Without a vector it is a tombstone."""

    space_id: int
    post_id: int
    vector: npt.NDArray[Any] | None
    input_hash: bytes | None


def pack(vector: npt.NDArray[Any]) -> bytes:
    """Little-endian float32 bytes."""
    return vector.astype(FLOAT32).tobytes()


def unpack(packed: bytes) -> npt.NDArray[np.float32]:
    """The inverse of `pack`; a view of the bytes."""
    return np.frombuffer(packed, FLOAT32)


async def upsert(db: AsyncSession, entries: Sequence[Entry]) -> None:
    """Writes vectors. One whose input has not changed is left as it is, so that no index hears of it."""
    if entries:
        values = [
            {**entry._asdict(), "vector": None if entry.vector is None else pack(entry.vector)} for entry in entries
        ]
        await db.execute(_UPSERT, values)


async def withdraw(db: AsyncSession, post_id: int, space_ids: Sequence[int]) -> None:
    """Turns a post's vectors in some spaces into tombstones: they no longer apply."""
    await db.execute(_BURY_IN_SPACES, {"post_ids": [post_id], "space_ids": list(space_ids)})


async def bury(db: AsyncSession, post_ids: Sequence[int]) -> None:
    """Turns every vector of posts that go away into a tombstone, in the transaction that deletes them.

    The posts are locked first: an embedder that is just storing a vector has finished then, and one that comes later
    finds the post gone.
    """
    await db.execute(_HOLD, {"post_ids": list(post_ids)})
    await db.execute(_BURY, {"post_ids": list(post_ids)})
    await wake_index(db)
