"""Room for work on the worker's disk: a decoder that finds none fails in ways that look like a damaged file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from strvsocial.errors import Unavailable

log = structlog.get_logger()

LEAST_BYTES = 4 * 1024 * 1024
"""Where less is left after a failure, the disk is to blame and not the file."""


class NoRoom(Unavailable):
    message = "The worker's disk is full."


@contextmanager
def blaming_the_disk(folder: Path) -> Iterator[None]:
    """Raises NoRoom for whatever fails in the block while the disk of `folder` is full."""
    try:
        yield
    except NoRoom:
        raise
    except Exception as error:
        is_said = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_said or _is_full(folder):
            log.error("media.no_room", folder=str(folder.parent), error=repr(error)[:200])
            raise NoRoom from error
        raise


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < LEAST_BYTES or (disk.f_files > 0 and not disk.f_favail)
