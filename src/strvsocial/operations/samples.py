"""What is measured each minute, for the admins' plots. Kept for two weeks.

A sample's figures, by name: `waiting.<queue>` and `running.<queue>` jobs, `oldest.<queue>` seconds that the longest due job
has waited, `done.<queue>` and `given_up.<queue>` jobs in the minute before, `requests` and `errors` (5xx) of all web
processes in that minute, `p95` seconds to answer; and every ten minutes `people`, `posts`, `seconds` of sound and film,
`bytes.<kind>` with everything made from an attachment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.db import Database
from strvsocial.jobs import QUEUES
from strvsocial.operations.request_rates import quantile

KEPT = timedelta(days=14)
STOCK_EVERY = timedelta(minutes=10)
LIVE_SECONDS = 45
"""A process that has not been seen for so long counts as gone."""

# Whoever makes the row of a minute measures it; another process finds it made.
_CLAIM = text(
    """
    insert into samples (at, figures)
    select date_trunc('minute', now()), '{}'
    where not exists (select 1 from samples where at = date_trunc('minute', now()))
    on conflict (at) do nothing returning at
    """
)
_FILL = text("update samples set figures = cast(:figures as jsonb) where at = :at")
_FORGET = text("delete from samples where at < :before")
_QUEUES = text(
    """
    select queue, count(*) filter (where state = 'queued') as waiting, count(*) filter (where state = 'running') as running,
      coalesce(extract(epoch from now() - min(run_after) filter (where state = 'queued' and run_after <= now())), 0)::float
        as oldest
    from jobs where state in ('queued', 'running') group by queue
    """
)
_FINISHED = text(
    """
    select queue, count(*) filter (where state = 'done') as done, count(*) filter (where state = 'dead') as given_up
    from jobs where state in ('done', 'dead') and finished_at >= :since and finished_at < :until group by queue
    """
)
_WEB = text(
    """
    select details from processes
    where kind = 'web' and seen_at > now() - make_interval(secs => :live) and details ? 'requests'
    """
)
_STOCK_IS_FRESH = text("select exists (select 1 from samples where at > :since and figures ? 'posts')")
_PEOPLE = text("select count(*) from users where username_key not like E'\\x7f%'")
_POSTS = text("select count(*) from posts")
_BYTES = text(
    """
    select kind, sum(bytes)::bigint as bytes, sum(seconds) as seconds from (
      select kind, byte_size as bytes, coalesce(duration, 0) as seconds from attachments
      union all
      select a.kind, r.byte_size, 0 from renditions r join attachments a on a.id = r.attachment_id
    ) as stored group by kind
    """
)
_READ = text(
    """
    select date_bin(:step, at, timestamptz '2000-01-01') as moment, name,
      max((figures ->> name)::float) as most, sum((figures ->> name)::float) as total, count(*) as minutes
    from samples, unnest(:names) as name
    where at >= :since and figures ? name group by moment, name order by moment
    """
).bindparams(bindparam("names", type_=ARRAY(TEXT)))


_LATEST = text(
    """
    select distinct on (name) name, (figures ->> name)::float as value
    from samples, unnest(:names) as name
    where at > now() - interval '30 minutes' and figures ? name order by name, at desc
    """
).bindparams(bindparam("names", type_=ARRAY(TEXT)))


class Point(msgspec.Struct, frozen=True):
    """A figure over a stretch of `minutes` samples that begins at `at`: the highest, and the sum."""

    at: datetime
    most: float
    total: float
    minutes: int

    @property
    def mean(self) -> float:
        return self.total / self.minutes


async def take(database: Database) -> bool:
    """Measures this minute unless it has been; whether it did."""
    async with database.read() as reader:
        at: datetime | None = await reader.scalar(_CLAIM)
        if at is None:
            return False
        figures = await measure(reader, at)
        await reader.execute(_FILL, {"at": at, "figures": msgspec.json.encode(figures).decode()})
        await reader.execute(_FORGET, {"before": at - KEPT})
    return True


async def measure(reader: AsyncConnection, at: datetime) -> dict[str, float]:
    """The figures of the minute that ends at `at`."""
    figures = {f"{name}.{queue}": 0.0 for name in ("waiting", "running", "oldest") for queue in QUEUES}
    figures |= {f"{name}.{queue}": 0.0 for name in ("done", "given_up") for queue in QUEUES}
    for row in await reader.execute(_QUEUES):
        for name in ("waiting", "running", "oldest"):
            figures[f"{name}.{row.queue}"] = float(getattr(row, name))
    for row in await reader.execute(_FINISHED, {"since": at - timedelta(minutes=1), "until": at}):
        figures |= {f"done.{row.queue}": float(row.done), f"given_up.{row.queue}": float(row.given_up)}
    figures |= _add_up([row.details for row in await reader.execute(_WEB, {"live": LIVE_SECONDS})])
    if not await reader.scalar(_STOCK_IS_FRESH, {"since": at - STOCK_EVERY}):
        figures |= await _take_stock(reader)
    return figures


async def read(
    reader: AsyncConnection, names: Sequence[str], since: datetime, step: timedelta
) -> dict[str, list[Point]]:
    """Figures by name since a time, one point for each `step`; stretches without a sample have none."""
    found: dict[str, list[Point]] = {name: [] for name in names}
    for row in await reader.execute(_READ, {"names": list(names), "since": since, "step": step}):
        found[row.name].append(Point(row.moment, row.most, row.total, row.minutes))
    return found


async def read_latest(reader: AsyncConnection, names: Sequence[str]) -> dict[str, float]:
    """Figures by name as they were last measured; those of more than half an hour ago are left out."""
    return {row.name: row.value for row in await reader.execute(_LATEST, {"names": list(names)})}


async def _take_stock(reader: AsyncConnection) -> dict[str, float]:
    stock = {"people": float(await reader.scalar(_PEOPLE) or 0), "posts": float(await reader.scalar(_POSTS) or 0)}
    stock |= {f"bytes.{kind}": 0.0 for kind in ("image", "gif", "audio", "video")}
    seconds = 0.0
    for row in await reader.execute(_BYTES):
        stock[f"bytes.{row.kind}"] = float(row.bytes)
        seconds += float(row.seconds)
    return {**stock, "seconds": seconds}


def _add_up(web: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The requests of all web processes together, as they told with their last signs of life."""
    if not web:
        return {}
    told = {name: float(sum(details.get(name, 0) for details in web)) for name in ("requests", "errors")}
    buckets: dict[float, float] = {}
    for details in web:
        for edge, count in details.get("buckets", []):
            buckets[edge] = buckets.get(edge, 0) + count
    p95 = quantile(sorted(buckets.items()), 0.95)
    return told if p95 is None else {**told, "p95": p95}
