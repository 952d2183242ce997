"""The index follows what is committed: within a second, in any order of commits, deletions and switches included."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from sqlalchemy import text
from tests.vectors import DIM, OpenIndex, Vectors, add_space, bury, make_vectors, put, write

from strvsocial.db import Database
from strvsocial.embeddings.index import VectorIndex
from strvsocial.embeddings.index_changes import ask_for_reload
from strvsocial.settings import Settings


def count(index: VectorIndex, name: str = "text") -> int:
    return next((space.count for space in index.status().spaces if space.name == name), -1)


async def test_a_committed_vector_is_found_within_a_second(
    database: Database, open_index: OpenIndex, vectors: Vectors
) -> None:
    space = await add_space(database)
    index = await open_index()
    await put(database, space, range(1, 201), vectors[:200])
    await index.until(lambda: count(index) == 200)
    await put(database, space, [900], vectors[250:251])
    committed = time.monotonic()
    await asyncio.wait_for(index.until(lambda: count(index) == 201), 5)
    assert time.monotonic() - committed < 1
    found = await index.search("text", vectors[250], 10)
    assert found[0].post_id == 900
    assert found[0].cosine > 0.999
    truth = np.argsort(-(vectors[:200] @ vectors[250]))[:9] + 1
    assert [near.post_id for near in found[1:]] == truth.tolist()
    assert [near.cosine for near in found] == sorted((near.cosine for near in found), reverse=True)


async def test_a_transaction_that_commits_late_is_not_missed(
    database: Database, open_index: OpenIndex, vectors: Vectors
) -> None:
    space = await add_space(database)
    index = await open_index()
    async with database.transaction() as slow:
        await write(slow, space, [1], vectors[:1])
        await put(database, space, [2, 3], vectors[1:3])
        await index.until(lambda: count(index) == 2)
        await put(database, space, [4], vectors[3:4])
        await index.until(lambda: count(index) == 3)
        assert index.spaces_of(1) == []
    await asyncio.wait_for(index.until(lambda: count(index) == 4), 5)
    assert (await index.search("text", vectors[0], 1))[0].post_id == 1


async def test_a_changed_vector_replaces_the_old_one_and_a_tombstone_removes(
    database: Database, open_index: OpenIndex, vectors: Vectors
) -> None:
    space = await add_space(database)
    await put(database, space, range(1, 11), vectors[:10])
    index = await open_index()
    assert count(index) == 10
    await put(database, space, [3], vectors[100:101])
    await bury(database, [5, 6])
    await asyncio.wait_for(index.until(lambda: count(index) == 8), 5)
    near = await index.search("text", vectors[100], 20)
    assert near[0].post_id == 3
    assert sorted(found.post_id for found in near) == [1, 2, 3, 4, 7, 8, 9, 10]
    assert index.spaces_of(5) == []
    assert await index.cosines("text", vectors[4], [4, 5]) == {
        4: pytest.approx(float(vectors[4] @ vectors[3]), abs=2e-3)
    }
    await put(database, space, [5], vectors[4:5])
    await asyncio.wait_for(index.until(lambda: index.spaces_of(5) == ["text"]), 5)


async def test_a_switch_of_space_is_followed(database: Database, open_index: OpenIndex, vectors: Vectors) -> None:
    old = await add_space(database)
    look = await add_space(database, "look")
    await put(database, old, range(1, 51), vectors[:50])
    await put(database, look, [1], vectors[:1])
    index = await open_index()
    new = await add_space(database, state="building", dim=DIM * 2)
    wide = make_vectors(60, seed=5, dim=DIM * 2)
    await put(database, new, range(1, 61), wide)
    async with database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired' where id = :id"), {"id": old.id})
        await db.execute(text("update embedding_spaces set state = 'active' where id = :id"), {"id": new.id})
    index.wake()
    await asyncio.wait_for(index.until(lambda: count(index) == 60), 5)
    assert (await index.search("text", wide[7], 1))[0].post_id == 8
    assert set(await index.vectors_of(1)) == {"text", "look"}


async def test_a_retired_space_without_successor_is_gone(
    database: Database, open_index: OpenIndex, vectors: Vectors
) -> None:
    space = await add_space(database)
    await put(database, space, [1], vectors[:1])
    index = await open_index()
    async with database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired'"))
    index.wake()
    await asyncio.wait_for(index.until(lambda: count(index) == -1), 5)
    assert await index.search("text", vectors[0], 5) == []


async def test_before_the_first_load_searches_find_nothing_and_do_not_fail(
    settings: Settings, database: Database, store: object, vectors: Vectors
) -> None:
    space = await add_space(database)
    await put(database, space, [1], vectors[:1])
    index = VectorIndex(settings)
    assert not index.ready
    assert await index.search("text", vectors[0], 5) == []
    assert await index.vectors_of(1) == {}
    assert index.status().lag_seconds is None
    await index.aclose()


async def test_a_reload_builds_beside_and_swaps(database: Database, open_index: OpenIndex, vectors: Vectors) -> None:
    space = await add_space(database)
    await put(database, space, range(1, 11), vectors[:10])
    index = await open_index()
    async with database.transaction() as db:
        await ask_for_reload(db, space.id)
    await asyncio.wait_for(index.until(lambda: index.status().spaces[0].generation == 1), 5)
    assert count(index) == 10


async def test_a_vector_of_another_length_is_left_out(
    database: Database, open_index: OpenIndex, vectors: Vectors
) -> None:
    space = await add_space(database)
    index = await open_index()
    broken = vectors[1:2].copy()
    broken[0, 0] = np.nan
    await put(database, space, [1], vectors[:1, :5])
    await put(database, space, [2], broken)
    await put(database, space, [3], vectors[2:3])
    await asyncio.wait_for(index.until(lambda: index.spaces_of(3) == ["text"]), 5)
    assert count(index) == 1
    assert index.status().last_error is None
