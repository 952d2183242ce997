"""The plots of the admin pages: which figures each shows, over which time, in which words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.jobs import QUEUES
from strvsocial.operations import samples
from strvsocial.operations.plots import Plot, Range, Series, Value, draw
from strvsocial.operations.queues import TITLES
from strvsocial.operations.samples import STOCK_EVERY, Point
from strvsocial.web.formats import compact, duration, size

KINDS = {"image": "Photos", "gif": "GIFs", "audio": "Sound", "video": "Video"}
SECONDS = (1, 2, 4, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 4 * 3600, 8 * 3600, 86_400, 2 * 86_400)

Found = dict[str, list[Point]]


async def draw_queues(reader: AsyncConnection, span: Range) -> list[Plot]:
    """How many jobs wait, how long the oldest has waited, how many are done a minute: by queue."""
    now = datetime.now(UTC)
    names = [f"{name}.{queue}" for name in ("waiting", "oldest", "done") for queue in QUEUES]
    found = await samples.read(reader, names, now - span.length, span.step)
    waiting, oldest = _highest(found, "waiting"), _highest(found, "oldest")
    done = [
        Series(TITLES[queue], f"tone-{n}", [Value(point.at, point.mean) for point in found[f"done.{queue}"]])
        for n, queue in enumerate(QUEUES, 1)
    ]
    return [
        draw("waiting", "Waiting jobs", waiting, span, now, say_count),
        draw("oldest", "Longest wait", oldest, span, now, duration, ladder=SECONDS),
        draw("done", "Jobs done per minute", done, span, now, say_count, is_stacked=True),
    ]


async def draw_requests(reader: AsyncConnection, span: Range) -> list[Plot]:
    """Requests and failures a minute, and how fast 95 of 100 were answered."""
    now = datetime.now(UTC)
    found = await samples.read(reader, ["requests", "errors", "p95"], now - span.length, span.step)
    requests = [
        Series("All", "tone-1 filled", [Value(point.at, point.mean) for point in found["requests"]]),
        Series("Failed", "bad", [Value(point.at, point.mean) for point in found["errors"]]),
    ]
    slow = [Series("95 of 100 within", "tone-1 filled", [Value(point.at, point.most) for point in found["p95"]])]
    return [
        draw("requests", "Requests per minute", requests, span, now, say_count),
        draw("p95", "Time to answer", slow, span, now, duration),
    ]


async def draw_storage(reader: AsyncConnection, span: Range) -> Plot:
    """Bytes stored, by kind."""
    now = datetime.now(UTC)
    found = await samples.read(reader, [f"bytes.{kind}" for kind in KINDS], now - span.length, span.step)
    series = [
        Series(title, f"tone-{n}", [Value(point.at, point.most) for point in found[f"bytes.{kind}"]])
        for n, (kind, title) in enumerate(KINDS.items(), 1)
    ]
    return draw("stored", "Stored", series, span, now, say_bytes, is_stacked=True, every=STOCK_EVERY)


def say_count(count: float) -> str:
    """A count or a mean of counts: `12`, `0.4`, `1.2k`."""
    return compact(round(count)) if count >= 10 or count == int(count) else f"{count:.1f}"


def say_bytes(count: float) -> str:
    return size(round(count))


def _highest(found: Found, name: str) -> Sequence[Series]:
    return [
        Series(TITLES[queue], f"tone-{n}", [Value(point.at, point.most) for point in found[f"{name}.{queue}"]])
        for n, queue in enumerate(QUEUES, 1)
    ]
