"""The embedded servers: real ones, started, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from strvsocial.local.leftovers import end_leftover
from strvsocial.local.lock import AlreadyRunning
from strvsocial.local.services import Services, running_services
from strvsocial.settings import ROOT

LAUNCHER = """
import sys, time, pathlib
from strvsocial.local.services import running_services
with running_services(pathlib.Path(sys.argv[1]), database="strv") as services:
    print(services.database_url, services.redis_url, services.postgres.process.pid, services.valkey.process.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running_services(tmp_path_factory.mktemp("data")) as services:
        yield services


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts launchers over one data directory."""
    launched: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        launched.append(
            subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, str(tmp_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            )
        )
        return launched[-1]

    yield start
    for process in launched:
        process.communicate(timeout=30)


async def _fetch(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_postgres_has_what_the_tables_need(services: Services) -> None:
    for extension in ("pg_trgm", "unaccent", "citext"):
        await _fetch(services.database_url, f"create extension if not exists {extension}")
    assert await _fetch(services.database_url, "select lower('ÉÀ')") == "éà"
    assert await _fetch(services.database_url, "select similarity('été', 'étés') >= 0.5")
    assert await _fetch(services.database_url, "show shared_buffers") == "128MB"
    assert await _fetch(services.database_url, "show timezone") == "UTC"


async def test_passwords_are_asked_for(services: Services) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _fetch(services.database_url.replace("@", "x@"), "select 1")
    assert services.valkey is not None
    with socket.create_connection(("127.0.0.1", services.valkey.port), 5) as connection:
        connection.sendall(b"GET x\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_no_password_shows_in_files_or_process_lists(services: Services) -> None:
    assert services.postgres is not None
    assert services.valkey is not None
    secrets = services.postgres.home.parent / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    passwords = json.loads(secrets.read_text())
    for server in (services.postgres, services.valkey):
        assert server.process is not None
        assert not set(passwords.values()) & set(psutil.Process(server.process.pid).cmdline())


def test_the_servers_do_not_run_as_root(services: Services) -> None:
    assert services.postgres is not None
    assert services.valkey is not None
    for server in (services.postgres, services.valkey):
        assert server.process is not None
        assert psutil.Process(server.process.pid).uids().effective != 0


def test_a_second_launcher_is_told(services: Services) -> None:
    assert services.postgres is not None
    with pytest.raises(AlreadyRunning), running_services(services.postgres.home.parent):
        raise AssertionError("two launchers shared one data directory")


async def test_a_killed_server_comes_back_with_its_data(services: Services) -> None:
    assert services.postgres is not None
    assert services.valkey is not None
    await _fetch(services.database_url, "create table kept as select 7 as n")
    async with Redis.from_url(services.redis_url) as redis:
        await redis.set("kept", "7")
    assert services.revive() == []
    for server in (services.postgres, services.valkey):
        assert server.process is not None
        server.process.kill()
        server.process.wait(10)
    assert services.revive() == ["PostgreSQL", "Valkey"]
    assert await _fetch(services.database_url, "select n from kept") == 7
    async with Redis.from_url(services.redis_url) as redis:
        assert await redis.get("kept") == b"7"


def test_named_servers_are_used_as_they_are(tmp_path: Path) -> None:
    mine, queue = "postgresql://me@db.example/site", "redis://cache.example:6379/3"
    with running_services(tmp_path, database_url=mine, redis_url=queue) as services:
        assert services == Services(mine, queue, None, None)
    assert not (tmp_path / "pg").exists()


async def test_data_survive_a_killed_launcher(launch: Callable[[], subprocess.Popen[str]]) -> None:
    first = launch()
    assert first.stdout is not None
    database, _, *pids = first.stdout.readline().split()
    servers = [psutil.Process(int(pid)) for pid in pids]
    await _fetch(database, "create table kept as select 7 as n")
    first.kill()
    gone, alive = psutil.wait_procs(servers, timeout=10)
    assert (len(gone), alive) == (2, [])
    second = launch()
    assert second.stdout is not None
    database, redis, *_ = second.stdout.readline().split()
    assert await _fetch(database, "select n from kept") == 7
    async with Redis.from_url(redis) as client:
        assert await client.ping()


async def test_a_lost_password_is_set_anew(launch: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    first = launch()
    assert first.stdout is not None
    assert first.stdout.readline()
    first.communicate(timeout=30)
    assert first.returncode == 0
    (tmp_path / "secrets.json").unlink()
    second = launch()
    assert second.stdout is not None
    database, *_ = second.stdout.readline().split()
    assert await _fetch(database, "select 1") == 1


def test_a_stale_pid_file_harms_nobody(tmp_path: Path) -> None:
    pid_file = tmp_path / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as bystander:
        pid_file.write_text(f"{bystander.pid}\n")
        end_leftover(pid_file, "postgres")
        assert bystander.poll() is None
        assert not pid_file.exists()
        bystander.send_signal(signal.SIGKILL)
