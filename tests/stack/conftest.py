"""The whole site as a server runs it: the Procfile's processes under honcho, PostgreSQL behind PgBouncer, media in an S3
bucket, nginx in front with the configuration that we ship, the packaged weights, and Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from tests.browser.conftest import assets, browser, open_page
from tests.front_door import environment_of
from tests.nginx import Nginx, media_of, running_nginx
from tests.pgbouncer import Pooler
from tests.s3 import S3Server

from strvsocial.local.ports import free_port
from strvsocial.local.procfile import read_procfile
from strvsocial.settings import ROOT, Settings

__all__ = ["assets", "browser", "open_page"]

PROCESSES = ("web", "worker", "embedder")


class Stack(NamedTuple):
    """A running site; `address` is nginx's. `log` is what honcho writes: every process, a JSON object a line."""

    settings: Settings
    nginx: Nginx
    log: Path

    @property
    def address(self) -> str:
        return self.nginx.address

    def lines(self) -> list[dict[str, Any]]:
        """What the processes have logged, with `process` added; lines that are no JSON as `event`, of level `error`."""
        found = []
        for line in self.log.read_text().splitlines():
            name, _, said = line.partition("|")
            if name.split()[-1] != "system":
                said = said.strip()
                entry = json.loads(said) if said.startswith("{") else {"event": said, "level": "error"}
                found.append({**entry, "process": name.split()[-1]})
        return found


@pytest.fixture(scope="module")
def way(pooler: Pooler) -> Pooler:
    return pooler


@pytest.fixture(scope="module")
def stack(
    settings: Settings, s3_server: S3Server, assets: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    port = free_port()
    changed = {
        **s3_server.settings(f"stack-{port}"),
        "redis_url": urlsplit(settings.redis_url)._replace(path="/6").geturl(),
        "port": port,
        "trusted_proxies": "127.0.0.1",
        "media_accel": "nginx",
        "rate_limits": True,
        "log_format": "json",
    }
    with running_stack(settings.model_copy(update=changed), tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@contextmanager
def running_stack(settings: Settings, folder: Path) -> Iterator[Stack]:
    """nginx, and behind it the Procfile's processes on these settings."""
    web = f"http://127.0.0.1:{settings.port}"
    with running_nginx(folder / "nginx", web, more=media_of(settings)) as nginx:
        stack = Stack(settings.model_copy(update={"public_url": nginx.address}), nginx, folder / "honcho.log")
        with honcho(stack, web):
            yield stack


@contextmanager
def honcho(stack: Stack, web: str) -> Iterator[None]:
    """The release command, then the Procfile's processes until the block ends."""
    environment = {
        **environment_of(stack.settings),
        "HOST": "127.0.0.1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    release = read_procfile(ROOT / "Procfile")["release"]
    subprocess.run(["/bin/sh", "-c", release], cwd=ROOT, env=environment, check=True, capture_output=True)
    program = shutil.which("honcho", path=environment["PATH"])
    assert program, "the development requirements bring honcho"
    nothing = stack.log.with_name("nothing.env")
    nothing.touch()
    with stack.log.open("wb") as output:
        process = subprocess.Popen(
            [program, "start", "--no-colour", "-e", str(nothing), "-p", str(stack.settings.port), *PROCESSES],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_ready(stack, web, process)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(stack: Stack, web: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    said = None
    while time.monotonic() < deadline:
        assert process.poll() is None, f"honcho ended:\n{stack.log.read_text()[-3000:]}"
        try:
            said = httpx.get(f"{web}/readyz", timeout=5)
            if said.is_success and said.json()["status"] == "ready":
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready: {said.text if said else None}\n{stack.log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def address(stack: Stack) -> str:
    """Where browsers find the site; see `open_page`."""
    return stack.address
