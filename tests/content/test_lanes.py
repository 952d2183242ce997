"""What is short never waits behind what is long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.content.test_processing import make
from tests.front_door import Site, outcome

from strvsocial import worker
from strvsocial.content import jobs as content_jobs
from strvsocial.content.work import FINISH_FILM, PROCESS_FEATURE, PROCESS_FILM
from strvsocial.jobs import Claimed, Handler, enqueue


@pytest_asyncio.fixture
async def context(site: Site) -> AsyncIterator[worker.Context]:
    async with AsyncExitStack() as stack:
        yield await worker.open_context(stack, site.settings)


async def test_a_picture_and_a_short_film_pass_by_long_ones(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    """More long films and other sizes are wanted than the worker's lanes hold, and none of them ever ends."""
    alice, listener = await site.member("alice"), site.app.state.listener
    occupied: list[str] = []

    async def never_end(_: Any, jobs: list[Claimed]) -> None:
        occupied.append(jobs[0].kind)
        await asyncio.Event().wait()

    endless = {
        kind: Handler(queue, never_end) for kind, queue in ((PROCESS_FEATURE, "feature"), (FINISH_FILM, "ladder"))
    }
    widths = worker.worker_widths(site.settings)
    async with context.database.transaction() as db:
        for kind, handler in endless.items():
            for number in range(2 * widths[handler.queue] + 1):
                await enqueue(db, kind, {"attachment_id": -number}, queue=handler.queue)
    async with AsyncExitStack() as stack:
        worker.start_lanes(stack, context, widths, {**worker.WORKER_HANDLERS, **endless})
        news = await stack.enter_async_context(listener.subscribe(alice.id))
        await stack.enter_async_context(asyncio.timeout(60))
        while len(occupied) < widths["feature"] + widths["ladder"]:
            await asyncio.sleep(0.05)
        for kind in ("image", "video"):
            files = {"file": ("file", make(tmp_path, kind))}
            made = (await alice.api("POST", "/posts", data={"title": kind}, files=files)).json()
            for lane in context.lanes.values():
                lane.ring()
            one = await outcome(news)
            assert (one.kind, one.data["id"]) == ("post.ready", made["id"])
        assert sorted(occupied) == sorted([PROCESS_FEATURE] * widths["feature"] + [FINISH_FILM] * widths["ladder"])


async def test_a_film_that_turns_out_to_be_long_changes_its_lane(
    site: Site, context: worker.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_jobs, "SHORT_FILM_SECONDS", 0.5)  # The film lasts a second.
    bob = await site.member("bob")
    unlike = make(tmp_path, "video") + b"\x00\x00\x00\x10free" + os.urandom(8)  # Equal bytes are processed once.
    files = {"file": ("film.mp4", unlike)}
    made = (await bob.api("POST", "/posts", data={"title": "Long"}, files=files)).json()
    job = await claim(context, PROCESS_FILM, made["id"])
    await content_jobs.HANDLERS[PROCESS_FILM].run(context, [job])
    assert (await bob.api("GET", f"/posts/{made['id']}")).json()["status"] == "processing"
    job = await claim(context, PROCESS_FEATURE, made["id"])
    await content_jobs.HANDLERS[PROCESS_FEATURE].run(context, [job])
    assert (await bob.api("GET", f"/posts/{made['id']}")).json()["status"] == "ready"


async def claim(context: worker.Context, kind: str, post_id: str) -> Claimed:
    """The queued job of a kind for a post, in the queue of its handler; from now on it runs."""
    statement = text(
        "update jobs set state = 'running', lease_until = now() + interval '1 h'"
        " from attachments join posts on posts.id = post_id"
        " where attachments.id = (payload ->> 'attachment_id')::bigint and posts.public_id = :post"
        " and jobs.kind = :kind and jobs.queue = :queue and jobs.state = 'queued'"
        " returning jobs.id, jobs.kind, jobs.payload, jobs.priority"
    )
    wanted = {"post": post_id, "kind": kind, "queue": content_jobs.HANDLERS[kind].queue}
    async with context.database.transaction() as db:
        row = (await db.execute(statement, wanted)).one()
    return Claimed(row.id, row.kind, row.payload, 1, row.priority, 0)
