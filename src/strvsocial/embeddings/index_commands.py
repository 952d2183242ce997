"""`strvsocial index`: is the index what PostgreSQL says, and make it so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.console import AsJson
from strvsocial.db import Database
from strvsocial.embeddings import index_changes as changes
from strvsocial.embeddings import index_shelves as shelves
from strvsocial.embeddings.index_changes import SpaceRow
from strvsocial.embeddings.index_checks import check
from strvsocial.embeddings.index_snapshots import BadSnapshot, SnapshotStore, open_redis
from strvsocial.services import open_database
from strvsocial.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="The index of vectors that similar posts are found in.")
OneSpace = Annotated[str | None, typer.Option("--space", help="Only this space: text, look or sound.")]


@asynccontextmanager
async def _open(
    name: str | None = None,
) -> AsyncIterator[tuple[Database, AsyncConnection, SnapshotStore, list[SpaceRow]]]:
    settings = get_settings()
    redis = open_redis(settings.redis_url)
    try:
        async with open_database(settings) as database, database.read() as reader:
            store = SnapshotStore(redis, await changes.find_site(reader))
            spaces = [space for space in await changes.active_spaces(reader) if name in (None, space.name)]
            if name is not None and not spaces:
                raise typer.BadParameter(f"no active space is called {name}")
            yield database, reader, store, spaces
    finally:
        await redis.aclose()


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"spaces": rows}).decode())
        return
    if not rows:
        typer.echo("There is no active space yet: nothing has been embedded.")
        return
    table = Table(*rows[0].keys())
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    Console().print(table)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Vectors in PostgreSQL and the snapshot in Redis, for each active space."""
    _print(asyncio.run(_read_status()), as_json)


async def _read_status() -> list[dict[str, Any]]:
    async with _open() as (_, reader, store, spaces):
        mark = await changes.watermark(reader)
        found = []
        for space in spaces:
            snapshot: dict[str, Any] = {
                "snapshot": "none",
                "snapshot_count": None,
                "saved": None,
                "transactions_behind": None,
            }
            try:
                manifest = await store.find_manifest(space.id)
                if manifest is not None:
                    snapshot = {
                        "snapshot": "current" if manifest.generation == space.generation else "outdated",
                        "snapshot_count": manifest.count,
                        "saved": manifest.saved_at.isoformat(timespec="seconds"),
                        "transactions_behind": max(0, mark - manifest.watermark),
                    }
            except BadSnapshot:
                snapshot["snapshot"] = "damaged"
            except Exception as error:
                snapshot["snapshot"] = f"out of reach: {error}"
            rows = await changes.count(reader, space)
            found.append({"space": space.name, "id": space.id, "dim": space.dim, "vectors": rows, **snapshot})
        return found


@app.command()
def rebuild(
    name: OneSpace = None,
    as_json: AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
) -> None:
    """Builds the index anew from PostgreSQL, saves the snapshot, and has running web processes load it."""
    _print(asyncio.run(_rebuild(name, dry_run, show=not as_json)), as_json)


async def _rebuild(name: str | None, dry_run: bool, show: bool) -> list[dict[str, Any]]:
    done = []
    async with _open(name) as (database, reader, store, spaces):
        for space in spaces:
            if dry_run:
                done.append({"space": space.name, "would_rebuild": await changes.count(reader, space)})
                continue
            dropped = await store.drop(space.id)
            newer = msgspec.structs.replace(space, generation=space.generation + 1)
            with Progress(console=Console(stderr=True), disable=not show) as bar:
                task = bar.add_task(f"Loading {space.name}", total=None)
                shelf = await shelves.load(reader, store, newer, partial(_show, bar, task))
            saved = await shelves.save(store, shelf)
            async with database.transaction() as db:
                await changes.ask_for_reload(db, space.id)
            done.append({"space": space.name, "vectors": len(shelf.index), "dropped_old": dropped, "saved": saved})
    return done


def _show(bar: Progress, task: TaskID, loaded: int, total: int) -> None:
    bar.update(task, completed=loaded, total=total)


@app.command()
def verify(
    name: OneSpace = None,
    as_json: AsJson = False,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Queries for the recall.")] = 100,
) -> None:
    """Proves that what a web process would load equals PostgreSQL: ids, vectors, and recall. Exit status 1 if not."""
    rows = asyncio.run(_verify(name, samples))
    _print(rows, as_json)
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


async def _verify(name: str | None, samples: int) -> list[dict[str, Any]]:
    found = []
    async with _open(name) as (_, reader, store, spaces):
        for space in spaces:
            started = datetime.now(UTC)
            shelf = await shelves.load(reader, store, space)
            repaired = shelf.unsaved if shelf.source == "snapshot" else 0
            result = await check(reader, shelf, samples)
            seconds = (datetime.now(UTC) - started).total_seconds()
            row = {"space": space.name, "source": shelf.source, "tail": repaired, **msgspec.to_builtins(result)}
            found.append({**row, "ok": result.ok, "seconds": round(seconds, 2)})
    return found
