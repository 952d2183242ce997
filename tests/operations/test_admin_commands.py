"""`strvsocial processes` and `audit`: the console tells what the admin's pages show, and is itself in the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from strvsocial.db import Database
from strvsocial.operations.heartbeats import Heartbeat
from strvsocial.settings import ROOT
from strvsocial.users import accounts


def _run(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "strvsocial", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


async def test_processes(database: Database) -> None:
    assert "No process" in _run("processes", "list")
    job = {"id": 7, "kind": "content.process_film", "since": "2026-01-01T00:00:00Z"}
    heartbeat = Heartbeat(database, "worker", lambda: {"lanes": {"long": 1}, "jobs": [job]})
    await heartbeat.beat()
    [told] = _run("processes", "list", "--json")["items"]
    assert (told["kind"], told["pid"], told["is_alive"]) == ("worker", os.getpid(), True)
    assert told["details"]["jobs"] == [job]
    assert "content.process_film (7)" in _run("processes", "list")
    await heartbeat.aclose()


async def test_what_the_console_does_is_written_down(database: Database) -> None:
    async with database.transaction() as db:
        await accounts.create_account(db, username="walter", email="walter@example.org", password=None)
    _run("user", "promote", "walter", "--dry-run")
    assert _run("audit", "list", "--json") == {"items": []}
    _run("user", "promote", "walter")
    _run("user", "suspend", "walter")
    told = [(entry["actor"], entry["action"], entry["about"]) for entry in _run("audit", "list", "--json")["items"]]
    assert told == [("console", "users.suspend", "walter"), ("console", "users.promote", "walter")]
    assert "users.promote" in _run("audit", "list", "--limit", "5")
