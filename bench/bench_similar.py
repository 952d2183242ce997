"""Similar posts at 100,000 posts: recall against exact search, time against raw FAISS, commit to findable, memory.

Run by `make bench`, or by itself on an empty migrated database that DATABASE_URL names.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import psutil
from crowd import DIMS, add_people, add_posts, add_space, add_vectors, connect, unit_vectors
from report import Report
from servers import free_port, running_web
from sqlalchemy import text

from strvsocial.db import Database
from strvsocial.embeddings.index import VectorIndex
from strvsocial.live import Listener, wake_index
from strvsocial.recommendations.similar import list_similar
from strvsocial.settings import Settings, get_settings

SMALL, LARGE = 10_000, 100_000
QUERIES, COMMITS, K = 200, 120, 10


async def main() -> None:
    settings, report = get_settings(), Report("similar")
    connection = await connect(settings.database_url)
    authors = await add_people(connection, 200)
    spaces = {name: await add_space(connection, name) for name in DIMS}
    posts = await add_posts(connection, authors, SMALL)
    for name, space in spaces.items():
        members = (
            posts if name == "text" else [post for post in posts if post % 5 in ((1, 2, 4) if name == "look" else (3,))]
        )
        await add_vectors(connection, space, members, unit_vectors(len(members), DIMS[name], seed=1))
    await measure_memory(report, settings)

    print("  filling up to 100,000 posts …", flush=True)
    more = await add_posts(connection, authors, LARGE - SMALL)
    vectors = np.concatenate([unit_vectors(SMALL, 384, seed=1), unit_vectors(len(more), 384, seed=2)])
    await add_vectors(connection, spaces["text"], more, vectors[SMALL:])
    ids = np.array(posts + more)

    index = VectorIndex(settings)
    listener = Listener(settings.direct_url, on_vectors=index.wake)
    started = time.perf_counter()
    index.start()
    listener.start()
    await index.until(lambda: index.ready and sum(space.count for space in index.status().spaces) > LARGE)
    report.note("seconds_to_load", round(time.perf_counter() - started, 2), "s")
    try:
        await measure_search(report, index, ids, vectors)
        await measure_similar(report, settings, index, [int(post) for post in ids[:: LARGE // QUERIES]])
        await measure_freshness(report, settings, index, spaces["text"], authors[0])
    finally:
        await listener.aclose()
        await index.aclose()
        await connection.close()
    report.end()


async def measure_memory(report: Report, settings: Settings) -> None:
    """RSS of a web process that has answered feeds and similar posts at 10,000 posts."""
    port = free_port()
    async with running_web(settings, port) as (process, client):
        for _ in range(40):
            page = (await client.get("/api/v1/feeds/latest", params={"limit": 50})).json()
            for item in page.get("items", [])[:5]:
                await client.get(f"/api/v1/posts/{(item.get('post') or item)['id']}/similar")
            await client.get("/api/v1/search", params={"q": "yellow bicycle"})
        rss = psutil.Process(process.pid).memory_info().rss / 1e6
    report.hold("web_rss_at_10000_posts", round(rss, 1), most=250, unit="MB")


async def measure_search(report: Report, index: VectorIndex, ids: np.ndarray, vectors: np.ndarray) -> None:
    """Our search against the same search by bare FAISS, and against exact float32.

    Ours runs in a thread, so that pages go on meanwhile; on a busy machine both threads wait to be scheduled, which says
    nothing about the code. So two ratios are held: of the processor's time, and of the clock with FAISS in a thread, too.
    """
    faiss.omp_set_num_threads(1)
    raw = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    raw.add(vectors)
    exact = faiss.IndexFlatIP(vectors.shape[1])
    exact.add(vectors)
    queries = unit_vectors(QUERIES, vectors.shape[1], seed=3)
    hits, loop = 0, asyncio.get_running_loop()
    threads = ThreadPoolExecutor(1, initializer=faiss.omp_set_num_threads, initargs=(1,))

    async def ask_ours(query: np.ndarray) -> list[int]:
        return [near.post_id for near in await index.search("text", query, K)]

    async def ask_raw(query: np.ndarray) -> list[int]:
        return ids[raw.search(query[None], K)[1][0]].tolist()

    async def ask_float32(query: np.ndarray) -> list[int]:
        return ids[exact.search(query[None], K)[1][0]].tolist()

    async def ask_raw_in_thread(query: np.ndarray) -> list[int]:
        return ids[(await loop.run_in_executor(threads, raw.search, query[None], K))[1][0]].tolist()

    rivals = [("ours", ask_ours), ("raw", ask_raw), ("raw_in_thread", ask_raw_in_thread), ("float32", ask_float32)]
    clock: dict[str, list[float]] = {name: [] for name, _ in rivals}
    processor: dict[str, list[float]] = {name: [] for name, _ in rivals}
    for turn, query in enumerate(queries):
        found = {}
        for name, ask in rivals[turn % 4 :] + rivals[: turn % 4]:
            started, used = time.perf_counter(), time.process_time()
            found[name] = await ask(query)
            processor[name].append(time.process_time() - used)
            clock[name].append(time.perf_counter() - started)
        hits += len(set(found["ours"]) & set(found["float32"]))
    report.hold("recall_at_10", round(hits / (QUERIES * K), 4), least=0.99)
    threads.shutdown()
    median = {name: statistics.median(found) * 1000 for name, found in clock.items()}
    cost = {name: statistics.median(found) * 1000 for name, found in processor.items()}
    for name in median:
        report.note(f"search_{name}_ms", round(median[name], 2), "ms")
        report.note(f"search_{name}_processor_ms", round(cost[name], 2), "ms")
    report.hold("search_to_raw_faiss_by_the_clock", round(median["ours"] / median["raw"], 3), most=1.3)
    report.hold("search_to_raw_faiss_in_thread", round(median["ours"] / median["raw_in_thread"], 3), most=1.3)
    report.hold("search_to_raw_faiss_processor", round(cost["ours"] / cost["raw"], 3), most=1.3)


async def measure_similar(report: Report, settings: Settings, index: VectorIndex, posts: list[int]) -> None:
    """A whole page of similar posts, cards and all."""
    database = Database(settings)
    times = []
    async with database.read() as reader:
        rows = await reader.execute(text("select public_id from posts where id = any(:ids)"), {"ids": posts})
        for public_id in rows.scalars().all():
            started = time.perf_counter()
            page = await list_similar(reader, index, None, public_id)
            times.append(time.perf_counter() - started)
            assert len(page.items) == 20
    await database.aclose()
    report.note("similar_page_p50_ms", round(statistics.median(times) * 1000, 1), "ms")
    report.note("similar_page_p95_ms", round(statistics.quantiles(times, n=20)[18] * 1000, 1), "ms")


async def measure_freshness(report: Report, settings: Settings, index: VectorIndex, space: int, author: int) -> None:
    """From the return of the commit to the moment the index has the vector."""
    database = Database(settings)
    vectors = unit_vectors(COMMITS, 384, seed=4)
    insert = text("insert into embeddings (space_id, post_id, vector) values (:space, :post, :vector)")
    times = []
    for number, vector in enumerate(vectors):
        post_id = 10_000_000 + number
        async with database.transaction() as db:
            await db.execute(insert, {"space": space, "post": post_id, "vector": vector.tobytes()})
            await wake_index(db)
        committed = time.perf_counter()
        await index.until(lambda post_id=post_id: index.spaces_of(post_id) == ["text"])
        times.append(time.perf_counter() - committed)
        found = await index.search("text", vector, 1)
        assert found[0].post_id == post_id
    await database.aclose()
    report.note("commit_to_findable_p50_ms", round(statistics.median(times) * 1000, 1), "ms")
    report.hold(
        "commit_to_findable_p95_ms", round(statistics.quantiles(times, n=20)[18] * 1000, 1), most=1000, unit="ms"
    )


if __name__ == "__main__":
    asyncio.run(main())
