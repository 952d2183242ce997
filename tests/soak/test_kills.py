"""Twenty kills at random during uploads and processing, then the same while PostgreSQL and Redis fall over as well.

What was measured is printed and kept in bench/results/kills.json. `STRV_TEST_SEED` repeats a run's moments.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import psutil
import pytest
import pytest_asyncio
from tests.reliability.history import History, Person, gather_people
from tests.reliability.proof import Verdict, judge, until_quiet
from tests.reliability.real_site import RealSite, real_site
from tests.reliability.sent_files import SentFile, make_files

from strvsocial.settings import ROOT

pytestmark = pytest.mark.soak

RESULTS = ROOT / "bench" / "results" / "kills.json"
LARGE_BYTES = 24_000_000
PART_BYTES = 8 * 1024 * 1024
SOCKET_BYTES = 8_000_000
"""What the two ends of a connection hold on top of the two parts that are under way."""
PEOPLE = 6
PAUSES = (2.0, 7.0)
"""Seconds between two faults."""
Fault = Callable[[RealSite], Awaitable[None]]


@dataclass
class Series:
    """One row of the table."""

    name: str
    kills: int
    posts: int
    acknowledged: int
    unknown: int
    lost: int
    doubled: int
    stuck: int
    damaged: int
    left_over: int
    interrupted_uploads: int
    most_bytes_sent_again: int
    seconds_of_faults: float
    seconds_to_quiet: float


@dataclass
class Yard:
    """A site, the files that people send it, all that was ever posted, and the rows so far."""

    site: RealSite
    files: dict[str, SentFile]
    history: History
    people: list[Person]
    rows: list[Series]
    rng: random.Random


@pytest_asyncio.fixture(scope="module")
async def yard(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Yard]:
    folder = tmp_path_factory.mktemp("soak")
    files, history = make_files(folder / "files", LARGE_BYTES), History()
    seed = int(os.environ.get("STRV_TEST_SEED") or random.randrange(10**6))
    async with real_site(folder / "data") as site:
        people = await gather_people(site.address, PEOPLE, history, files)
        yard = Yard(site, files, history, people, [], random.Random(seed))
        yield yard
        _report(yard.rows, seed)


def _kill(name: str) -> Fault:
    return lambda site: site.kill(name)


async def _flush(site: RealSite) -> None:
    await site.flush()


@pytest.mark.timeout(480)
async def test_twenty_kills_at_random(yard: Yard) -> None:
    names = ["web"] * 8 + ["worker"] * 8 + ["embedder"] * 4
    yard.rng.shuffle(names)
    await _suffer(yard, "20 kills", [_kill(name) for name in names])


@pytest.mark.timeout(480)
async def test_the_same_with_the_servers_falling_over(yard: Yard) -> None:
    names = ["web"] * 7 + ["worker"] * 7 + ["embedder"] * 3 + ["valkey", "postgres", "postgres"]
    yard.rng.shuffle(names)
    faults = [_kill(name) for name in names]
    for _ in range(3):
        faults.insert(yard.rng.randrange(len(faults)), _flush)
    await _suffer(yard, "20 kills, servers too, 3 FLUSHALL", faults)


async def _suffer(yard: Yard, name: str, faults: list[Fault]) -> None:
    already = len(yard.history.entries)
    stop = asyncio.Event()
    posting = [asyncio.create_task(person.post_until(stop)) for person in yard.people]
    began = time.monotonic()
    try:
        for fault in faults:
            await asyncio.sleep(yard.rng.uniform(*PAUSES))
            await fault(yard.site)
    finally:
        stop.set()
        await asyncio.gather(*posting)
    suffered = time.monotonic() - began
    quiet = await until_quiet(yard.site, 90)
    verdict = await judge(yard.site, yard.history)
    kills = len(faults) - sum(fault is _flush for fault in faults)
    yard.rows.append(_row(name, kills, yard.history, already, verdict, suffered, quiet))
    assert verdict.problems == {}
    assert yard.history.most_sent_again <= 2 * PART_BYTES + SOCKET_BYTES
    assert len(yard.history.entries) - already >= 20


def _row(
    name: str, kills: int, history: History, already: int, verdict: Verdict, suffered: float, quiet: float
) -> Series:
    mine = history.entries[already:]
    return Series(
        name=name,
        kills=kills,
        posts=len(mine),
        acknowledged=sum(entry.outcome == "ok" for entry in mine),
        unknown=sum(entry.outcome == "unknown" for entry in mine),
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        stuck=len(verdict.stuck),
        damaged=len(verdict.damaged),
        left_over=len(verdict.left_over),
        interrupted_uploads=history.interrupted_uploads,
        most_bytes_sent_again=history.most_sent_again,
        seconds_of_faults=round(suffered, 1),
        seconds_to_quiet=round(quiet, 1),
    )


def _report(rows: list[Series], seed: int) -> None:
    columns = ("kills", "posts", "acknowledged", "lost", "doubled", "stuck", "seconds_to_quiet")
    print("\n" + " | ".join(["series".ljust(34), *(column.replace("_", " ") for column in columns)]))
    for row in rows:
        cells = asdict(row)
        print(" | ".join([row.name.ljust(34), *(str(cells[name]).rjust(len(name)) for name in columns)]))
    machine = {"cpus": psutil.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    body = {"name": "kills", "at": at, **machine, "seed": seed, "series": [asdict(row) for row in rows]}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(body, indent=2) + "\n")
