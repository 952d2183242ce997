"""Wanted work: rows in PostgreSQL, claimed by lease. arq is the doorbell and nothing more.

`enqueue()` writes the row in the transaction that wants the work; after its commit the doorbell wakes the workers, whose
lanes do it (`strvsocial.lanes`). A row that failed too often is `dead`, visible in `strvsocial jobs list` and retryable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from strvsocial import causes
from strvsocial.causes import Cause
from strvsocial.db import Base, Timestamp, bigint_id, ring_after_commit

QUEUES = ("quick", "long", "feature", "ladder", "embed")
URGENT, BULK = 0, 10
"""Priorities: what a person waits for, and demo content or bulk imports."""
OUT_OF_TIME = "it took longer than this kind of job may"
DIED = "the worker died during this job"
"""Errors of jobs that are no handler's: a `gave_up` may say them in other words."""


class Job(Base):
    """Wanted, running, done or dead work."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state in ('queued', 'running', 'done', 'dead')", name="state"),
        Index(
            "uq_jobs_dedupe",
            "dedupe_key",
            unique=True,
            postgresql_where=text("state = 'queued' and dedupe_key is not null"),
        ),
        Index("ix_jobs_due", "queue", "priority", "run_after", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_leases", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_state", "state", "finished_at"),
    )

    id: Mapped[int] = bigint_id()
    queue: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    state: Mapped[str] = mapped_column(String(16), server_default="queued")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    dedupe_key: Mapped[str | None] = mapped_column(String(200))
    run_after: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    lease_until: Mapped[datetime | None] = mapped_column(Timestamp)
    lease_token: Mapped[int | None] = mapped_column(BigInteger)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    request_id: Mapped[str | None] = mapped_column(String(64))
    traceparent: Mapped[str | None] = mapped_column(String(64))


class GiveUp(Exception):
    """Raised by a handler: trying again cannot help. The message is kept as the job's last error."""


class Postpone(Exception):
    """Raised by a handler: a part that the work needs is missing; try again later without counting this attempt."""

    def __init__(self, reason: str, seconds: float = 15) -> None:
        super().__init__(reason)
        self.seconds = seconds


@dataclass(frozen=True)
class Claimed:
    """A job that this process holds the lease of."""

    id: int
    kind: str
    payload: dict[str, Any]
    attempts: int
    priority: int
    token: int
    cause: Cause = causes.UNKNOWN


@dataclass(frozen=True)
class Handler:
    """What runs a kind of job: takes the worker's context and up to `batch` claimed jobs of that kind.

    `gave_up(context, job, error)` is told when a job is dead, so that what waited for it can say so.
    """

    queue: str
    run: Callable[[Any, list[Claimed]], Awaitable[None]]
    batch: int = 1
    tries: int = 3
    timeout: float = 120
    gave_up: Callable[[Any, Claimed, str], Awaitable[None]] | None = None


_ENQUEUE = text(
    """
    insert into jobs (queue, kind, payload, priority, dedupe_key, run_after, request_id, traceparent)
    values (:queue, :kind, cast(:payload as jsonb), :priority, :dedupe_key, now() + make_interval(secs => :delay),
      :request_id, :traceparent)
    on conflict (dedupe_key) where state = 'queued' and dedupe_key is not null
    do update set priority = least(jobs.priority, excluded.priority), run_after = least(jobs.run_after, excluded.run_after),
      request_id = coalesce(jobs.request_id, excluded.request_id),
      traceparent = coalesce(jobs.traceparent, excluded.traceparent)
    """
)


async def enqueue(
    db: AsyncSession,
    kind: str,
    payload: Mapping[str, Any],
    *,
    queue: str,
    priority: int = URGENT,
    dedupe_key: str | None = None,
    delay: float = 0,
) -> None:
    """Wants work, in the caller's transaction. An equal `dedupe_key` that is still queued is not queued twice."""
    await db.execute(
        _ENQUEUE,
        {
            "queue": queue,
            "kind": kind,
            "payload": msgspec.json.encode(dict(payload)).decode(),
            "priority": priority,
            "dedupe_key": dedupe_key,
            "delay": delay,
            **causes.current()._asdict(),
        },
    )
    ring_after_commit(db, queue)


async def enqueue_many(
    db: AsyncSession, kind: str, wanted: Sequence[tuple[Mapping[str, Any], str | None]], *, queue: str, priority: int
) -> None:
    """`enqueue` for many payloads of one kind, each with its dedupe key, in one round trip."""
    if wanted:
        shared = {"queue": queue, "kind": kind, "priority": priority, "delay": 0, **causes.current()._asdict()}
        rows = [
            {**shared, "payload": msgspec.json.encode(dict(payload)).decode(), "dedupe_key": dedupe_key}
            for payload, dedupe_key in wanted
        ]
        await db.execute(_ENQUEUE, rows)
        ring_after_commit(db, queue)
