"""`strvsocial index`: status, verify that finds what was planted, rebuild."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import numpy as np
import pytest
from sqlalchemy import text
from tests.vectors import OpenIndex, Vectors, add_space, put

from strvsocial.db import Database
from strvsocial.embeddings import index_shelves
from strvsocial.embeddings.index_changes import SpaceRow
from strvsocial.embeddings.index_snapshots import SnapshotStore


async def run(*arguments: str) -> tuple[int, list[dict[str, object]]]:
    """The console script in a process of its own, as an operator runs it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "strvsocial", "index", *arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    output, _ = await process.communicate()
    spaces: list[dict[str, object]] = json.loads(output)["spaces"]
    return process.returncode or 0, spaces


async def save(database: Database, store: SnapshotStore, space: SpaceRow) -> None:
    async with database.read() as reader:
        assert await index_shelves.save(store, await index_shelves.load(reader, store, space))


async def test_verify_passes_on_an_honest_snapshot_with_a_tail(
    database: Database, store: SnapshotStore, vectors: Vectors
) -> None:
    space = await add_space(database)
    await put(database, space, range(1, 201), vectors[:200])
    await save(database, store, space)
    await put(database, space, range(201, 301), vectors[200:])
    status, [found] = await run("verify")
    assert status == 0, found
    assert (found["source"], found["tail"], found["rows"], found["count"]) == ("snapshot", 100, 300, 300)
    assert (found["missing"], found["extra"], found["different"], found["recall"], found["ok"]) == (0, 0, 0, 1, True)


async def test_equal_vectors_are_no_loss(database: Database, store: SnapshotStore, vectors: Vectors) -> None:
    """One picture posted a hundred times: which ten of them are found is nobody's concern."""
    space = await add_space(database)
    await put(database, space, range(1, 101), np.repeat(vectors[:1], 100, axis=0))
    await put(database, space, range(101, 201), vectors[100:200])
    status, [found] = await run("verify")
    assert (status, found["recall"]) == (0, 1.0)


async def test_verify_finds_planted_drift(database: Database, store: SnapshotStore, vectors: Vectors) -> None:
    space = await add_space(database)
    await put(database, space, range(1, 301), vectors)
    await save(database, store, space)
    changed = text("update embeddings set vector = :vector where post_id = :id")
    async with database.transaction() as db:
        await db.execute(changed, {"vector": vectors[9].tobytes(), "id": 4})
        slightly = vectors[20] + np.float32(0.01) * vectors[21]
        await db.execute(changed, {"vector": slightly.astype("<f4").tobytes(), "id": 21})
    status, [found] = await run("verify")
    assert status == 1
    assert (found["different"], found["ok"]) == (2, False)


async def test_rebuild_makes_verify_pass_and_running_processes_load_anew(
    database: Database, store: SnapshotStore, vectors: Vectors, open_index: OpenIndex
) -> None:
    space = await add_space(database)
    await put(database, space, range(1, 301), vectors)
    await save(database, store, space)
    async with database.transaction() as db:
        await db.execute(text("update embeddings set vector = :v where post_id = 4"), {"v": vectors[9].tobytes()})
    index = await open_index()
    assert (await index.search("text", vectors[3], 1))[0].post_id == 4
    _, [wish] = await run("rebuild", "--dry-run")
    assert wish == {"space": "text", "would_rebuild": 300}
    status, [done] = await run("rebuild", "--space", "text")
    assert (status, done["vectors"], done["dropped_old"], done["saved"]) == (0, 300, True, True)
    await asyncio.wait_for(index.until(lambda: index.status().spaces[0].generation == 1), 5)
    assert (await index.search("text", vectors[3], 1))[0].post_id != 4
    assert index.status().spaces[0].source == "snapshot"
    assert (await run("verify"))[0] == 0


@pytest.mark.usefixtures("store")
async def test_status_tells_what_the_snapshot_is(database: Database, store: SnapshotStore, vectors: Vectors) -> None:
    assert await run("status") == (0, [])
    space = await add_space(database)
    await put(database, space, range(1, 301), vectors)
    _, [found] = await run("status")
    assert (found["space"], found["vectors"], found["snapshot"]) == ("text", 300, "none")
    await save(database, store, space)
    _, [found] = await run("status")
    assert (found["snapshot"], found["snapshot_count"]) == ("current", 300)
