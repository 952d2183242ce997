"""Work is claimed once, survives its worker, and is given up after its tries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text

from strvsocial.db import Database
from strvsocial.doorbell import pack, unpack
from strvsocial.jobs import Claimed, GiveUp, Handler, Job, enqueue
from strvsocial.lanes import Lane, sweep


async def _states(database: Database) -> list[tuple[str, str, int]]:
    async with database.read() as connection:
        rows = await connection.execute(select(Job.kind, Job.state, Job.attempts).order_by(Job.id))
        return [(row.kind, row.state, row.attempts) for row in rows]


async def _run_until_quiet(lane: Lane, database: Database) -> None:
    lane.start()
    async with asyncio.timeout(20):
        while True:
            async with database.read() as connection:
                busy = await connection.scalar(text("select count(*) from jobs where state in ('queued', 'running')"))
            if not busy:
                break
            lane.ring()
            await asyncio.sleep(0.02)
    await lane.aclose()


async def test_urgent_work_goes_first_and_equal_wishes_are_one(database: Database, clean: None) -> None:
    ran: list[int] = []

    async def run(_: Any, jobs: list[Claimed]) -> None:
        ran.extend(job.payload["n"] for job in jobs)

    async with database.transaction() as db:
        await enqueue(db, "a.b", {"n": 1}, queue="quick", priority=10)
        await enqueue(db, "a.b", {"n": 2}, queue="quick", dedupe_key="two")
        await enqueue(db, "a.b", {"n": 2}, queue="quick", dedupe_key="two")
    await _run_until_quiet(Lane("quick", 1, None, database, {"a.b": Handler("quick", run)}), database)
    assert ran == [2, 1]


async def test_a_batch_is_claimed_at_once_and_a_bad_one_does_not_spoil_it(database: Database, clean: None) -> None:
    batches: list[list[int]] = []

    async def run(_: Any, jobs: list[Claimed]) -> None:
        batches.append([job.payload["n"] for job in jobs])
        if any(job.payload["n"] == 1 for job in jobs):
            raise GiveUp("one is bad")

    gave_up: list[str] = []

    async def on_gave_up(_: Any, job: Claimed, error: str) -> None:
        gave_up.append(f"{job.payload['n']}: {error}")

    async with database.transaction() as db:
        for n in range(4):
            await enqueue(db, "a.b", {"n": n}, queue="embed")
    handler = Handler("embed", run, batch=8, gave_up=on_gave_up)
    await _run_until_quiet(Lane("embed", 1, None, database, {"a.b": handler}), database)
    assert batches == [[0, 1, 2, 3], [0], [1], [2], [3]]
    assert gave_up == ["1: one is bad"]
    assert [state for _, state, _ in await _states(database)] == ["done", "dead", "done", "done"]


async def test_a_dead_workers_lease_is_taken_over_and_given_up_after_its_tries(database: Database, clean: None) -> None:
    gave_up: list[str] = []

    async def run(_: Any, jobs: list[Claimed]) -> None:
        raise AssertionError("never runs here")

    async def on_gave_up(_: Any, job: Claimed, error: str) -> None:
        gave_up.append(error)

    handlers = {"a.b": Handler("quick", run, tries=2, gave_up=on_gave_up)}
    async with database.transaction() as db:
        await enqueue(db, "a.b", {}, queue="quick")
    for attempt, state in ((1, "queued"), (2, "queued"), (5, "dead")):
        async with database.transaction() as db:
            await db.execute(
                text("update jobs set state = 'running', attempts = :n, lease_until = now() - interval '1 s'"),
                {"n": attempt},
            )
        due = await sweep(database, None, handlers, {"quick"})
        assert due == ({"quick"} if state == "queued" else set())
        assert await _states(database) == [("a.b", state, attempt)]
    assert gave_up == ["the worker died during this job"]


async def test_what_took_its_worker_down_is_tried_alone(database: Database, clean: None) -> None:
    batches: list[list[int]] = []

    async def run(_: Any, jobs: list[Claimed]) -> None:
        batches.append([job.payload["n"] for job in jobs])

    async with database.transaction() as db:
        for n in range(4):
            await enqueue(db, "a.b", {"n": n}, queue="embed")
        await db.execute(text("update jobs set attempts = 1 where payload in ('{\"n\": 0}', '{\"n\": 2}')"))
    lane = Lane("embed", 1, None, database, {"a.b": Handler("embed", run, batch=8)})
    await _run_until_quiet(lane, database)
    assert batches == [[0], [1, 3], [2]]


async def test_only_ones_own_queues_are_swept(database: Database, clean: None) -> None:
    async with database.transaction() as db:
        await enqueue(db, "a.b", {}, queue="embed")
        await db.execute(text("update jobs set state = 'running', attempts = 9, lease_until = now() - interval '1 s'"))
    assert await sweep(database, None, {}, {"quick", "long"}) == set()
    assert await _states(database) == [("a.b", "running", 9)]


async def test_a_job_is_not_dead_before_those_who_waited_for_it_know(database: Database, clean: None) -> None:
    """Who is killed while giving up leaves a row that the next worker gives up again."""
    seen: list[str] = []

    async def run(_: Any, jobs: list[Claimed]) -> None:
        raise GiveUp("hopeless")

    async def on_gave_up(_: Any, job: Claimed, error: str) -> None:
        seen.extend(state for _, state, _ in await _states(database))
        if len(seen) == 1:
            raise ConnectionError("as if we had died here")

    handlers = {"a.b": Handler("quick", run, gave_up=on_gave_up)}
    async with database.transaction() as db:
        await enqueue(db, "a.b", {}, queue="quick")
    lane = Lane("quick", 1, None, database, handlers)
    lane.start()
    async with asyncio.timeout(10):
        while not seen:
            await asyncio.sleep(0.02)
    await lane.aclose()
    async with database.transaction() as db:
        await db.execute(text("update jobs set lease_until = now() - interval '1 s'"))
    await sweep(database, None, handlers, {"quick"})
    await _run_until_quiet(Lane("quick", 1, None, database, handlers), database)
    assert seen == ["running", "running"]
    assert [state for _, state, _ in await _states(database)] == ["dead"]


async def test_one_that_cannot_be_taken_over_does_not_hold_up_the_others(database: Database, clean: None) -> None:
    async def run(_: Any, jobs: list[Claimed]) -> None:
        raise AssertionError("never runs here")

    async def on_gave_up(_: Any, job: Claimed, error: str) -> None:
        if job.payload["n"] == 0:
            raise RuntimeError("no")

    handlers = {"a.b": Handler("quick", run, tries=1, gave_up=on_gave_up)}
    async with database.transaction() as db:
        for n in range(3):
            await enqueue(db, "a.b", {"n": n}, queue="quick")
        await db.execute(text("update jobs set state = 'running', attempts = 9, lease_until = now() - interval '1 s'"))
    await sweep(database, None, handlers, {"quick"})
    assert [state for _, state, _ in await _states(database)] == ["running", "dead", "dead"]


async def test_work_whose_lease_was_taken_over_ends(
    database: Database, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strvsocial.lanes.RENEW_SECONDS", 0.05)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def run(_: Any, jobs: list[Claimed]) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with database.transaction() as db:
        await enqueue(db, "a.b", {}, queue="quick")
    lane = Lane("quick", 1, None, database, {"a.b": Handler("quick", run, tries=1)})
    lane.start()
    async with asyncio.timeout(10):
        await begun.wait()
        async with database.transaction() as db:
            await db.execute(text("update jobs set lease_token = 7"))
        await ended.wait()
    await lane.aclose()
    assert await _states(database) == [("a.b", "running", 1)]


async def test_work_that_fails_is_tried_again_later(database: Database, clean: None) -> None:
    async def run(_: Any, jobs: list[Claimed]) -> None:
        raise RuntimeError("not now")

    lane = Lane("quick", 1, None, database, {"a.b": Handler("quick", run)})
    async with database.transaction() as db:
        await enqueue(db, "a.b", {}, queue="quick")
    lane.start()
    async with asyncio.timeout(10):
        while await _states(database) != [("a.b", "queued", 1)]:
            await asyncio.sleep(0.02)
    await lane.aclose()
    async with database.read() as connection:
        row = (await connection.execute(select(Job.last_error, Job.run_after > text("now()")))).one()
    assert tuple(row) == ("not now", True)


def test_a_message_that_does_not_fit_is_kept_in_words() -> None:
    assert unpack(pack({"r": ValueError("lost")})) == {"r": "ValueError('lost')"}
