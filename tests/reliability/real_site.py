"""A whole site as `make up` runs it, whose processes may be killed: servers, web, worker, embedder, and their keeper."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
from redis.asyncio import Redis

from strvsocial.local.ports import free_port
from strvsocial.settings import ROOT

COMMANDS = {
    "web": "strvsocial.app:create_app",
    "worker": "strvsocial.worker worker",
    "embedder": "strvsocial.worker embedder",
    "postgres": "bin/postgres -D",
    "valkey": "valkey-server",
}
_PRIVATE = ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "HOST")


class RealSite:
    """One site over `data_dir`. Only processes that it started itself are ever killed."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir, self.port = data_dir, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
        self.environment = {
            **{name: value for name, value in kept.items() if not name.startswith(("STRV_", "AWS_"))},
            "PYTHONPATH": str(ROOT / "src"),
            "STRV_DATA_DIR": str(data_dir),
            "STRV_DEMO": "off",
            "STRV_RATE_LIMITS": "off",
            **environment,
        }
        data_dir.mkdir(parents=True, exist_ok=True)
        self.said = data_dir / "site.log"
        with self.said.open("wb") as output:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "strvsocial.local.up"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, "PORT": str(self.port)},
                cwd=ROOT,
            )

    def find(self, name: str) -> psutil.Process | None:
        """The running process called `name`, below our launcher."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.launcher.pid).children(recursive=True):
                with suppress(psutil.Error):
                    is_alive = child.status() != psutil.STATUS_ZOMBIE
                    if is_alive and COMMANDS[name] in " ".join(child.cmdline()):
                        return child
        return None

    async def kill(self, name: str) -> None:
        """SIGKILL to `name`, once it runs."""
        async with asyncio.timeout(30):
            while (process := self.find(name)) is None:
                await asyncio.sleep(0.05)
        process.kill()

    async def kill_at_random(self, rng: random.Random, names: list[str], pauses: tuple[float, float]) -> None:
        """Kills each of `names` in turn, with random pauses before."""
        for name in names:
            await asyncio.sleep(rng.uniform(*pauses))
            await self.kill(name)

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "run.json").read_text())
        return found

    async def until_ready(self, seconds: float = 90) -> float:
        """Waits until the web process says that nothing is amiss; how long that took."""
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=self.address, timeout=5) as client:
            while True:
                with suppress(httpx.HTTPError):
                    answer = await client.get("/readyz")
                    if answer.status_code == 200 and answer.json()["status"] == "ready":
                        return time.monotonic() - began
                assert self.launcher.poll() is None, self.said.read_text()[-3000:]
                assert time.monotonic() - began < seconds, self.said.read_text()[-3000:]
                await asyncio.sleep(0.1)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.run["database_url"], timeout=10)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close(timeout=5)

    async def flush(self) -> None:
        """FLUSHALL: everything in Redis is gone."""
        async with Redis.from_url(self.run["redis_url"]) as redis:
            await redis.flushall()

    async def strvsocial(self, *arguments: str) -> tuple[int, Any]:
        """The exit status and the JSON answer of the console program."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "strvsocial", *arguments, "--json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self.environment, cwd=ROOT,
        )  # fmt: skip
        output, errors = await process.communicate()
        assert output, errors.decode()
        return process.returncode or 0, json.loads(output)

    def stop(self) -> None:
        self.launcher.terminate()
        try:
            self.launcher.wait(20)
        except subprocess.TimeoutExpired:
            self.launcher.kill()
            self.launcher.wait(10)


@asynccontextmanager
async def real_site(data_dir: Path, **environment: str) -> AsyncIterator[RealSite]:
    site = RealSite(data_dir, **environment)
    try:
        await site.until_ready()
        yield site
    finally:
        await asyncio.to_thread(site.stop)


async def until(holds: Callable[[], Any], seconds: float, what: str) -> float:
    """Waits until the awaited answer of `holds` is true; how long that took. Outages on the way are waited out."""
    began = time.monotonic()
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, httpx.HTTPError):
            if await holds():
                return time.monotonic() - began
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.2)
