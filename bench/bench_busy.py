"""The feed page while four films are transcoded, against the same page at rest: pages stay within their budget.

Requests arrive at a constant rate, so that a slow answer is not waited for before the next one is asked. The worker is a
real one with four lanes for films; how many decoders run is looked at all the time, and the figures count only with four.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
from arrivals import Answers, Arrivals, get, percentile
from crowd import add_people, add_posts, connect
from report import Report
from servers import free_port, running_web

from strvsocial.db import Database
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import ROOT, get_settings
from strvsocial.users import tokens

POSTS, FILMS, RATE, SECONDS = 5_000, 4, 4.0, 30.0
BUDGET_MS = 300
LANES = {"STRV_LONG_JOBS": str(FILMS), "STRV_FEATURE_JOBS": str(FILMS), "STRV_LADDER_JOBS": str(FILMS)}
FILM_SECONDS = 120


async def main() -> None:
    settings, report, port = get_settings(), Report("busy"), free_port()
    connection = await connect(settings.database_url)
    people = await add_people(connection, 50)
    await add_posts(connection, people, POSTS)
    await connection.close()
    database = Database(settings)
    async with database.transaction() as db:
        token = await tokens.create(db, people[0])
    await database.aclose()
    with tempfile.TemporaryDirectory(prefix="strv-bench-") as folder:
        film = await asyncio.to_thread(make_film, Path(folder) / "film.mp4")
        async with running_web(settings, port) as (_, client):
            feed = Arrivals(port, [get("/", 1)])
            await feed.come(RATE, 5)
            rest = await feed.come(RATE, SECONDS)
            async with running_worker() as worker:
                await publish(client, token, film)
                await until_busy(worker)
                busy, decoders = await watch(feed, worker)
    report.note("load_average", round(os.getloadavg()[0], 1))
    report.note("requests_each", rest.total)
    report.note("at_rest_p95_ms", round(1000 * percentile(rest.served, 0.95), 1), "ms")
    report.note("busy_p50_ms", round(1000 * percentile(busy.served, 0.5), 1), "ms")
    report.hold("transcodes_at_once", statistics.median(decoders), least=FILMS)
    report.hold("busy_p95_ms", round(1000 * percentile(busy.served, 0.95), 1), most=BUDGET_MS, unit="ms")
    report.hold("not_served", rest.total + busy.total - len(rest.served) - len(busy.served), most=0)
    report.end()


def make_film(path: Path) -> Path:
    """Two minutes of 720p that must be encoded anew: more than is done while the page is asked for."""
    source = ["-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=25:duration={FILM_SECONDS}"]
    command = [find_ffmpeg(), "-v", "error", "-y", *source, "-c:v", "mpeg4", "-q:v", "6", str(path)]
    subprocess.run(command, check=True, timeout=300)
    return path


@asynccontextmanager
async def running_worker() -> AsyncIterator[psutil.Process]:
    environment = {"STRV_LOG_LEVEL": "WARNING", **os.environ, **LANES, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "strvsocial.worker", "worker"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()  # What is under way is not waited for.
        await process.wait()


async def publish(client: httpx.AsyncClient, token: str, film: Path) -> None:
    for number in range(FILMS):
        content = await asyncio.to_thread(film.read_bytes)
        unlike = content + b"\0\0\0\x0cfree" + number.to_bytes(4, "big")
        answer = await client.post(
            "/api/v1/posts",
            data={"title": f"Film {number}"},
            files={"file": ("film.mp4", unlike)},
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
        )
        answer.raise_for_status()


def transcodes(worker: psutil.Process) -> int:
    """How many ffmpeg run below the worker."""
    count = 0
    for process in worker.children(recursive=True):
        try:
            count += Path(process.exe()).name.startswith("ffmpeg")
        except psutil.Error:
            continue
    return count


async def until_busy(worker: psutil.Process) -> None:
    async with asyncio.timeout(300):
        while transcodes(worker) < FILMS:
            await asyncio.sleep(0.2)


async def watch(feed: Arrivals, worker: psutil.Process) -> tuple[Answers, list[int]]:
    """The answers while the worker works, and how many transcodes ran each second."""
    counts: list[int] = []

    async def count() -> None:
        while True:
            counts.append(await asyncio.to_thread(transcodes, worker))
            await asyncio.sleep(1)

    counting = asyncio.create_task(count())
    answers = await feed.come(RATE, SECONDS)
    counting.cancel()
    return answers, counts


if __name__ == "__main__":
    asyncio.run(main())
