"""What watches a process from its start to its end, where the settings want it: traces and reports of failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from strvsocial import incidents, traces
from strvsocial.settings import Settings


@contextmanager
def watched(settings: Settings, process: str) -> Iterator[None]:
    """Watches during the block; at its end what was not sent yet is sent, for a few seconds at most."""
    traces.start(settings, process)
    incidents.start(settings, process)
    try:
        yield
    finally:
        traces.stop()
        incidents.stop()
