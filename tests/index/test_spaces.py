"""FAISS as we use it: exact and approximate, delete before add, cosines, recall."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tests.vectors import OpenIndex, Vectors, add_space, make_vectors, put

from strvsocial.db import Database
from strvsocial.embeddings import index_shelves
from strvsocial.embeddings.index_locks import ReadWriteLock
from strvsocial.embeddings.index_snapshots import SnapshotStore
from strvsocial.embeddings.index_spaces import SpaceIndex


def make_index(kind: str, vectors: Vectors) -> SpaceIndex:
    index = SpaceIndex.exact(vectors.shape[1]) if kind == "exact" else SpaceIndex.approximate(vectors, len(vectors))
    index.put(range(1, len(vectors) + 1), range(101, len(vectors) + 101), vectors)
    return index


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_vectors_are_added_replaced_removed_and_packed(kind: str) -> None:
    vectors = make_vectors(2000)
    index = make_index(kind, vectors)
    index.put([5], [9000], vectors[1999:])
    index.remove([2000, 123456])
    assert len(index) == 1999
    assert index.vector(2000) is None
    again = SpaceIndex.unpack(index.pack())
    for one in (index, again):
        ids, cosines = one.search(vectors[1999], 5)
        assert ids[0] == 5
        assert len(set(ids.tolist())) == 5
        assert np.all(np.diff(cosines) <= 0)
        assert one.changes[5] == 9000
        assert one.cosines(vectors[0], [1, 2000, 3]) == {
            1: pytest.approx(1, abs=0.01),
            3: pytest.approx(float(vectors[0] @ vectors[2]), abs=0.02),
        }
    again.remove([5])
    assert 5 not in again.search(vectors[1999], 10)[0]


def test_more_than_there_is_can_be_asked_for() -> None:
    index = SpaceIndex.exact(32)
    assert [part.tolist() for part in index.search(make_vectors(1)[0], 10)] == [[], []]
    index.put([7], [1], make_vectors(1))
    assert index.search(make_vectors(1)[0], 10)[0].tolist() == [7]


async def test_a_large_space_is_approximate_with_the_recall_of_an_exact_search(
    database: Database, store: SnapshotStore, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_shelves, "EXACT_LIMIT", 3000)
    vectors = make_vectors(5000, seed=3)
    space = await add_space(database)
    await put(database, space, range(1, 5001), vectors)
    index = await open_index()
    assert not index.status().spaces[0].exact
    hits = 0
    for query in vectors[:50]:
        found = await index.search("text", query, 10)
        assert found[0].cosine == pytest.approx(1, abs=1e-5), "the exact vectors give the cosines"
        hits += len({near.post_id - 1 for near in found} & set(np.argsort(-(vectors @ query))[:10].tolist()))
    assert hits >= 0.99 * 500


async def test_a_space_that_outgrows_its_kind_is_built_anew(
    database: Database, store: SnapshotStore, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_shelves, "EXACT_LIMIT", 1000)
    vectors = make_vectors(1500)
    space = await add_space(database)
    await put(database, space, range(1, 901), vectors[:900])
    index = await open_index()
    assert index.status().spaces[0].exact
    await put(database, space, range(901, 1501), vectors[900:])
    await index.until(lambda: not index.status().spaces[0].exact)
    assert index.status().spaces[0].count == 1500


def test_a_writer_waits_for_readers_and_goes_before_later_ones() -> None:
    lock = ReadWriteLock()
    order: list[str] = []
    writer_waits, reader_waits = threading.Event(), threading.Event()

    def write() -> None:
        writer_waits.set()
        with lock.writing():
            order.append("write")

    def read() -> None:
        reader_waits.set()
        with lock.reading():
            order.append("read")

    with lock.reading():
        writer = threading.Thread(target=write)
        writer.start()
        writer_waits.wait(5)
        while not lock.is_wanted:
            pass
        reader = threading.Thread(target=read)
        reader.start()
        reader_waits.wait(5)
        assert order == []
    writer.join(5)
    reader.join(5)
    assert order == ["write", "read"]
