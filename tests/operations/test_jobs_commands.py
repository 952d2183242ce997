"""`strvsocial jobs`: count, list, try again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import text

from strvsocial.db import Database
from strvsocial.settings import ROOT

_DEAD = text(
    """
    insert into jobs (queue, kind, payload, state, attempts, last_error, dedupe_key, finished_at)
    values ('quick', 'test.die', '{"n": 1}', 'dead', 3, 'first line\nTrueError: it broke', :key, now()) returning id
    """
)


def _run(*arguments: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "strvsocial", "jobs", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


async def _dead(database: Database, key: str | None = None) -> int:
    async with database.transaction() as db:
        return int(await db.scalar(_DEAD, {"key": key}) or 0)


async def _states(database: Database) -> dict[int, tuple[str, int]]:
    async with database.read() as reader:
        rows = await reader.execute(text("select id, state, attempts from jobs"))
        return {row.id: (row.state, row.attempts) for row in rows}


@pytest.mark.usefixtures("clean")
async def test_listing(database: Database) -> None:
    job = await _dead(database)
    told = _run("list", "--json")
    assert [(count["kind"], count["state"], count["count"]) for count in told["counts"]] == [("test.die", "dead", 1)]
    assert [(row["id"], row["payload"], row["attempts"]) for row in told["jobs"]] == [(job, {"n": 1}, 3)]
    shown = _run("list")
    assert "TrueError: it broke" in shown
    assert "\x1b[" not in shown
    assert _run("list", "--state", "queued", "--json")["jobs"] == []


@pytest.mark.usefixtures("clean")
async def test_retrying_by_id(database: Database) -> None:
    first, second = await _dead(database), await _dead(database)
    assert [row["id"] for row in _run("retry", str(first), "--dry-run", "--json")["jobs"]] == [first]
    assert (await _states(database))[first] == ("dead", 3)
    assert [row["id"] for row in _run("retry", str(first), "--json")["jobs"]] == [first]
    assert await _states(database) == {first: ("queued", 0), second: ("dead", 3)}
    assert _run("retry", str(first), "--json", code=1)["not_retried"] == [first]


@pytest.mark.usefixtures("clean")
async def test_retrying_all(database: Database) -> None:
    alone, older, newer = await _dead(database), await _dead(database, "same"), await _dead(database, "same")
    assert {row["id"] for row in _run("retry", "--all-dead", "--json")["jobs"]} == {alone, newer}
    assert await _states(database) == {alone: ("queued", 0), older: ("dead", 3), newer: ("queued", 0)}


@pytest.mark.usefixtures("clean")
async def test_an_equal_waiting_wish_stands_for_the_dead_one(database: Database) -> None:
    job = await _dead(database, "same")
    async with database.transaction() as db:
        await db.execute(text("insert into jobs (queue, kind, dedupe_key) values ('quick', 'test.die', 'same')"))
    assert _run("retry", str(job), "--json", code=1)["jobs"] == []
    assert (await _states(database))[job] == ("dead", 3)


def test_one_must_say_which() -> None:
    _run("retry", code=2)
