"""One launcher for a data directory. The lock is the kernel's (flock), so that it ends with its holder, kill -9 included."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another launcher holds the data directory."""


@contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Holds the data directory. Raises AlreadyRunning when another process does."""
    with (data_dir / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(str(data_dir)) from error
        yield
