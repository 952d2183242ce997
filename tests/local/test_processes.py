"""The Procfile, and what keeps its processes alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from strvsocial.local.children import tail
from strvsocial.local.first_run import FirstRun
from strvsocial.local.problems import LocalProblem
from strvsocial.local.processes import Keeper
from strvsocial.local.procfile import read_procfile
from strvsocial.local.services import Services
from strvsocial.local.surroundings import announced, process_environment, read_run
from strvsocial.settings import ROOT, Settings


def test_the_procfile_has_what_operators_run() -> None:
    commands = read_procfile(ROOT / "Procfile")
    assert list(commands) == ["release", "web", "worker", "embedder"]
    assert re.search(r"--port \$\{?PORT", commands["web"])
    assert "--host ${HOST:-0.0.0.0}" in commands["web"]
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in commands.values():
        assert shutil.which(command.split()[0], path=programs), command


@pytest.mark.parametrize("process", ["worker", "embedder"])
def test_the_workers_listen_to_their_queues(process: str, settings: Settings) -> None:
    """arq takes our settings, and the Procfile names a process that there is."""
    name = read_procfile(ROOT / "Procfile")[process].split()[-1]
    code = (
        "import sys; from strvsocial.doorbell import Listening; from strvsocial.worker import PROCESSES;"
        "worker = Listening(**PROCESSES[sys.argv[1]], handle_signals=False);"
        "print(worker.queue_name, len(worker.functions), len(worker.cron_jobs))"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:1] == [f"strv:{process}"]


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("# fine\n\nweb: run it\nnonsense\n")
    with pytest.raises(LocalProblem, match=r"Procfile:4 .*nonsense"):
        read_procfile(path)


def _keeper(tmp_path: Path, command: str) -> Keeper:
    return Keeper("probe", command, dict(os.environ), tmp_path, tmp_path / "probe.log")


async def _until(log: Path, count: int) -> list[str]:
    """The lines of a log, once there are `count` of them."""
    async with asyncio.timeout(20):
        while len(lines := tail(log).splitlines()) < count:
            await asyncio.sleep(0.05)
    return lines


async def test_a_killed_process_runs_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = _keeper(tmp_path, "sh -c 'echo $$; exec sleep 60'")
    keeper.start()
    [first] = await _until(keeper.log, 1)
    os.kill(int(first), signal.SIGKILL)
    _, second = await _until(keeper.log, 2)
    assert first != second
    assert keeper.deaths == 1
    await keeper.stop(5)
    assert not psutil.pid_exists(int(second))
    shown = capsys.readouterr().out
    assert "probe    | ended (SIGKILL); starting it again in 0.5 s" in shown
    assert f"probe    | {second}" in shown


async def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    keeper = _keeper(tmp_path, """sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done'""")
    keeper.start()
    [pid] = await _until(keeper.log, 1)
    await keeper.stop(0.3)
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


async def test_a_one_off_process_is_not_started_again(tmp_path: Path) -> None:
    codes: list[int] = []
    keeper = _keeper(tmp_path, "sh -c 'exit 3'")
    keeper.forever, keeper.on_exit = False, codes.append
    keeper.start()
    async with asyncio.timeout(10):
        while not codes:
            await asyncio.sleep(0.02)
    assert (codes, keeper.deaths) == ([3], 0)
    await keeper.stop(1)


def test_processes_see_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    services = Services("postgresql://here/strv", "redis://here/0")
    env = process_environment(services, tmp_path, 8123)
    assert (env["DATABASE_URL"], env["REDIS_URL"]) == (services.database_url, services.redis_url)
    assert (env["HOST"], env["PORT"], env["STRV_DATA_DIR"]) == ("127.0.0.1", "8123", str(tmp_path))
    assert (env["OMP_NUM_THREADS"], env["MALLOC_ARENA_MAX"]) == ("7", "2")


def test_the_console_finds_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STRV_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://past-the-pooler/strv")
    services = Services("postgresql://here/strv", "redis://here/0")
    with contextlib.suppress(KeyboardInterrupt), announced(services, tmp_path, 8123):
        monkeypatch.delenv("DATABASE_DIRECT_URL")
        found = Settings()
        assert found.direct_url == "postgresql://past-the-pooler/strv"
        assert (found.database_url, found.redis_url, found.port) == (services.database_url, services.redis_url, 8123)
        assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
        raise KeyboardInterrupt
    assert read_run(tmp_path) == {}
    assert Settings().port == 8000


def test_the_first_run_decides_about_demo_content(tmp_path: Path) -> None:
    first_run = FirstRun(tmp_path)
    assert first_run.wants_demo(True)
    assert first_run.wants_demo(True), "it was not loaded whole"
    assert not first_run.wants_demo(False)
    first_run.loaded()
    assert not first_run.wants_demo(True)


def test_a_site_that_began_empty_stays_empty(tmp_path: Path) -> None:
    assert not FirstRun(tmp_path).wants_demo(False)
    assert not FirstRun(tmp_path).wants_demo(True)
