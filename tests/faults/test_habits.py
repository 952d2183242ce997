"""Habits that keep outages short, held by reading the code: every call to the outside has an end; PostgreSQL has the clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from strvsocial import lanes
from strvsocial.settings import ROOT

SOURCES = sorted((ROOT / "src" / "strvsocial").rglob("*.py"))
LIMITS = {
    "Redis.from_url": {"socket_timeout", "socket_connect_timeout"},
    "asyncpg.connect": {"timeout"},
    "create_async_engine": {"pool_timeout", "connect_args"},
    "Config": {"connect_timeout", "read_timeout", "retries"},
    "urllib.request.urlopen": {"timeout"},
    "socket.create_connection": {"timeout"},
    "httpx.AsyncClient": {"timeout"},
    "httpx.Client": {"timeout"},
    "httpx.get": {"timeout"},
    "aiohttp.ClientSession": {"timeout"},
    "smtplib.SMTP": {"timeout"},
}
"""What opens a way to another machine, and the names of the limits that it must be given."""
_SECOND_IS_TIMEOUT = {"socket.create_connection"}
_SAME_NAME_ELSEWHERE = {("operations/service_checks.py", "Config"), ("backups/commands.py", "Config")}
"""Alembic's configuration, which opens nothing."""
TIMED_BY_POSTGRESQL = ("users/sessions.py", "users/tokens.py", "media/uploads.py")
THIS_MACHINES_CLOCK = {"datetime.now", "datetime.utcnow", "time.time", "date.today"}


def calls_in(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text())
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def unlimited(path: Path) -> list[str]:
    """The calls in a file that might wait for ever."""
    found = []
    for name, call in calls_in(path):
        wanted = LIMITS.get(name)
        place = (str(path.relative_to(ROOT / "src" / "strvsocial")) if path.is_relative_to(ROOT) else path.name, name)
        if wanted is None or place in _SAME_NAME_ELSEWHERE:
            continue
        given = {keyword.arg for keyword in call.keywords}
        if not wanted <= given and not (name in _SECOND_IS_TIMEOUT and len(call.args) > 1):
            found.append(f"{place[0]}:{call.lineno}: {name} without {', '.join(sorted(wanted - given))}")
    return found


def test_nothing_waits_for_ever() -> None:
    assert [problem for path in SOURCES for problem in unlimited(path)] == []


def test_the_rule_sees_what_it_is_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("redis = Redis.from_url(url, socket_timeout=1)\nsocket.create_connection(address)\n")
    assert [problem.split(": ", 1)[1] for problem in unlimited(bad)] == [
        "Redis.from_url without socket_connect_timeout",
        "socket.create_connection without timeout",
    ]


@pytest.mark.parametrize("name", TIMED_BY_POSTGRESQL)
def test_leases_and_sessions_are_timed_by_postgresql(name: str) -> None:
    """A machine whose clock is an hour off must not take over living jobs or end sessions: `now()` decides."""
    told = {call for call, _ in calls_in(ROOT / "src" / "strvsocial" / name)}
    assert told & THIS_MACHINES_CLOCK == set()


def test_a_lease_begins_and_ends_by_postgresqls_clock() -> None:
    for statement in (lanes._CLAIM, lanes._RENEW, lanes._EXPIRED):
        assert "lease_until = now() + make_interval" in str(statement)
        assert not {":now", ":until", ":at"} & set(str(statement).split())
