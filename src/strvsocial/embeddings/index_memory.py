"""Loading and saving an index takes and frees many large blocks; glibc would keep the holes for the life of the process."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back_memory() -> None:
    """Returns freed memory to the system where the C library can (glibc); nothing elsewhere. Milliseconds."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
