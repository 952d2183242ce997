"""Leaves a part alone for a while after it failed, so that its outage slows nobody."""

from __future__ import annotations

import time

REST_SECONDS = 5.0


class Breaker:
    """Open for `seconds` after a failure: who asks `is_open` first waits for a dead part at most once in that time."""

    def __init__(self, seconds: float = REST_SECONDS) -> None:
        self.seconds = seconds
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._until

    def failed(self) -> None:
        self._until = time.monotonic() + self.seconds

    def succeeded(self) -> None:
        self._until = 0.0
