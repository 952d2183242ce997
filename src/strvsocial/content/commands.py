"""`strvsocial posts`: list, delete and import posts."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import select

from strvsocial.console import AsJson, DryRun
from strvsocial.content.import_lines import BadLine
from strvsocial.content.imports import Import, Tally
from strvsocial.content.models import MEDIA_TYPES, STATUSES, VISIBILITIES, Post
from strvsocial.content.posts import remove
from strvsocial.services import open_services
from strvsocial.users.models import User
from strvsocial.users.names import username_key

app = typer.Typer(no_args_is_help=True, help="What people posted.")
_errors = Console(stderr=True)
_REPORTED = 1_000
"""Bad lines that the JSON summary names; all are counted and printed."""


@app.command("list")
def list_posts(
    author: Annotated[str | None, typer.Option(help="Only this person's.")] = None,
    media_type: Annotated[str | None, typer.Option(help=f"Only one of {', '.join(MEDIA_TYPES)}.")] = None,
    status: Annotated[str | None, typer.Option(help=f"Only one of {', '.join(STATUSES)}.")] = None,
    visibility: Annotated[str | None, typer.Option(help=f"Only one of {', '.join(VISIBILITIES)}.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Lists posts, whatever their visibility."""
    filters = {"media_type": media_type, "status": status, "visibility": visibility}
    rows = asyncio.run(_list(author, {name: value for name, value in filters.items() if value}, limit))
    if as_json:
        typer.echo(msgspec.json.encode({"posts": rows}).decode())
        return
    table = Table("id", "author", "kind", "status", "visibility", "created", "title")
    for row in rows:
        created = row["created_at"].astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        shown = [row["id"], row["author"], row["media_type"], row["status"], row["visibility"], created, row["title"]]
        table.add_row(*shown)
    Console().print(table)


async def _list(author: str | None, filters: dict[str, str], limit: int) -> list[dict[str, Any]]:
    query = (
        select(
            Post.public_id.label("id"),
            User.username.label("author"),
            Post.title,
            Post.media_type,
            Post.status,
            Post.failure,
            Post.pending,
            Post.visibility,
            Post.created_at,
        )
        .join(User, User.id == Post.author_id)
        .where(*(getattr(Post, name) == value for name, value in filters.items()))
        .order_by(Post.created_at.desc(), Post.id.desc())
        .limit(limit)
    )
    if author:
        query = query.where(User.username_key == username_key(author))
    async with open_services() as opened, opened.database.read() as reader:
        return [dict(row._mapping) for row in await reader.execute(query)]


@app.command("delete")
def delete_posts(
    ids: Annotated[list[str], typer.Argument(help="Ids, as in /p/ID.")],
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deletes posts with their media and vectors. Exit code 1 when one of them is not there."""
    found = asyncio.run(_find(ids))
    missing = [public_id for public_id in ids if public_id not in found]
    for public_id in missing:
        _errors.print(f"There is no post {public_id}.", markup=False)
    if found and not dry_run:
        if not yes:
            titles = "\n".join(f"  {public_id}  {title}" for public_id, (_, title) in found.items())
            typer.confirm(f"{titles}\nDelete {len(found)} post(s) for good?", abort=True, err=True)
        asyncio.run(_delete([post_id for post_id, _ in found.values()]))
    if as_json:
        answer = {"deleted": list(found), "missing": missing, "dry_run": dry_run}
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        typer.echo(f"{'Would delete' if dry_run else 'Deleted'} {len(found)} post(s).")
    raise typer.Exit(1 if missing else 0)


async def _find(ids: list[str]) -> dict[str, tuple[int, str]]:
    query = select(Post.public_id, Post.id, Post.title).where(Post.public_id.in_(ids)).order_by(Post.id)
    async with open_services() as opened, opened.database.read() as reader:
        return {row.public_id: (row.id, row.title) for row in await reader.execute(query)}


async def _delete(post_ids: list[int]) -> None:
    async with open_services() as opened:
        for start in range(0, len(post_ids), 200):
            async with opened.database.transaction() as db:
                await remove(db, post_ids[start : start + 200])


@app.command("import")
def import_posts(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="One JSON object a line.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Imports posts. Started again it goes on where it stopped: the same key is imported once.

    A line is {"key", "author", "title", "text"?, "tags"?, "files"?, "alt"?, "created_at"?, "visibility"?}; files are
    paths relative to FILE. Bad lines are reported and passed over, and then the exit code is 1.
    """
    started = datetime.now(UTC)
    bad: list[BadLine] = []
    tally = asyncio.run(_import(file, file.stat().st_size, dry_run, bad))
    seconds = (datetime.now(UTC) - started).total_seconds()
    if as_json:
        lines = [{"line": line.number, "reason": line.reason} for line in bad]
        counts = {name: value for name, value in asdict(tally).items() if name != "position"}
        summary = {**counts, "lines": tally.lines, "seconds": round(seconds, 2), "dry_run": dry_run, "bad_lines": lines}
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        typer.echo(
            f"{'Would import' if dry_run else 'Imported'} {tally.imported:,} posts with {tally.files:,} files and "
            f"{tally.authors:,} new people in {seconds:,.1f} s; {tally.known:,} were here already, {tally.bad:,} bad lines."
        )
    raise typer.Exit(1 if tally.bad else 0)


async def _import(file: Path, byte_size: int, dry_run: bool, bad: list[BadLine]) -> Tally:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[lines]:,} lines, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started = asyncio.get_running_loop().time()
    with Progress(*columns, console=_errors) as progress:
        task = progress.add_task("Importing", total=byte_size, lines=0, rate=0.0)

        def show(tally: Tally) -> None:
            elapsed = max(asyncio.get_running_loop().time() - started, 0.001)
            progress.update(task, completed=tally.position, lines=tally.lines, rate=tally.lines / elapsed)

        def note(line: BadLine) -> None:
            if len(bad) < _REPORTED:
                bad.append(line)
            progress.console.print(f"line {line.number}: {line.reason}", markup=False, highlight=False, soft_wrap=True)

        async with open_services() as opened:
            run = Import(opened.database, opened.storage, opened.settings, dry_run, on_bad=note, on_chunk=show)
            tally = await run.run(file)
        show(tally)
    return tally
