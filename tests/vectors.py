"""Spaces and vectors as rows, written the way the embedder writes them; no model is needed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.db import Database
from strvsocial.embeddings.index import VectorIndex
from strvsocial.embeddings.index_changes import SpaceRow, find_site
from strvsocial.embeddings.index_snapshots import SnapshotStore, open_redis
from strvsocial.live import Listener, wake_index
from strvsocial.settings import Settings

DIM = 32
Vectors = NDArray[np.float32]
OpenIndex = Callable[[], Awaitable[VectorIndex]]


def make_vectors(count: int, seed: int = 0, dim: int = DIM) -> Vectors:
    """Unit vectors around a few centres."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(16, dim))
    vectors = centres[random.integers(0, 16, count)] + 0.7 * random.normal(size=(count, dim))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


async def add_space(database: Database, name: str = "text", state: str = "active", dim: int = DIM) -> SpaceRow:
    statement = text(
        "insert into embedding_spaces (name, profile, model, revision, dim, state)"
        " values (:name, 'test', :model, '1', :dim, :state) returning id"
    )
    async with database.transaction() as db:
        values = {"name": name, "model": secrets.token_hex(4), "dim": dim, "state": state}
        space_id = (await db.execute(statement, values)).scalar_one()
    return SpaceRow(space_id, name, dim, 0)


async def write(db: AsyncSession, space: SpaceRow, ids: Sequence[int], vectors: Vectors) -> None:
    """Upserts vectors in the caller's transaction and wakes the index at its commit."""
    statement = text(
        "insert into embeddings (space_id, post_id, vector) values (:space, :post, :vector)"
        " on conflict (space_id, post_id) do update set vector = excluded.vector,"
        " change = nextval('embedding_changes'), transaction = pg_current_xact_id()"
    )
    rows = [
        {"space": space.id, "post": post, "vector": vector.tobytes()} for post, vector in zip(ids, vectors, strict=True)
    ]
    await db.execute(statement, rows)
    await wake_index(db)


async def put(database: Database, space: SpaceRow, ids: Sequence[int], vectors: Vectors) -> None:
    async with database.transaction() as db:
        await write(db, space, ids, vectors)


async def bury(database: Database, ids: Sequence[int]) -> None:
    """Turns the vectors of posts into tombstones."""
    statement = text(
        "update embeddings set vector = null, change = nextval('embedding_changes'),"
        " transaction = pg_current_xact_id() where post_id = any(:ids)"
    )
    async with database.transaction() as db:
        await db.execute(statement, {"ids": list(ids)})
        await wake_index(db)


@pytest_asyncio.fixture
async def store(database: Database, settings: Settings, clean: None) -> AsyncIterator[SnapshotStore]:
    """This site's snapshots, none at first."""
    redis = open_redis(settings.redis_url)
    async with database.read() as reader:
        site = await find_site(reader)
    stale = [key async for key in redis.scan_iter(f"strv:index:{site}:*")]
    if stale:
        await redis.delete(*stale)
    yield SnapshotStore(redis, site)
    await redis.aclose()


@pytest_asyncio.fixture
async def open_index(settings: Settings, store: SnapshotStore) -> AsyncIterator[OpenIndex]:
    """Starts an index that listens as a web process does; closed at the end."""
    opened: list[VectorIndex | Listener] = []

    async def start() -> VectorIndex:
        index = VectorIndex(settings)
        listener = Listener(settings.direct_url, on_vectors=index.wake)
        index.start()
        listener.start()
        opened.extend((listener, index))
        await index.until(lambda: index.ready)
        return index

    yield start
    for service in opened:
        await service.aclose()


@pytest.fixture
def vectors() -> Vectors:
    return make_vectors(300)
