"""Leaves a part alone for a while after it failed, so that its outage slows nobody."""

from __future__ import annotations

import time

REST_SECONDS = 5.0


class Breaker:
    """Open for `seconds` after so many `failures` in a row: a dead part is waited for at most that often in this time."""

    def __init__(self, seconds: float = REST_SECONDS, failures: int = 1) -> None:
        self.seconds, self.failures = seconds, failures
        self._failed = 0
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._until

    def failed(self) -> None:
        self._failed += 1
        if self._failed >= self.failures:
            self._until = time.monotonic() + self.seconds

    def succeeded(self) -> None:
        self._failed, self._until = 0, 0.0
