"""Runs the site: starts the processes, tells when pages answer, keeps everything alive, stops it in order."""

from __future__ import annotations

import asyncio
import http.client
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from strvsocial.local.first_run import COMMAND, FirstRun
from strvsocial.local.problems import LocalProblem
from strvsocial.local.processes import COLOURS, Keeper
from strvsocial.local.services import Services
from strvsocial.local.steps import paint, say

STOP_SECONDS = 5.5
WATCH_SECONDS = 0.5
PATIENCE = 90.0
"""How long the pages may take to answer for the first time, in seconds."""


@dataclass
class Supervisor:
    """`run()` returns when a signal asks for the end."""

    commands: Mapping[str, str]
    services: Services
    env: Mapping[str, str]
    root: Path
    data_dir: Path
    port: int
    demo: bool
    keepers: list[Keeper] = field(default_factory=list)
    _end: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end.set)
        try:
            for name, command in self.commands.items():
                self._start(name, command)
            if await self._pages_answer():
                say(f"\n  {paint('STRV.social is up:', '1')} {self.address}   (Ctrl-C stops it)\n")
                self._load_demo()
                await self._watch()
        finally:
            say("\nStopping …")
            await asyncio.gather(*(keeper.stop(STOP_SECONDS) for keeper in self.keepers))

    def _start(self, name: str, command: str) -> Keeper:
        colour = COLOURS[len(self.keepers) % len(COLOURS)]
        log = self.data_dir / "logs" / f"{name}.log"
        keeper = Keeper(name, command, self.env, self.root, log, colour)
        self.keepers.append(keeper)
        keeper.start()
        return keeper

    async def _pages_answer(self) -> bool:
        """Waits for the first page; False when the end came first. Raises LocalProblem when the web process cannot."""
        deadline = time.monotonic() + PATIENCE
        web = next(keeper for keeper in self.keepers if keeper.name == "web")
        while not self._end.is_set():
            statuses = [await asyncio.to_thread(_answers, self.port, path) for path in ("/livez", "/")]
            if all(status is not None and status < 400 for status in statuses):
                return True
            if web.deaths >= 3 or time.monotonic() > deadline:
                failing = next((status for status in statuses if status), None)
                said = f"answers with status {failing}" if failing else "does not answer"
                raise LocalProblem(f"The web process {said}.", f"What it said is above and in {web.log}.")
            await self._pause(0.2)
        return False

    async def _watch(self) -> None:
        pause = WATCH_SECONDS
        while not self._end.is_set():
            await self._pause(pause)
            try:
                for name, server in self.services.respawn():
                    # In a thread: recovery may take a while, and somebody must go on reading what the processes say.
                    await asyncio.to_thread(server.wait_until_ready)
                    say(f"{name} had ended and runs again.")
                pause = WATCH_SECONDS
            except LocalProblem as problem:
                say(f"{problem.message}\n{problem.hint}")
                pause = min(pause * 2, 15)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._end.wait()
        except TimeoutError:
            pass

    def _load_demo(self) -> None:
        first_run = FirstRun(self.data_dir)
        if not first_run.wants_demo(self.demo):
            return

        def ended(code: int) -> None:
            if code == 0:
                first_run.loaded()
            elif not self._end.is_set():
                say(
                    f"The demo content could not be loaded (exit code {code}); the site works without it. Again: {COMMAND}"
                )

        keeper = Keeper("demo", COMMAND, self.env, self.root, self.data_dir / "logs" / "demo.log", "90", forever=False)
        keeper.on_exit = ended
        self.keepers.append(keeper)
        keeper.start()


def _answers(port: int, path: str) -> int | None:
    """The status of a page, or None when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
