"""`strvsocial media`: how much is stored, and whether storage and the database agree."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from strvsocial.console import AsJson
from strvsocial.media.holding import BackupRuns
from strvsocial.media.sweeping import Comparison, abort_abandoned, compare, count_bytes, delete_orphans
from strvsocial.services import open_database, open_services
from strvsocial.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="Stored pictures, sound and films.")
_SHOWN = 20


@app.command()
def usage(
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many people to name.")] = 10, as_json: AsJson = False
) -> None:
    """Bytes by kind, originals beside renditions, who has most of them and may have how many, and what is saved by storing
    equal bytes once."""

    async def count() -> dict[str, Any]:
        async with open_database() as database, database.transaction() as db:
            return await count_bytes(db, get_settings(), top)

    found = asyncio.run(count())
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    console = Console()
    for name, title in (("kinds", "by kind"), ("people", "by person")):
        rows = found[name]
        if not rows:
            continue
        table = Table(*(column.replace("_", " ").removesuffix(" bytes") for column in rows[0]), box=None, title=title)
        for row in rows:
            table.add_row(*(_shown(column, value) for column, value in row.items()))
        console.print(table)
    once, waiting = found["stored_once"], found["unused_uploads"]
    console.print(
        f"Rows name {decimal(once['named_bytes'])}; equal bytes are stored once: {decimal(once['stored_bytes'])}"
        f" in {once['objects']} objects, {decimal(once['saved_bytes'])} saved."
    )
    console.print(f"Uploads that no post uses yet: {waiting['files']}, {decimal(waiting['bytes'])}.")


@app.command()
def orphans(
    delete: Annotated[
        bool, typer.Option("--delete/--dry-run", help="Delete orphans, or only say what would be deleted.")
    ] = False,
    grace_hours: Annotated[float, typer.Option(min=0, help="Leave alone what is younger.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Objects without rows, rows without objects, and abandoned multipart uploads. Deletes only with --delete."""
    try:
        found, deleted = asyncio.run(_inspect(delete, timedelta(hours=grace_hours), quiet=as_json))
    except BackupRuns as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from error
    if as_json:
        answer = {"dry_run": not delete, "deleted": deleted, **msgspec.to_builtins(found)}
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        _print(found, deleted if delete else None)
    raise typer.Exit(int(bool(found.missing)))


async def _inspect(delete: bool, grace: timedelta, *, quiet: bool) -> tuple[Comparison, int]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    async with open_services() as (_, database, storage):
        with Progress(*columns, console=console, disable=hides_bars(console, quiet), transient=True) as bars:
            listing = bars.add_task("listing objects", total=None)
            found = await compare(database, storage, grace, lambda count: bars.update(listing, completed=count))
            deleted = 0
            if delete:
                keys = [orphan.key for orphan in found.orphans]
                task = bars.add_task("deleting orphans", total=len(keys))
                deleted = await delete_orphans(database, storage, keys, lambda n: bars.update(task, completed=n))
                await abort_abandoned(database, storage, grace)
    return found, deleted


def hides_bars(console: Console, quiet: bool) -> bool:
    """Whether nobody would see progress bars."""
    return quiet or not console.is_terminal


def _print(found: Comparison, deleted: int | None) -> None:
    console = Console()
    size = decimal(sum(orphan.byte_size for orphan in found.orphans))
    console.print(f"{found.objects} objects, {len(found.orphans)} of them without a row ({size}).")
    for orphan in found.orphans[:_SHOWN]:
        console.print(
            f"  {orphan.key}  {decimal(orphan.byte_size)}  {orphan.modified_at:%Y-%m-%d %H:%M}", highlight=False
        )
    if len(found.orphans) > _SHOWN:
        console.print(f"  and {len(found.orphans) - _SHOWN} more; --json names them all")
    console.print(f"{len(found.multiparts)} abandoned multipart uploads.")
    console.print(f"{len(found.missing)} rows whose bytes are gone.")
    for missing in found.missing[:_SHOWN]:
        console.print(f"  {missing.about}: {missing.key}", highlight=False)
    if deleted is not None:
        console.print(f"Deleted {deleted} objects.")
    elif found.orphans or found.multiparts:
        console.print("Nothing was deleted: run it again with --delete.")


def _shown(column: str, value: int | str | None) -> str:
    if value is None:
        return "unlimited" if column == "quota_bytes" else ""
    return decimal(int(value)) if column.endswith("_bytes") else str(value)
