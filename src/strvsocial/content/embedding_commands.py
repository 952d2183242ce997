"""`strvsocial embeddings`: how many posts have their vectors, and work on those that do not."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.console import AsJson
from strvsocial.content.embedding import embed_posts
from strvsocial.content.model_commands import stop_with
from strvsocial.content.work import EMBED_POST, want_embedding
from strvsocial.db import Database
from strvsocial.embeddings.active import ActiveModels
from strvsocial.embeddings.calibration import from_unrelated
from strvsocial.embeddings.spaces import active_spaces, find_fact
from strvsocial.embeddings.vectors import unpack
from strvsocial.errors import StrvError
from strvsocial.jobs import BULK, Handler
from strvsocial.lanes import Lane
from strvsocial.services import Services, open_services

app = typer.Typer(no_args_is_help=True, help="The vectors of posts.")
PATIENCE = 30
"""Seconds without progress after which `run` says that nobody seems to be working."""

# A post is missing from the texts when it was never dealt with; from the looks when a picture or film of it has frames.
_STATUS = text(
    """
    select s.id, s.name, s.model, s.dim,
      (select count(*) from embeddings as e where e.space_id = s.id and e.vector is not null) as vectors,
      case s.name when 'sound' then 0 else (
        select count(*) from posts as p where p.status = 'ready'
          and not exists (select from embeddings as e where e.space_id = s.id and e.post_id = p.id)
          and (s.name = 'text' or exists (select from attachments as a join renditions as r on r.attachment_id = a.id
                                          where a.post_id = p.id and a.status = 'ready' and r.role = 'frames'))
      ) end as missing
    from embedding_spaces as s where s.state = 'active' order by s.name
    """
)
_JOBS = text("select state, count(*) as number from jobs where kind = :kind group by state")
_READY = text("select count(*) from posts where status = 'ready'")
_MISSING = text(
    """
    select p.id from posts as p where p.status = 'ready' and exists (
      select from (values ('text'), ('look')) as wanted(name)
      where not exists (select from embeddings as e join embedding_spaces as s on s.id = e.space_id
                        where s.state = 'active' and s.name = wanted.name and e.post_id = p.id)
        and (wanted.name = 'text' or exists (select from attachments as a join renditions as r on r.attachment_id = a.id
                                             where a.post_id = p.id and a.status = 'ready' and r.role = 'frames')))
    order by p.id
    """
)
_BURY_DEAD = text(
    "delete from jobs where kind = :kind and state = 'dead' returning (payload ->> 'post_id')::bigint as id"
)
_PENDING = text(
    "update posts set pending = pending || '{embedding}' where id = any(:ids) and not 'embedding' = any(pending)"
)
_SAMPLE = text(
    "select vector from embeddings where space_id = :space_id and vector is not null order by random() limit 1500"
)
_CALIBRATE = text("update embedding_spaces set calibration = :calibration where id = :id").bindparams(
    bindparam("calibration", type_=JSONB)
)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Vectors and missing ones for each space, and the state of the jobs."""
    found = asyncio.run(_with_services(lambda services: read_status(services.database)))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    table = Table("space", "model", "dim", "vectors", "missing")
    for row in found["spaces"]:
        table.add_row(*(str(row[name]) for name in ("name", "model", "dim", "vectors", "missing")))
    Console().print(table)
    jobs = found["jobs"]
    typer.echo(
        f"{found['posts']} posts; jobs: {jobs['queued']} queued, {jobs['running']} running, {jobs['dead']} dead."
    )
    if found["trouble"]:
        typer.echo(f"Attention: {found['trouble']}")
    if jobs["dead"]:
        typer.echo("`strvsocial embeddings retry` tries the dead ones again.")


async def read_status(database: Database) -> dict[str, Any]:
    """What `embeddings status` prints."""
    async with database.read() as reader:
        fact = await find_fact(reader)
        spaces = [dict(row._mapping) for row in await reader.execute(_STATUS)]
        jobs = {"queued": 0, "running": 0, "dead": 0}
        jobs |= {
            row.state: row.number for row in await reader.execute(_JOBS, {"kind": EMBED_POST}) if row.state in jobs
        }
        posts = await reader.scalar(_READY)
    return {"posts": posts, "spaces": spaces, "jobs": jobs, "trouble": fact.trouble if fact else None}


@app.command()
def run(
    here: Annotated[
        bool, typer.Option("--here", help="Embed in this process instead of waiting for the embedder.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queues every post that lacks a vector and follows the work to its end."""
    try:
        result = asyncio.run(_with_services(lambda services: _run(services, here)))
    except StrvError as error:
        raise stop_with(error) from error
    typer.echo(
        msgspec.json.encode(result).decode() if as_json else f"{result['done']} of {result['queued']} posts embedded."
    )
    if result["done"] < result["queued"]:
        typer.echo(
            "The rest stays queued. Is the embedder running? `strvsocial embeddings status` says more.", err=True
        )
        raise typer.Exit(1)


async def _run(services: Services, here: bool) -> dict[str, int]:
    async with services.database.transaction() as db:
        for post_id in await db.scalars(_MISSING):
            await want_embedding(db, post_id, BULK)
    async with services.database.read() as reader:
        total = await _unfinished(reader)
    columns = (TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with AsyncExitStack() as stack:
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
        task = bar.add_task("posts", total=total)
        if here:
            await stack.enter_async_context(_EmbedHere(services))
        left, moved = total, time.monotonic()
        while left and time.monotonic() - moved < PATIENCE:
            await asyncio.sleep(0.3)
            async with services.database.read() as reader:
                now = await _unfinished(reader)
            moved = time.monotonic() if now != left else moved
            left = now
            bar.update(task, completed=max(0, total - left))
    return {"queued": total, "done": max(0, total - left)}


async def _unfinished(reader: AsyncConnection) -> int:
    jobs = await reader.execute(_JOBS, {"kind": EMBED_POST})
    return sum(row.number for row in jobs if row.state in ("queued", "running"))


class _EmbedHere:
    """The embedding lane in this process, for as long as the block runs."""

    def __init__(self, services: Services) -> None:
        settings, self.database, self.storage = services
        self.models = ActiveModels(settings, self.database, patience=1)
        handler = Handler("embed", embed_posts, batch=settings.embed_batch, tries=4, timeout=1200)
        self._lane = Lane("embed", 1, self, self.database, {EMBED_POST: handler})

    async def __aenter__(self) -> None:
        await self.models.get()
        self._lane.start()

    async def __aexit__(self, *_: object) -> None:
        await self._lane.aclose()
        await self.models.aclose()


@app.command()
def retry(as_json: AsJson = False) -> None:
    """Queues the dead jobs again."""
    count = asyncio.run(_with_services(lambda services: retry_dead(services.database)))
    typer.echo(msgspec.json.encode({"retried": count}).decode() if as_json else f"{count} posts queued again.")


async def retry_dead(database: Database) -> int:
    """Queues the posts of dead jobs again; how many."""
    async with database.transaction() as db:
        ids = sorted(set(await db.scalars(_BURY_DEAD, {"kind": EMBED_POST})))
        await db.execute(_PENDING, {"ids": ids})
        for post_id in ids:
            await want_embedding(db, post_id)
    return len(ids)


@app.command()
def calibrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the points.")] = False, as_json: AsJson = False
) -> None:
    """Takes each space's similarity scale from the site's own posts, at least 200 of them, for models never measured."""
    found = asyncio.run(_with_services(lambda services: _calibrate(services.database, dry_run)))
    if as_json:
        typer.echo(msgspec.json.encode({"spaces": found}).decode())
        return
    for name, points in found.items():
        typer.echo(f"{name}: {points or 'fewer than 200 vectors, left as it is'}")


async def _calibrate(database: Database, dry_run: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with database.transaction() as db:
        for space in await active_spaces(db):
            packed = list(await db.scalars(_SAMPLE, {"space_id": space.id}))
            if len(packed) < 200:
                found[space.name] = None
                continue
            vectors = np.stack([unpack(vector) for vector in packed])
            cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
            calibration = from_unrelated(cosines)
            found[space.name] = calibration["points"]
            if not dry_run:
                await db.execute(_CALIBRATE, {"id": space.id, "calibration": calibration})
    return found


async def _with_services(work: Any) -> Any:
    async with open_services(pool_size=4) as services:
        return await work(services)
