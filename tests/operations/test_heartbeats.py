"""Processes are seen while they live, and each minute is measured once, however many processes there are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from litestar.types import HTTPScope
from sqlalchemy import text

from strvsocial.db import Database
from strvsocial.jobs import Claimed, Handler, enqueue
from strvsocial.lanes import Lane
from strvsocial.operations import samples
from strvsocial.operations.heartbeats import Heartbeat
from strvsocial.operations.request_rates import RequestRates, quantile
from strvsocial.web.metrics import Metrics

pytestmark = pytest.mark.usefixtures("clean")


async def _rows(database: Database, statement: str) -> list[Any]:
    async with database.read() as reader:
        return list(await reader.execute(text(statement)))


async def test_a_process_is_there_while_it_lives(database: Database) -> None:
    heartbeat = Heartbeat(database, "web", lambda: {"streams": 3})
    await heartbeat.beat()
    await heartbeat.beat()
    [row] = await _rows(database, "select * from processes")
    assert (row.id, row.kind, row.details["streams"]) == (heartbeat.id, "web", 3)
    assert row.details["rss"] > 1_000_000
    await heartbeat.aclose()
    assert await _rows(database, "select * from processes") == []


async def test_who_died_is_forgotten_after_a_day(database: Database) -> None:
    async with database.transaction() as db:
        for name, age in (("fresh", "1 hour"), ("old", "25 hours")):
            await db.execute(
                text(
                    "insert into processes (id, kind, host, pid, version, seen_at)"
                    f" values ('{name}', 'worker', 'h', 1, '1', now() - interval '{age}')"
                )
            )
    heartbeat = Heartbeat(database, "web")
    await heartbeat.beat()
    assert {row.id for row in await _rows(database, "select id from processes")} == {"fresh", heartbeat.id}


async def test_processes_at_once_measure_a_minute_once(database: Database) -> None:
    taken = await asyncio.gather(*(samples.take(database) for _ in range(6)))
    rows = await _rows(database, "select at, figures from samples")
    assert sum(taken) == len(rows) <= 2  # Two when the minute ends just now.
    assert all(row.figures["waiting.quick"] == 0 for row in rows)


async def test_what_is_measured(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(
            text(
                """
                insert into jobs (queue, kind, state, run_after, finished_at) values
                  ('quick', 'a', 'queued', now() - interval '90 s', null), ('quick', 'a', 'queued', now() + interval '1 h', null),
                  ('long', 'a', 'running', now(), null),
                  ('embed', 'a', 'done', now(), date_trunc('minute', now()) - interval '30 s'),
                  ('embed', 'a', 'dead', now(), date_trunc('minute', now()) - interval '30 s'),
                  ('embed', 'a', 'done', now(), date_trunc('minute', now()) - interval '90 s')
                """
            )
        )
    for requests, slow in ((100, 0), (50, 30)):
        details = {"requests": requests, "errors": 1, "buckets": [[0.1, requests - slow], [1.0, requests]]}
        await Heartbeat(database, "web", lambda details=details: details).beat()  # type: ignore[misc]
    async with database.read() as reader:
        at = await reader.scalar(text("select date_trunc('minute', now())"))
        assert at is not None
        found = await samples.measure(reader, at)
    assert (found["waiting.quick"], found["running.long"], found["waiting.embed"]) == (2, 1, 0)
    assert 89 < found["oldest.quick"] < 120
    assert (found["done.embed"], found["given_up.embed"], found["done.quick"]) == (1, 1, 0)
    assert (found["requests"], found["errors"]) == (150, 2)
    # 142.5 of 150 answers: 22.5 of the 30 between 0.1 s and 1 s.
    assert found["p95"] == pytest.approx(0.1 + 0.9 * 22.5 / 30)


async def test_stock_is_taken_every_ten_minutes(database: Database) -> None:
    now = datetime.now(UTC)
    async with database.read() as reader:
        assert (await samples.measure(reader, now))["posts"] == 0
        await reader.execute(
            text("insert into samples (at, figures) values (now() - interval '5 min', '{\"posts\": 1}')")
        )
        assert "posts" not in await samples.measure(reader, now)
        await reader.execute(text("update samples set at = now() - interval '11 min'"))
        assert "bytes.image" in await samples.measure(reader, now)


async def test_samples_are_read_in_steps_and_old_ones_go(database: Database) -> None:
    start = datetime(2026, 3, 4, 12, tzinfo=UTC)
    async with database.transaction() as db:
        for minute, value in ((0, 4), (1, 8), (9, 3), (10, 1), (31, 5)):
            await db.execute(
                text("insert into samples (at, figures) values (:at, jsonb_build_object('n', cast(:value as int)))"),
                {"at": start + timedelta(minutes=minute), "value": value},
            )
    async with database.read() as reader:
        found = await samples.read(reader, ["n", "other"], start, timedelta(minutes=10))
    shown = [((point.at - start).seconds // 60, point.most, point.total, point.mean) for point in found["n"]]
    assert shown == [(0, 8, 15, 5), (10, 1, 1, 1), (30, 5, 5, 5)]
    assert found["other"] == []
    await samples.take(database)
    assert len(await _rows(database, "select at from samples where at < now() - interval '14 days'")) == 0


async def test_a_lane_says_what_runs_in_it(database: Database) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def run(_: Any, jobs: list[Claimed]) -> None:
        begun.set()
        await go_on.wait()

    async with database.transaction() as db:
        await enqueue(db, "a.b", {}, queue="quick")
    lane = Lane("quick", 1, None, database, {"a.b": Handler("quick", run)})
    lane.start()
    async with asyncio.timeout(10):
        await begun.wait()
        assert [kind for kind, _ in lane.under_way.values()] == ["a.b"]
        go_on.set()
        while lane.under_way:
            await asyncio.sleep(0.01)
    await lane.aclose()


def test_requests_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("strvsocial.operations.request_rates.time.monotonic", lambda: now)
    metrics = Metrics()
    rates = RequestRates(metrics)
    post, probe = (cast(HTTPScope, {"method": "GET", "path_template": path}) for path in ("/p/{post_id}", "/livez"))
    for second in range(0, 150, 15):
        now = 1000.0 + second
        metrics.count(post, 503 if second == 135 else 200, 0.02)
        metrics.count(probe, 200, 0.02)
        told = rates.describe()
    assert (told["requests"], told["errors"]) == (4, 1)
    assert [0.025, 4] in told["buckets"]  # type: ignore[operator]


def test_quantiles() -> None:
    assert quantile([], 0.95) is None
    assert quantile([(0.1, 0), (1, 0)], 0.95) is None
    assert quantile([(0.1, 10), (1, 10)], 0.5) == pytest.approx(0.05)
