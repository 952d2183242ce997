"""The `worker` and `embedder` processes: which jobs there are, and who runs them.

`python -m strvsocial.worker worker` runs the quick and the long lane; `python -m strvsocial.worker embedder` runs the
embedding lane, the only process that loads models. Both listen to their bell through arq and work on without it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from arq import cron, func
from arq.cron import CronJob

from strvsocial.content import jobs as content_jobs
from strvsocial.content.embedding import EMBED_POSTS
from strvsocial.content.work import EMBED_POST
from strvsocial.db import Database
from strvsocial.doorbell import Listening, arq_queue, pack, redis_settings, unpack
from strvsocial.embeddings.active import ActiveModels
from strvsocial.jobs import Handler
from strvsocial.lanes import Lane, keep_sweeping
from strvsocial.logs import configure_logs
from strvsocial.media.jobs import DELETE_OBJECTS, SWEEP, SWEEP_STORAGE, want_sweep
from strvsocial.media.sandbox import remove_stale
from strvsocial.media.walls import niceness
from strvsocial.operations.exposition import exposed
from strvsocial.operations.heartbeats import Heartbeat
from strvsocial.operations.watching import watched
from strvsocial.services import open_services
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import Storage
from strvsocial.users import jobs as user_jobs

WORKER_HANDLERS: Mapping[str, Handler] = {
    "media.delete_objects": DELETE_OBJECTS,
    SWEEP_STORAGE: SWEEP,
    **user_jobs.HANDLERS,
    **content_jobs.HANDLERS,
}
PATIENT = ("feature", "ladder")
"""Lanes whose decoders stand back behind those of the others: they take long anyway."""
ORPHANS_HOUR = 3
"""When the nightly search for orphans runs (UTC)."""
EMBED_BATCHES = 2
"""Batches under way at once: one computes on the model thread while the other reads and writes rows."""
EMBEDDER_HANDLERS: Mapping[str, Handler] = {
    EMBED_POST: EMBED_POSTS,
}


@dataclass
class Context:
    """What a job's handler may use."""

    settings: Settings
    database: Database
    storage: Storage
    models: Any = None
    lanes: dict[str, Lane] = field(default_factory=dict)


async def open_context(stack: AsyncExitStack, settings: Settings) -> Context:
    """Opens what handlers use; `stack` closes it."""
    opened = await stack.enter_async_context(open_services(settings, pool_size=settings.database_pool_size))
    return Context(*opened)


def worker_widths(settings: Settings) -> dict[str, int]:
    """How many jobs the worker's lanes run at once. What is short never waits behind what is long."""
    return {
        "quick": settings.quick_jobs,
        "long": settings.long_jobs,
        "feature": settings.feature_jobs,
        "ladder": settings.ladder_jobs,
    }


def start_lanes(
    stack: AsyncExitStack, context: Context, widths: Mapping[str, int], handlers: Mapping[str, Handler]
) -> None:
    """Starts a lane for each queue in `widths`, and the sweep that finds what bells and workers lost."""
    for queue, width in widths.items():
        context.lanes[queue] = Lane(queue, width, context, context.database, handlers)
        with niceness(context.settings.decoder_niceness // (1 if queue in PATIENT else 2)):
            context.lanes[queue].start()
        stack.push_async_callback(context.lanes[queue].aclose)
    sweeping = asyncio.create_task(keep_sweeping(context.database, context, handlers, context.lanes), name="sweep")
    stack.push_async_callback(_end, sweeping)


def show_life(stack: AsyncExitStack, context: Context, kind: str) -> None:
    """Lets the admins see this process, its lanes and what runs in them."""

    def describe() -> dict[str, Any]:
        lanes = context.lanes.values()
        jobs = [(number, *job) for lane in lanes for number, job in lane.under_way.items()]
        return {
            "lanes": {lane.queue: lane.width for lane in lanes},
            "jobs": [{"id": number, "kind": kind, "since": since} for number, kind, since in jobs],
        }

    heartbeat = Heartbeat(context.database, kind, describe)
    heartbeat.start()
    stack.push_async_callback(heartbeat.aclose)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def ring(ctx: dict[str, Any], queue: str) -> None:
    """The doorbell: wakes the lane of `queue`."""
    ctx["context"].lanes[queue].ring()


async def sweep_storage(ctx: dict[str, Any]) -> None:
    """Wants expired uploads removed every hour, and once a night all bytes that nothing refers to."""
    context: Context = ctx["context"]
    async with context.database.transaction() as db:
        await want_sweep(db, orphans=datetime.now(UTC).hour == ORPHANS_HOUR)


async def _shutdown(ctx: dict[str, Any]) -> None:
    if "stack" in ctx:  # Else it never started.
        await ctx["stack"].aclose()


async def _start_worker(ctx: dict[str, Any]) -> None:
    settings = get_settings()
    configure_logs(settings, "worker")
    stack = ctx["stack"] = AsyncExitStack()
    stack.enter_context(watched(settings, "worker"))
    ctx["context"] = await open_context(stack, settings)
    await asyncio.to_thread(remove_stale, settings.data_dir / "tmp")
    start_lanes(stack, ctx["context"], worker_widths(settings), WORKER_HANDLERS)
    show_life(stack, ctx["context"], "worker")
    await stack.enter_async_context(exposed(settings, ctx["context"].database, "worker"))


async def _start_embedder(ctx: dict[str, Any]) -> None:
    settings = get_settings()
    configure_logs(settings, "embedder")
    stack = ctx["stack"] = AsyncExitStack()
    stack.enter_context(watched(settings, "embedder"))
    context = ctx["context"] = await open_context(stack, settings)
    context.models = ActiveModels(settings, context.database)
    stack.push_async_callback(context.models.aclose)
    # In the background: the process answers its health check while the models load, and starts without any.
    ctx["loading"] = asyncio.create_task(context.models.start())
    start_lanes(stack, context, {"embed": EMBED_BATCHES}, EMBEDDER_HANDLERS)
    show_life(stack, context, "embedder")
    await stack.enter_async_context(exposed(settings, context.database, "embedder"))


def _process(queue: str, on_startup: Callable[[dict[str, Any]], Awaitable[None]], *crons: CronJob) -> dict[str, Any]:
    """Settings of an arq process. A dictionary, because arq does not see what a settings class inherits."""
    return {
        "queue_name": arq_queue(queue),
        "functions": [func(ring, keep_result=0, max_tries=1)],
        "cron_jobs": crons,
        "redis_settings": redis_settings(get_settings().redis_url),
        "on_startup": on_startup,
        "on_shutdown": _shutdown,
        "job_serializer": pack,
        "job_deserializer": unpack,
        "poll_delay": 0.1,
        "health_check_interval": 15,
        "keep_result": 0,
    }


# Media, avatars, sweeps.
WorkerSettings = _process("quick", _start_worker, cron(sweep_storage, minute=17, second=30, keep_result=0))
# Embeddings.
EmbedderSettings = _process("embed", _start_embedder)

PROCESSES = {"worker": WorkerSettings, "embedder": EmbedderSettings}


def main(name: str) -> None:
    """Runs one of the processes until a signal ends it."""
    Listening(**PROCESSES[name]).run()


if __name__ == "__main__":
    main(sys.argv[1])
