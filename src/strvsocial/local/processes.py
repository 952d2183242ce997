"""The Procfile's processes, each kept alive: started again, later and later, when it dies; its lines shown and kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from strvsocial.local.children import dies_with_us, rotate
from strvsocial.local.steps import paint, say

COLOURS = ("36", "33", "35", "34", "32")
STEADY_SECONDS = 10
"""A process that ran this long starts again at once when it dies: it can run, something else ended it."""
LONGEST_PAUSE = 15.0


@dataclass
class Keeper:
    """Keeps one process running until `stop()`."""

    name: str
    command: str
    env: Mapping[str, str]
    cwd: Path
    log: Path
    colour: str = "36"
    forever: bool = True
    on_exit: Callable[[int], None] = lambda code: None
    deaths: int = 0
    process: Process | None = None
    _task: asyncio.Task[None] | None = None
    _stopping: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        rotate(self.log)
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self.name}")

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def stop(self, seconds: float) -> None:
        """Asks the process to end and, after `seconds`, makes it."""
        self._stopping = True
        if self._task is None:
            return
        if self.is_running and self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            for patience in (seconds, 2.0):
                try:
                    async with asyncio.timeout(patience):
                        await self._ended.wait()
                    break
                except TimeoutError:  # With what it started: they share its session.
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self.process.pid, signal.SIGKILL)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        pause = 0.5
        while True:
            started = time.monotonic()
            code = await self._run_once()
            self.on_exit(code)
            if self._stopping or not self.forever:
                return
            self.deaths += 1
            if time.monotonic() - started > STEADY_SECONDS:
                pause = 0.5
            self._say(f"ended ({_how(code)}); starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_once(self) -> int:
        self._ended.clear()
        # Killed outright when we vanish: its work is leased and taken up again, and the next start finds the port free.
        self.process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            f"exec {self.command}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=dict(self.env),
            cwd=self.cwd,
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGKILL),
        )
        try:
            await self._show(self.process)
            return await self.process.wait()
        finally:
            self._ended.set()

    async def _show(self, process: Process) -> None:
        """Hands on the process's output until it ends. A grandchild that holds the pipe does not hold us."""
        assert process.stdout is not None
        reading = asyncio.create_task(self._read_lines(process.stdout))
        await process.wait()
        try:
            async with asyncio.timeout(1):
                await reading
        except TimeoutError:
            pass

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        with self.log.open("ab") as kept:
            while piece := await stream.read(65536):
                kept.write(piece)
                kept.flush()
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._say(line.decode(errors="replace").rstrip("\r"))
                if len(rest) > 100_000:
                    rest = b""
        if rest:
            self._say(rest.decode(errors="replace"))

    def _say(self, line: str) -> None:
        say(f"{paint(f'{self.name:<9}', self.colour)}| {line}")


def _how(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
