"""Real uvicorn processes for benchmarks, on free ports of the loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from strvsocial.settings import ROOT, Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(
    target: str, port: int, probe: str, *, factory: bool = True
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One uvicorn worker that serves `target`; up when `probe` answers 200 and `ready`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", *(("--factory",) if factory else ()), target),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"),
        *("--http", "strvsocial.web.connections:Connection"),
        cwd=ROOT,
        env={
            "STRV_LOG_LEVEL": "WARNING",
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(Path(__file__).parent))),
        },
    )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}{probe}")
                    if answer.status_code == 200 and "rebuilding" not in answer.text and "degraded" not in answer.text:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()


@asynccontextmanager
async def running_web(
    settings: Settings, port: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """The site itself, ready, and a client of it."""
    async with (
        running("strvsocial.app:create_app", port, "/readyz") as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield process, client
