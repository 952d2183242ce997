"""Which processes run the site, by their signs of life."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.operations.queues import KINDS, TITLES
from strvsocial.operations.samples import LIVE_SECONDS

KIND_TITLES = {"web": "Web", "worker": "Worker", "embedder": "Embedder"}
WITHOUT = {
    "web": "Nobody is served.",
    "worker": "Posts with pictures, sound or films stay unfinished.",
    "embedder": "New posts are found by their words, and by nothing else.",
}
"""What does not happen while no process of a kind runs."""

_LIST = text(
    """
    select id, kind, host, pid, version, details, started_at, seen_at,
      seen_at > now() - make_interval(secs => :live) as is_alive
    from processes order by array_position(array['web', 'worker', 'embedder'], kind::text), is_alive desc, started_at, id
    """
)


class RunningJob(msgspec.Struct, frozen=True):
    """A job that a process works on."""

    id: int
    kind: str
    since: datetime

    @property
    def title(self) -> str:
        return KINDS.get(self.kind, self.kind)


class Details(msgspec.Struct, frozen=True):
    """What a process tells with its signs of life: bytes of memory, then by kind lanes and jobs, or requests and streams."""

    rss: int = 0
    lanes: dict[str, int] = {}
    jobs: list[RunningJob] = []
    requests: float | None = None
    errors: float = 0
    streams: int = 0

    @property
    def lanes_told(self) -> str:
        return " · ".join(f"{TITLES.get(queue, queue)}: {width} at a time" for queue, width in self.lanes.items())


class ProcessView(msgspec.Struct, frozen=True):
    """A process that is alive, or that died within the last day."""

    id: str
    kind: str
    host: str
    pid: int
    version: str
    details: Details
    started_at: datetime
    seen_at: datetime
    is_alive: bool

    @property
    def title(self) -> str:
        return KIND_TITLES.get(self.kind, self.kind)


async def list_processes(reader: AsyncConnection) -> list[ProcessView]:
    """Every process that was seen within a day, the web first, the living before the dead."""
    rows = await reader.execute(_LIST, {"live": LIVE_SECONDS})
    return [ProcessView(**{**row._mapping, "details": _read_details(row.details)}) for row in rows]


def missing_kinds(processes: list[ProcessView]) -> dict[str, str]:
    """The kinds of which none is alive, each with what does not happen meanwhile."""
    alive = {process.kind for process in processes if process.is_alive}
    return {kind: told for kind, told in WITHOUT.items() if kind not in alive}


def _read_details(told: dict[str, Any]) -> Details:
    try:
        return msgspec.convert(told, Details)
    except msgspec.ValidationError:  # Another version may tell other things.
        return Details()
