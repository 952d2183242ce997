"""What Prometheus is told, by the web process and by the worker; and that it stays little."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text
from tests.front_door import Site, running
from tests.watching.processes import working

from strvsocial import worker
from strvsocial.app import create_app
from strvsocial.db import Database
from strvsocial.errors import Unavailable
from strvsocial.jobs import Claimed, GiveUp, Handler, Postpone, enqueue
from strvsocial.lanes import Lane
from strvsocial.local.ports import free_port
from strvsocial.meters import show
from strvsocial.settings import Settings
from strvsocial.storage import open_storage

MOST_SERIES = 2_000


def figures(told: str) -> dict[tuple[str, ...], float]:
    """Every sample: its name and the values of its labels, these in the order of their names → its value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }


def grown(before: dict[tuple[str, ...], float], *key: str) -> float:
    """By how much a figure of this process grew."""
    return figures(show().decode()).get(key, 0) - before.get(key, 0)


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.05)


async def test_jobs_are_counted_by_how_they_ended(database: Database) -> None:
    async def run(_: Any, jobs: list[Claimed]) -> None:
        ends = {"die": GiveUp("hopeless"), "wait": Postpone("later", seconds=600), "fail": ValueError("again")}
        if error := ends.get(jobs[0].payload["how"]):
            raise error

    before = figures(show().decode())
    async with database.transaction() as db:
        for how in ("end", "end", "die", "wait", "fail"):
            await enqueue(db, "tests.figure", {"how": how}, queue="quick")
        await enqueue(db, "tests.nobody_knows", {}, queue="quick")
    lane = Lane("quick", 2, None, database, {"tests.figure": Handler("quick", run)})
    lane.start()
    wanted = {"done": 2, "dead": 1, "postponed": 1, "failed": 1}
    try:
        await until(
            lambda: all(grown(before, "strv_job_results_total", "tests.figure", how) >= n for how, n in wanted.items())
        )
        await until(lambda: grown(before, "strv_job_results_total", "unknown", "dead") == 1)
    finally:
        await lane.aclose()
    assert grown(before, "strv_job_seconds_count", "tests.figure") >= 5
    async with database.transaction() as db:
        await db.execute(text("delete from jobs"))


async def test_media_decoders_and_storage_are_counted(site: Site) -> None:
    alice = await site.member("alice")
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(picture, "png")
    before = figures(show().decode())
    files = {"file": ("a.png", picture.getvalue(), "image/png")}
    sent = await alice.api("POST", "/posts", data={"title": "Teal"}, files=files)
    assert sent.status_code == 201
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        worker.start_lanes(stack, context, {"quick": 1}, worker.WORKER_HANDLERS)
        await until(lambda: grown(before, "strv_job_results_total", "content.process_attachment", "done"))
    assert grown(before, "strv_media_files_total", "image", "done") == 1
    assert grown(before, "strv_media_processing_seconds_total", "image") > 0
    assert grown(before, "strv_decoder_runs_total", "ok", "picture") >= 1
    assert grown(before, "strv_storage_operations_total", "get_file", "ok") == 1
    assert grown(before, "strv_storage_operations_total", "put_file", "ok") >= 1


async def test_a_storage_that_is_down_is_counted(settings: Settings) -> None:
    before = figures(show().decode())
    away = settings.model_copy(
        update={
            "s3_bucket": "none",
            "s3_endpoint_url": "http://127.0.0.1:1",
            "aws_access_key_id": "a",
            "aws_secret_access_key": SecretStr("b"),
        }
    )
    async with open_storage(away) as storage:
        with pytest.raises(Unavailable):
            await storage.stat("media/nothing")
        with pytest.raises(Unavailable):
            async for _ in storage.read("media/nothing"):
                pass
    assert grown(before, "strv_storage_operations_total", "stat", "failed") == 1
    assert grown(before, "strv_storage_operations_total", "read", "failed") == 1


async def test_waiting_for_a_connection_is_counted(settings: Settings) -> None:
    before = figures(show().decode())
    narrow = Database(settings, pool_size=1)
    try:
        async with narrow.read() as reader:
            await reader.execute(text("select 1"))
            waiting = asyncio.create_task(_ask(narrow))
            await until(lambda: grown(before, "strv_database_pool_waits_total"))
        assert await waiting == 1
    finally:
        await narrow.aclose()
    assert grown(before, "strv_database_pool_wait_seconds_total") > 0


async def _ask(database: Database) -> Any:
    async with database.read() as reader:
        return await reader.scalar(text("select 1"))


async def test_the_figures_stay_few_and_name_nobody(site: Site) -> None:
    alice = await site.member("alice")
    for route in site.app.routes:  # Each route is asked for in four ways, with ids that are always new.
        path = route.path.replace("{", "").replace("}", "").replace(":str", f"-{time.time_ns()}").replace(":path", "x")
        if path == "/events":
            continue
        for method in ("GET", "POST", "DELETE", f"X{time.time_ns()}"):
            await alice.client.request(method, path)
            await site.anonymous.request(method, path, headers={"user-agent": f"agent-{time.time_ns()}"})
    told = (await site.anonymous.get("/metrics")).text
    samples = [line for line in told.splitlines() if line and not line.startswith("#")]
    assert len(samples) < MOST_SERIES
    labels = {
        value for family in text_string_to_metric_families(told) for s in family.samples for value in s.labels.values()
    }
    for private in (alice.username, str(alice.public_id), alice.email, "agent-", "X1"):
        assert not [value for value in labels if private in value]


async def test_a_token_closes_the_metrics(settings: Settings, site: Site) -> None:
    closed = create_app(settings.model_copy(update={"metrics_token": SecretStr("let-me-scrape")}))
    async with running(closed), site.client(app=closed) as client:
        for header in ({}, {"Authorization": "Bearer let-me"}, {"Authorization": "Basic let-me-scrape"}):
            refused = await client.get("/metrics", headers=header)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert "strv_" not in refused.text
        opened = await client.get("/metrics", headers={"Authorization": "Bearer let-me-scrape"})
        assert "strv_build_info" in opened.text
        assert (await client.get("/livez")).status_code == 200


async def test_the_worker_shows_its_figures_where_it_is_told_to(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    told = {"STRV_METRICS_PORT": str(port), "STRV_METRICS_TOKEN": "let-me-scrape"}
    with working("worker", tmp_path / "log", **told):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            async with asyncio.timeout(30):
                while True:
                    try:
                        if (await client.get("/livez")).text == "ok":
                            break
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
            assert (await client.get("/metrics")).status_code == 401
            assert (await client.get("/elsewhere")).status_code == 404
            shown = await client.get("/metrics", headers={"Authorization": "Bearer let-me-scrape"})
    found = figures(shown.text)
    assert found["strv_database_connections", "most"] == settings.database_pool_size
    assert any(key[0] == "strv_build_info" for key in found)
    assert any(key[0] == "process_resident_memory_bytes" for key in found)


async def test_alive_is_answered_at_once(site: Site) -> None:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert (await site.anonymous.get("/livez", headers={"Cookie": "strv_session=x"})).status_code == 200
        times.append(time.perf_counter() - started)
    assert sorted(times)[10] < 0.05
