"""Knows that the process is to end before the server does anything about it.

uvicorn lets open answers finish first and tells the application last, so a stream that never finishes would hold the
process back. `Shutdown` listens for the same signals, passes them on, and streams end by themselves.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Shutdown:
    """`begun` is set once the process was told to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for SIGTERM and SIGINT during the block; outside of the main thread it cannot, and does not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, Any] = {}

        def begin(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.begun.set)
            previous = before.get(signal.Signals(number))
            if callable(previous):
                previous(number, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            # Where nobody listens yet, as in tests, the default must keep ending the process.
            if callable(previous) and previous is not signal.default_int_handler:
                before[number] = signal.signal(number, begin)
        try:
            yield
        finally:
            self.begun.set()
            for number, previous in before.items():
                signal.signal(number, previous)
