"""Who does the wanted work: lanes that claim rows by lease, and the sweep that finds what bells and workers lost.

A worker's `Lane` claims the most urgent due row, renews its lease while the handler runs, and marks it done. Whatever gets
lost on the way (a bell, a worker, the whole of Redis) is found by the sweep: due rows are rung for again, expired leases
are taken over.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import text

from strvsocial import causes, incidents, meters, traces
from strvsocial.causes import Cause
from strvsocial.db import Database
from strvsocial.jobs import DIED, OUT_OF_TIME, Claimed, GiveUp, Handler, Postpone

log = structlog.get_logger()

LEASE_SECONDS = 30
RENEW_SECONDS = 8
SWEEP_SECONDS = 5.0
DEATHS = 3
"""Tries beyond those of its handler for a job whose worker died: most die for no fault of the job."""

# Only work that was never tried goes as a batch: what took its worker down once must not take others along again.
_CLAIM = text(
    """
    with first as (
      select id, kind, attempts from jobs
      where queue = :queue and state = 'queued' and run_after <= now()
      order by priority, run_after, id limit 1 for update skip locked
    ), more as (
      select jobs.id from jobs, first
      where jobs.queue = :queue and jobs.state = 'queued' and jobs.run_after <= now()
        and jobs.kind = first.kind and jobs.id <> first.id and first.attempts = 0 and jobs.attempts = 0
      order by jobs.priority, jobs.run_after, jobs.id
      limit (cast(:batches as jsonb) ->> (select kind from first))::int - 1
      for update of jobs skip locked
    )
    update jobs set state = 'running', attempts = attempts + 1, lease_token = :token,
      lease_until = now() + make_interval(secs => :lease)
    where id in (select id from first union all select id from more)
    returning id, kind, payload, attempts, priority, request_id, traceparent
    """
)

_RENEW = text(
    """
    update jobs set lease_until = now() + make_interval(secs => :lease)
    where id = any(:ids) and lease_token = :token and state = 'running' returning id
    """
)

_FINISH = text(
    """
    update jobs set state = 'done', finished_at = now(), lease_until = null, last_error = null
    where id = any(:ids) and lease_token = :token and state = 'running'
    """
)

# When an equal job was queued in the meantime, this one has nothing left to do: the newer row carries the wish.
_PUT_BACK = text(
    """
    update jobs set
      state = case when :dead then 'dead'
                   when dedupe_key is not null and exists (
                     select 1 from jobs as newer where newer.dedupe_key = jobs.dedupe_key and newer.state = 'queued'
                   ) then 'done' else 'queued' end,
      attempts = attempts - :uncount, last_error = :error, lease_until = null,
      finished_at = case when :dead then now() end, run_after = now() + make_interval(secs => :delay)
    where id = :id and lease_token = :token and state = 'running'
    """
)

_EXPIRED = text(
    """
    update jobs set lease_token = :token, lease_until = now() + make_interval(secs => :lease)
    where id in (
      select id from jobs where state = 'running' and lease_until < now() and queue = any(:queues)
      for update skip locked
    )
    returning id, kind, payload, attempts, priority, request_id, traceparent
    """
)

_DUE_QUEUES = text("select distinct queue from jobs where state = 'queued' and run_after <= now()")

_FORGET = text("delete from jobs where state = 'done' and finished_at < now() - interval '1 day'")


def _claimed(row: Any, token: int) -> Claimed:
    cause = Cause(row.request_id, row.traceparent)
    return Claimed(row.id, row.kind, row.payload, row.attempts, row.priority, token, cause)


@dataclass
class Lane:
    """Runs the jobs of one queue, `width` at a time, until it is closed."""

    queue: str
    width: int
    context: Any
    database: Database
    handlers: Mapping[str, Handler]
    under_way: dict[int, tuple[str, datetime]] = field(default_factory=dict)
    """The jobs that run here: their kind, and since when."""
    _bell: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._serve(), name=f"lane-{self.queue}-{n}") for n in range(self.width)]

    def ring(self) -> None:
        self._bell.set()

    async def aclose(self) -> None:
        """Stops; work under way is put back uncounted and taken up by the next worker."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            self._bell.clear()
            try:
                while claimed := await self._claim():
                    now = datetime.now(UTC)
                    self.under_way |= {job.id: (job.kind, now) for job in claimed}
                    try:
                        await self._work(claimed)
                    finally:
                        for job in claimed:
                            self.under_way.pop(job.id, None)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("lane.stumbled", queue=self.queue, error=repr(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._bell.wait()

    async def _claim(self) -> list[Claimed]:
        token = secrets.randbits(62)
        batches = {kind: handler.batch for kind, handler in self.handlers.items() if handler.queue == self.queue}
        async with self.database.transaction() as db:
            rows = await db.execute(
                _CLAIM,
                {
                    "queue": self.queue,
                    "token": token,
                    "lease": LEASE_SECONDS,
                    "batches": msgspec.json.encode(batches).decode(),
                },
            )
            return sorted((_claimed(row, token) for row in rows), key=lambda job: job.id)

    async def _work(self, jobs: list[Claimed]) -> None:
        """Runs jobs of one kind together and tells how it went. What they log and want shows what caused them."""
        handler, first = self.handlers.get(jobs[0].kind), jobs[0]
        kind = first.kind if handler else "unknown"
        about: dict[str, Any] = {"kind": kind, "job": first.id} if len(jobs) == 1 else {"kind": kind, "jobs": len(jobs)}
        started, outcome = time.monotonic(), "stopped"
        parents = [job.cause.traceparent for job in jobs]
        with (
            causes.bound([job.cause for job in jobs], **about),
            traces.span(f"job {kind}", parents, strv__queue=self.queue, strv__jobs=len(jobs)) as span,
        ):
            try:
                outcome = await self._run(handler, jobs)
            finally:
                seconds = time.monotonic() - started
                span |= {"strv.outcome": outcome} | ({"error": outcome} if outcome in ("failed", "dead") else {})
                meters.job_results.labels(kind, outcome).inc(len(jobs))
                meters.job_seconds.labels(kind).observe(seconds)
                log.info("job.ended", outcome=outcome, seconds=round(seconds, 3), queue=self.queue)

    async def _run(self, handler: Handler | None, jobs: list[Claimed]) -> str:
        """How it went: `done`, `failed`, `dead`, `postponed`, `taken_over`; `split`: a batch that was then run singly."""
        limit = asyncio.timeout(handler.timeout if handler else None)
        renewal = asyncio.create_task(self._renew(jobs, limit))
        try:
            if handler is None:
                raise GiveUp(f"nothing here runs jobs of kind {jobs[0].kind}")
            async with limit:
                await handler.run(self.context, jobs)
        except asyncio.CancelledError:
            await asyncio.shield(self._put_back(jobs, "the worker was stopped", uncount=1, delay=0))
            raise
        except Postpone as later:
            await self._put_back(jobs, str(later), uncount=1, delay=later.seconds)
            return "postponed"
        except Exception as error:
            if renewal.done():
                log.warning("job.taken_over", queue=self.queue, ids=[job.id for job in jobs])
                return "taken_over"
            log.warning("job.failed", queue=self.queue, ids=[job.id for job in jobs], exc_info=True)
            if len(jobs) == 1:
                return await self._fail(jobs[0], handler, TimeoutError(OUT_OF_TIME) if limit.expired() else error)
            for job in jobs:  # One bad input must not take its neighbours along: each runs alone next time.
                await self._work([job])
            return "split"
        else:
            async with self.database.transaction() as db:
                await db.execute(_FINISH, {"ids": [job.id for job in jobs], "token": jobs[0].token})
            return "done"
        finally:
            renewal.cancel()

    async def _fail(self, job: Claimed, handler: Handler | None, error: Exception) -> str:
        reason = str(error) or repr(error)
        tries = handler.tries if handler else 1
        dead = isinstance(error, GiveUp) or job.attempts >= tries
        if dead and not isinstance(error, GiveUp):
            incidents.report(error, kind=job.kind)
        if dead and handler and handler.gave_up:
            # Before the row says so: should we die in between, the next worker finds the row and says it again.
            await handler.gave_up(self.context, job, reason)
        await self._put_back([job], reason, dead=dead, delay=2**job.attempts * random.uniform(0.5, 1))
        return "dead" if dead else "failed"

    async def _put_back(
        self, jobs: list[Claimed], error: str, *, dead: bool = False, uncount: int = 0, delay: float = 0
    ) -> None:
        for job in jobs:
            async with self.database.transaction() as db:
                await db.execute(
                    _PUT_BACK,
                    {
                        "id": job.id,
                        "token": job.token,
                        "dead": dead,
                        "uncount": uncount,
                        "error": error[:4000],
                        "delay": delay,
                    },
                )

    async def _renew(self, jobs: list[Claimed], limit: asyncio.Timeout) -> None:
        """Keeps the lease. Ends, and ends the work, when somebody else has taken it over."""
        wanted = {"ids": [job.id for job in jobs], "token": jobs[0].token, "lease": LEASE_SECONDS}
        is_ours = True
        while is_ours:
            await asyncio.sleep(RENEW_SECONDS)
            with suppress(Exception):  # An outage of the database is no loss: it may be back before anybody asks.
                async with self.database.transaction() as db:
                    is_ours = (await db.execute(_RENEW, wanted)).first() is not None
        with suppress(RuntimeError):  # The work has just ended.
            limit.reschedule(asyncio.get_running_loop().time())


async def sweep(database: Database, context: Any, handlers: Mapping[str, Handler], own: set[str]) -> set[str]:
    """Takes over expired leases of the `own` queues and returns those of them that have due work."""
    token = secrets.randbits(62)
    async with database.transaction() as db:
        wanted = {"token": token, "lease": LEASE_SECONDS, "queues": list(own)}
        expired = [_claimed(row, token) for row in await db.execute(_EXPIRED, wanted)]
        await db.execute(_FORGET)
    for job in expired:
        try:
            with causes.bound([job.cause], kind=job.kind, job=job.id):
                await _take_over(database, context, handlers.get(job.kind), job)
        except Exception as error:  # The others must not wait for it. Its lease runs out, and it is tried again.
            log.warning("job.not_taken_over", id=job.id, kind=job.kind, error=repr(error))
    async with database.read() as connection:
        return {row.queue for row in await connection.execute(_DUE_QUEUES)} & own


async def _take_over(database: Database, context: Any, handler: Handler | None, job: Claimed) -> None:
    dead = handler is not None and job.attempts >= handler.tries + DEATHS
    if dead and handler and handler.gave_up:
        await handler.gave_up(context, job, DIED)
    values = {"id": job.id, "token": job.token, "dead": dead, "uncount": 0, "error": DIED, "delay": 0}
    async with database.transaction() as db:
        await db.execute(_PUT_BACK, values)
    outcome = "dead" if dead else "died"
    meters.job_results.labels(job.kind if handler else "unknown", outcome).inc()
    log.warning("job.died", outcome=outcome, attempts=job.attempts)


async def keep_sweeping(
    database: Database, context: Any, handlers: Mapping[str, Handler], lanes: Mapping[str, Lane]
) -> None:
    """Sweeps every few seconds for as long as the process lives, and rings where there is due work."""
    while True:
        try:
            for queue in await sweep(database, context, handlers, set(lanes)):
                lanes[queue].ring()
        except Exception as error:
            log.warning("sweep.failed", error=repr(error))
        await asyncio.sleep(SWEEP_SECONDS)
