"""How long object storage may take before the site goes on without it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

CHECK_SECONDS = 1.0
"""For the question whether it is there at all."""
QUICK_SECONDS = 4.0
"""For whatever moves few bytes, and until the first bytes of an object come; trying again included."""
LIST_SECONDS = 20.0
"""For a page of a listing."""
COMPLETE_SECONDS = 60.0
"""For putting parts together."""
GRACE_SECONDS = 10.0
SLOWEST = 50_000
"""Bytes a second; a storage that takes or gives less is as good as away."""


def put_seconds(byte_size: int) -> float:
    """For storing this many bytes."""
    return GRACE_SECONDS + byte_size / SLOWEST


class Pace:
    """Notices bytes that drip. Only the waiting for them counts, not what the reader does between."""

    def __init__(self) -> None:
        self.waited, self.received = 0.0, 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for each piece. Raises TimeoutError."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.waited += time.monotonic() - began
        if self.waited > GRACE_SECONDS and self.received < SLOWEST * (self.waited - GRACE_SECONDS):
            raise TimeoutError(f"{self.received} bytes in {self.waited:.0f} seconds")
