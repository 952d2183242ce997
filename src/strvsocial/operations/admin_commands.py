"""`strvsocial processes` and `audit`: what the admin's pages show of them, on the console."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from strvsocial.console import AsJson
from strvsocial.operations.processes import ProcessView, list_processes
from strvsocial.services import open_database
from strvsocial.users import audit
from strvsocial.users.audit import AuditView
from strvsocial.web.formats import duration, size

processes_app = typer.Typer(no_args_is_help=True, help="The processes that run the site.")
audit_app = typer.Typer(no_args_is_help=True, help="What admins did.")


@processes_app.callback()
@audit_app.callback()
def group() -> None:
    """Keeps `list` a command of its own: typer would make a lone command the whole."""


@processes_app.command("list")
def list_running(as_json: AsJson = False) -> None:
    """The processes that were seen within a day, and what they do."""
    found = asyncio.run(_read_processes())
    if as_json:
        _print_json({"items": found})
        return
    table = Table("process", "state", "host", "pid", "version", "memory", "for", "at work on", box=None)
    now = datetime.now(UTC)
    for one in found:
        state = "running" if one.is_alive else f"gone for {duration(round((now - one.seen_at).total_seconds()))}"
        age = duration(round((one.seen_at - one.started_at).total_seconds()))
        doing = ", ".join(f"{job.kind} ({job.id})" for job in one.details.jobs)
        table.add_row(one.kind, state, one.host, str(one.pid), one.version, size(one.details.rss), age, doing)
    Console().print(table if found else "No process was seen within a day.")


@audit_app.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50, as_json: AsJson = False
) -> None:
    """What admins did, in the pages and in the console, the latest first."""
    found = asyncio.run(_read_entries(limit))
    if as_json:
        _print_json({"items": found})
        return
    table = Table("when", "who", "did", "about", "details", box=None)
    for one in found:
        details = ", ".join(f"{name} {value}" for name, value in one.details.items())
        table.add_row(f"{one.created_at:%Y-%m-%d %H:%M}", one.actor, one.action, one.about, details)
    Console().print(table if found else "Nothing yet.")


def _print_json(data: Any) -> None:
    typer.echo(msgspec.json.encode(data).decode())


async def _read_processes() -> list[ProcessView]:
    async with open_database(pool_size=1) as database, database.read() as reader:
        return await list_processes(reader)


async def _read_entries(limit: int) -> list[AuditView]:
    async with open_database(pool_size=1) as database, database.read() as reader:
        return (await audit.list_entries(reader, limit=limit)).items
