"""`strvsocial demo`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import func, select

from strvsocial.console import AsJson
from strvsocial.services import open_database, open_services

app = typer.Typer(no_args_is_help=True, help="The demo content: posts of all five kinds by a cast of eleven people.")


@app.command()
def load(
    as_json: AsJson = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many posts are missing.")] = False,
) -> None:
    """Load what is not there yet. It may be stopped and started again."""
    asyncio.run(_load(as_json, dry_run))


@app.command()
def clear(
    as_json: AsJson = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many people and posts would go.")] = False,
) -> None:
    """Delete the demo people with everything of theirs."""
    asyncio.run(_clear(as_json, yes, dry_run))


async def _load(as_json: bool, dry_run: bool) -> None:
    from strvsocial.demo.loading import list_missing, load

    async with open_services() as (settings, database, storage):
        if dry_run:
            missing = len(await list_missing(database))
            _say(as_json, {"missing": missing}, f"{missing} demo posts would be loaded.")
            return
        columns = (
            TextColumn("Demo content"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=None)
            loaded = await load(
                database,
                storage,
                settings,
                lambda done, total, title: bar.update(task, completed=done, total=total, description=title),
            )
        _say(
            as_json,
            {"loaded": loaded},
            f"{loaded} demo posts were loaded; the worker and the embedder take it from here.",
        )


async def _clear(as_json: bool, yes: bool, dry_run: bool) -> None:
    from strvsocial.content.models import Post
    from strvsocial.demo.loading import clear
    from strvsocial.users.models import User

    async with open_database() as database:
        async with database.read() as reader:
            people = await reader.scalar(select(func.count()).where(User.is_demo)) or 0
            posts = (
                await reader.scalar(select(func.count()).where(Post.author_id.in_(select(User.id).where(User.is_demo))))
                or 0
            )
        if dry_run:
            _say(as_json, {"people": people, "posts": posts}, f"{people} people with {posts} posts would be deleted.")
            return
        if not yes:
            typer.confirm(f"Delete {people} demo people with {posts} posts?", abort=True)
        cleared = await clear(database)
        _say(as_json, {"people": cleared, "posts": posts}, f"{cleared} demo people with {posts} posts were deleted.")


def _say(as_json: bool, data: dict[str, int], sentence: str) -> None:
    typer.echo(json.dumps(data) if as_json else sentence)
