"""A worker for tests that does what is wanted, job by job, and then stops."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from tests.front_door import Site

from strvsocial.jobs import Claimed
from strvsocial.worker import WORKER_HANDLERS, Context

_NEXT = text(
    """
    update jobs set state = 'running', attempts = attempts + 1, lease_token = 1, lease_until = now() + interval '1 hour'
    where id = (select id from jobs where state = 'queued' and kind = any(:kinds) order by priority, id limit 1)
    returning id, kind, payload, attempts, priority
    """
)
_DONE = text("update jobs set state = 'done', finished_at = now() where id = :id")


async def work(site: Site, kinds: Sequence[str] = tuple(WORKER_HANDLERS)) -> int:
    """Runs all wanted jobs of these kinds, and those that they want; how many they were."""
    context, count = Context(site.settings, site.database, site.app.state.storage), 0
    while True:
        async with site.database.transaction() as db:
            row = (await db.execute(_NEXT, {"kinds": list(kinds)})).one_or_none()
        if row is None:
            return count
        job = Claimed(row.id, row.kind, row.payload, row.attempts, row.priority, 1)
        await WORKER_HANDLERS[row.kind].run(context, [job])
        async with site.database.transaction() as db:
            await db.execute(_DONE, {"id": row.id})
        count += 1
