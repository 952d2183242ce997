"""A snapshot in Redis starts a process; a missing, old or damaged one is noticed and replaced."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import msgspec
import numpy as np
import pytest
import structlog
from redis.asyncio import Redis
from tests.vectors import OpenIndex, Vectors, add_space, bury, put

from strvsocial.db import Database
from strvsocial.embeddings import index_shelves, index_snapshots
from strvsocial.embeddings.index import VectorIndex
from strvsocial.embeddings.index_changes import SpaceRow, ask_for_reload
from strvsocial.embeddings.index_shelves import Shelf
from strvsocial.embeddings.index_snapshots import Manifest, SnapshotStore
from strvsocial.embeddings.index_spaces import SpaceIndex
from strvsocial.settings import Settings


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of several parts without big data."""
    monkeypatch.setattr(index_snapshots, "PART_BYTES", 4096)


async def save_snapshot(database: Database, store: SnapshotStore, vectors: Vectors) -> SpaceRow:
    space = await add_space(database)
    await put(database, space, range(1, len(vectors) + 1), vectors)
    shelf = await load(database, store, space)
    assert shelf.source == "rows"
    assert await index_shelves.save(store, shelf)
    return space


async def load(database: Database, store: SnapshotStore, space: SpaceRow) -> Shelf:
    async with database.read() as reader:
        return await index_shelves.load(reader, store, space)


def same_answers(shelf: Shelf, vectors: Vectors) -> bool:
    truth = np.argsort(-(vectors @ vectors[0]), kind="stable")[:10] + 1
    return np.array_equal(shelf.index.search(vectors[0], 10)[0], truth)


@pytest.mark.usefixtures("small_parts")
async def test_a_saved_snapshot_loads_in_parts(database: Database, store: SnapshotStore, vectors: Vectors) -> None:
    space = await save_snapshot(database, store, vectors)
    manifest = await store.find_manifest(space.id)
    assert manifest is not None
    assert (manifest.count, manifest.dim, manifest.space_id) == (300, 32, space.id)
    assert len(manifest.parts) > 3
    shelf = await load(database, store, space)
    assert (shelf.source, shelf.unsaved, len(shelf.index)) == ("snapshot", 0, 300)
    assert same_answers(shelf, vectors)


async def test_the_tail_is_read_after_an_old_snapshot(
    database: Database, store: SnapshotStore, vectors: Vectors
) -> None:
    space = await save_snapshot(database, store, vectors[:200])
    await put(database, space, range(201, 301), vectors[200:])
    await put(database, space, [1], vectors[0:1])
    await bury(database, [2])
    shelf = await load(database, store, space)
    assert (shelf.source, shelf.unsaved, len(shelf.index)) == ("snapshot", 102, 299)


async def cut_last_part(redis: Redis, manifest: Manifest) -> None:
    part = await redis.get(manifest.parts[-1])
    await redis.set(manifest.parts[-1], part[:-7])


async def flip_a_bit(redis: Redis, manifest: Manifest) -> None:
    part = bytearray(await redis.get(manifest.parts[1]))
    part[100] ^= 4
    await redis.set(manifest.parts[1], bytes(part))


async def lose_a_part(redis: Redis, manifest: Manifest) -> None:
    await redis.delete(manifest.parts[2])


async def swap_parts(redis: Redis, manifest: Manifest) -> None:
    first, second = await redis.mget(manifest.parts[:2])
    await redis.mset({manifest.parts[0]: second, manifest.parts[1]: first})


async def cut_manifest(redis: Redis, manifest: Manifest) -> None:
    await redis.set(key(manifest), msgspec.json.encode(manifest)[:-20])


async def lie_about_the_count(redis: Redis, manifest: Manifest) -> None:
    await redis.set(key(manifest), msgspec.json.encode(msgspec.structs.replace(manifest, count=299)))


async def come_from_another_version(redis: Redis, manifest: Manifest) -> None:
    await redis.set(key(manifest), msgspec.json.encode(msgspec.structs.replace(manifest, version=0)))


async def put_text_there(redis: Redis, manifest: Manifest) -> None:
    await redis.set(key(manifest), b"\x00 not a manifest \xff")


def key(manifest: Manifest) -> str:
    return manifest.parts[0].rsplit(":", 2)[0] + ":manifest"


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "damage",
    [
        cut_last_part,
        flip_a_bit,
        lose_a_part,
        swap_parts,
        cut_manifest,
        lie_about_the_count,
        come_from_another_version,
        put_text_there,
    ],
)
async def test_a_damaged_snapshot_is_noticed_and_replaced(
    damage: Callable[[Redis, Manifest], Awaitable[None]],
    database: Database,
    store: SnapshotStore,
    settings: Settings,
    vectors: Vectors,
    open_index: OpenIndex,
) -> None:
    space = await save_snapshot(database, store, vectors)
    manifest = await store.find_manifest(space.id)
    redis = index_snapshots.open_redis(settings.redis_url)
    assert manifest is not None
    await damage(redis, manifest)
    await redis.aclose()
    with structlog.testing.capture_logs() as logs:
        shelf = await load(database, store, space)
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["index.bad_snapshot"]
    assert shelf.source == "rows"
    assert same_answers(shelf, vectors)

    index = await open_index()
    assert index.status().spaces[0].count == 300
    await index_is_saved(index)
    assert (await load(database, store, space)).source == "snapshot"


async def index_is_saved(index: VectorIndex) -> None:
    """Waits for the save that follows a build from rows."""
    async with asyncio.timeout(5):
        while index.status().spaces[0].unsaved:
            index.wake()
            looks = index.looks
            await index.until(lambda looks=looks: index.looks > looks)  # type: ignore[misc]


async def test_a_snapshot_from_before_a_rebuild_is_not_loaded(
    database: Database, store: SnapshotStore, vectors: Vectors
) -> None:
    space = await save_snapshot(database, store, vectors)
    async with database.transaction() as db:
        await ask_for_reload(db, space.id)
    shelf = await load(database, store, msgspec.structs.replace(space, generation=1))
    assert shelf.source == "rows"


async def test_a_save_that_died_half_way_leaves_the_old_snapshot(
    database: Database, store: SnapshotStore, settings: Settings, vectors: Vectors
) -> None:
    space = await save_snapshot(database, store, vectors)
    redis = index_snapshots.open_redis(settings.redis_url)
    old = await store.find_manifest(space.id)
    assert old is not None
    await redis.set(old.parts[0] + "-of-a-dead-process", b"half", ex=index_snapshots.LITTER_SECONDS)
    assert (await load(database, store, space)).source == "snapshot"
    assert await redis.ttl(old.parts[0]) == -1
    await redis.aclose()


async def test_one_process_saves_at_a_time(database: Database, store: SnapshotStore, vectors: Vectors) -> None:
    space = await save_snapshot(database, store, vectors)
    shelf = await load(database, store, space)
    token = await store.lock(space.id)
    assert token is not None
    assert not await index_shelves.save(store, shelf)
    await store.unlock(space.id, "somebody else")
    assert await store.lock(space.id) is None
    await store.unlock(space.id, token)
    assert await index_shelves.save(store, shelf)


async def test_an_emptied_redis_costs_nothing_but_time(
    database: Database, store: SnapshotStore, vectors: Vectors, open_index: OpenIndex
) -> None:
    space = await save_snapshot(database, store, vectors)
    first = await open_index()
    assert await store.drop(space.id)
    assert not await store.drop(space.id)
    assert len(await first.search("text", vectors[0], 10)) == 10
    second = await open_index()
    assert second.status().spaces[0].source == "rows"
    assert (await second.search("text", vectors[0], 1))[0].post_id == 1


async def test_without_redis_the_index_works_from_postgresql(
    database: Database, store: SnapshotStore, settings: Settings, vectors: Vectors
) -> None:
    space = await add_space(database)
    await put(database, space, range(1, 301), vectors)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        index = VectorIndex(settings.model_copy(update={"redis_url": nobody}))
        index.start()
        try:
            await asyncio.wait_for(index.until(lambda: index.ready), 5)
            assert (await index.search("text", vectors[7], 1))[0].post_id == 8
        finally:
            await index.aclose()


async def test_bytes_that_are_no_index_are_refused() -> None:
    packed = SpaceIndex.exact(8).pack()
    for broken in (b"", packed[:10], packed[:-5], bytes(100), b"x" * 200):
        with pytest.raises(ValueError, match=r"not a packed index|vectors for"):
            SpaceIndex.unpack(broken)
    assert len(SpaceIndex.unpack(packed)) == 0
