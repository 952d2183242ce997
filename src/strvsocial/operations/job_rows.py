"""The wanted work as rows: counted, listed, and the given-up tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.db import ring_after_commit

STATES = ("queued", "running", "done", "dead")


class JobCount(Struct, frozen=True):
    """How many jobs of one kind are in one state."""

    queue: str
    kind: str
    state: str
    count: int
    oldest: datetime


class JobRow(Struct, frozen=True):
    """One job, as an admin sees it."""

    id: int
    queue: str
    kind: str
    state: str
    attempts: int
    payload: dict[str, Any]
    last_error: str | None
    created_at: datetime
    run_after: datetime


_COUNT = text(
    """
    select queue, kind, state, count(*) as count, min(created_at) as oldest from jobs
    group by queue, kind, state order by queue, kind, state
    """
)
_COLUMNS = "id, queue, kind, state, attempts, payload, last_error, created_at, run_after"
_LIST = text(f"select {_COLUMNS} from jobs where state = :state order by id desc limit :limit")  # noqa: S608
# A newer equal wish that is queued already stands for the dead one.
_RETRY = text(
    f"""
    update jobs set state = 'queued', attempts = 0, run_after = now(), finished_at = null, lease_until = null
    where state = 'dead' and (:everything or id = any(:ids))
      and (dedupe_key is null or (
        not exists (select 1 from jobs as newer where newer.dedupe_key = jobs.dedupe_key and newer.state = 'queued')
        and not exists (select 1 from jobs as twin
          where twin.dedupe_key = jobs.dedupe_key and twin.state = 'dead' and twin.id > jobs.id)))
    returning {_COLUMNS}
    """  # noqa: S608
).bindparams(bindparam("ids", type_=ARRAY(BIGINT)))
_CHOOSE = text(
    f"select {_COLUMNS} from jobs where state = 'dead' and (:everything or id = any(:ids)) order by id"  # noqa: S608
).bindparams(bindparam("ids", type_=ARRAY(BIGINT)))


async def count_jobs(reader: AsyncConnection) -> list[JobCount]:
    """Counts by queue, kind and state."""
    return [JobCount(**row._mapping) for row in await reader.execute(_COUNT)]


async def list_jobs(reader: AsyncConnection, state: str, limit: int) -> list[JobRow]:
    """The newest jobs in a state."""
    rows = await reader.execute(_LIST, {"state": state, "limit": limit})
    return [JobRow(**row._mapping) for row in rows]


async def choose_dead(reader: AsyncConnection, ids: Sequence[int] | None) -> list[JobRow]:
    """The given-up jobs among `ids`, or all of them for None."""
    rows = await reader.execute(_CHOOSE, {"everything": ids is None, "ids": list(ids or [])})
    return [JobRow(**row._mapping) for row in rows]


async def retry_dead(db: AsyncSession, ids: Sequence[int] | None) -> list[JobRow]:
    """Queues given-up jobs again, their attempts counted from zero, and rings for them after the commit."""
    rows = await db.execute(_RETRY, {"everything": ids is None, "ids": list(ids or [])})
    found = [JobRow(**row._mapping) for row in rows]
    for queue in {job.queue for job in found}:
        ring_after_commit(db, queue)
    return found
