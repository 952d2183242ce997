"""How busy this process is, and how many requests it works on at once.

The event loop's delay says whether the processor keeps up: while it does, the room for requests grows towards its most;
when it does not, the room shrinks, and requests wait in line before the work begins, where waiting costs nothing. A line
that would take too long is not joined at all: see `strvsocial.web.shedding`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable

TICK_SECONDS = 0.02
SLOW_SECONDS = 0.03
"""A loop that comes this late has more to do than it can."""
LEAST, FIRST = 4, 16
LONGEST_WAIT = 2.0


class WaitedTooLong(Exception):
    """The line did not move as it had before."""


class Load:
    """The requests that run and those that wait in line; with `most` 0 nobody ever waits."""

    def __init__(self, most: int) -> None:
        self.most = max(LEAST, most) if most else sys.maxsize
        self.room = float(min(FIRST, self.most) if most else sys.maxsize)
        self.running = 0
        self.streams = 0
        self.delay = 0.0
        """How late the event loop came lately, in seconds."""
        self.mean_seconds = 0.02
        self.line: deque[asyncio.Future[None]] = deque()
        self._task: asyncio.Task[None] | None = None

    def start(self, pool_is_full: Callable[[], bool] = lambda: False) -> None:
        """Begins to feel the event loop. More requests do not help where they would only wait for `pool_is_full`."""
        self._task = asyncio.create_task(self._feel(pool_is_full), name="load")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def expected_wait(self) -> float:
        """Seconds that a request which comes now would stand in line."""
        if not self.line and self.running < int(self.room):
            return 0.0
        return (len(self.line) + 1) * self.mean_seconds / self.room

    async def enter(self) -> None:
        """Waits for a place; `leave()` gives it back.

        Raises:
            WaitedTooLong: there was none for two seconds.
        """
        if not self.line and self.running < int(self.room):
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.line.append(turn)
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._free()
            elif turn in self.line:
                self.line.remove(turn)
            if isinstance(error, TimeoutError):
                raise WaitedTooLong from error
            raise

    def leave(self, seconds: float) -> None:
        """Gives the place back after so many seconds of work."""
        self.mean_seconds += (seconds - self.mean_seconds) * 0.05
        self._free()

    def adjust(self, delay: float, *, pool_is_full: bool = False) -> None:
        """Makes more or less room, by how late the loop came."""
        self.delay += (delay - self.delay) * 0.3
        if self.most == sys.maxsize:
            return
        if self.delay > SLOW_SECONDS:
            self.room = max(LEAST, self.room * 0.8)
        elif self.running >= int(self.room) and not pool_is_full:
            self.room = min(self.most, self.room + 1)
        self._let_in()

    def _free(self) -> None:
        self.running -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self.line and self.running < int(self.room):
            turn = self.line.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    async def _feel(self, pool_is_full: Callable[[], bool]) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            self.adjust(max(0.0, time.monotonic() - before - TICK_SECONDS), pool_is_full=pool_is_full())
