"""The whole site by one command: up, told twice, killed, up again, stopped; nothing left behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from strvsocial.local.ports import free_port
from strvsocial.settings import ROOT


class Launcher:
    """A running `make up`, without the installing."""

    def __init__(self, data_dir: Path, port: int) -> None:
        private = ("DATABASE_URL", "REDIS_URL", "HOST")
        self.env = {name: value for name, value in os.environ.items() if name not in private}
        self.env |= {
            "PYTHONPATH": str(ROOT / "src"),
            "STRV_DATA_DIR": str(data_dir),
            "PORT": str(port),
            "STRV_DEMO": "off",
            "STRV_MODELS": "/nowhere",  # Nothing to embed here: the embedder waits for weights.
        }
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "strvsocial.local.up"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env,
            cwd=ROOT,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def wait_for(self, words: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.seen or words not in self.seen[-1]:
            try:
                self.seen.append(self.lines.get(timeout=max(0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{words!r} was not said:\n{''.join(self.seen)}") from None

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        return next(child for child in self.children() if words in " ".join(child.cmdline()))


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def up(tmp_path: Path, port: int) -> Iterator[list[Launcher]]:
    """Launchers over one data directory; all are stopped in the end."""
    launched: list[Launcher] = []
    yield launched
    for launcher in launched:
        launcher.process.terminate()
        launcher.process.wait(20)


def _strvsocial(launcher: Launcher, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in launcher.env.items() if name != "PORT"}
    return subprocess.run(
        [sys.executable, "-m", "strvsocial", *arguments], capture_output=True, text=True, check=False, env=env
    )


@pytest.mark.timeout(180)
def test_a_site_comes_up_survives_and_stops(up: list[Launcher], tmp_path: Path, port: int) -> None:
    up.append(Launcher(tmp_path, port))
    up[0].wait_for(f"is up: http://localhost:{port}")
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    assert "server" not in httpx.get(f"http://127.0.0.1:{port}/livez").headers

    again = subprocess.run(
        [sys.executable, "-m", "strvsocial.local.up"], capture_output=True, text=True, check=False, env=up[0].env
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert f"http://localhost:{port}" in again.stdout
    found = json.loads(_strvsocial(up[0], "settings", "check", "--json").stdout)["settings"]
    assert {"name": "PORT", "value": port, "source": "make up"} in found

    children = up[0].children()
    assert len(children) >= 5
    up[0].process.kill()
    up[0].process.wait(10)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []

    up.append(Launcher(tmp_path, port))
    up[1].wait_for(f"is up: http://localhost:{port}")
    up[1].child("strvsocial.worker worker").kill()
    up[1].wait_for("ended (SIGKILL); starting it again")
    up[1].child("valkey-server").kill()
    up[1].wait_for("Valkey had ended and runs again.")
    children = up[1].children()
    began = time.monotonic()
    up[1].process.send_signal(signal.SIGINT)
    assert up[1].process.wait(20) == 0
    assert time.monotonic() - began < 10
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert not (tmp_path / "run.json").exists()


def test_a_taken_port_is_told(up: list[Launcher], tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        up.append(Launcher(tmp_path, taken))
        up[0].wait_for(f"Something else listens on port {taken}")
        up[0].wait_for(f"PORT={taken + 1} make up")
        assert up[0].process.wait(20) == 1


def test_a_bad_port_is_told(up: list[Launcher], tmp_path: Path) -> None:
    up.append(Launcher(tmp_path, 99999))
    up[0].wait_for("PORT is '99999'")
    assert up[0].process.wait(20) == 1
