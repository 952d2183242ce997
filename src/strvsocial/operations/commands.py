"""`strvsocial doctor`, `settings` and `jobs`."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strvsocial.console import AsJson
from strvsocial.operations import effective_settings, job_rows
from strvsocial.operations.doctor import examine
from strvsocial.operations.findings import Finding
from strvsocial.services import open_database
from strvsocial.settings import Settings, get_settings
from strvsocial.users import audit

_MARKS = {"ok": Text("ok", "green"), "warn": Text("warn", "yellow"), "fail": Text("fail", "red")}

doctor_app = typer.Typer(subcommand_metavar="")
settings_app = typer.Typer(no_args_is_help=True, help="What this site is set to.")
jobs_app = typer.Typer(no_args_is_help=True, help="Work that is wanted, running, done or given up.")


class JobState(StrEnum):
    """States of jobs, for the command line."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


@doctor_app.callback(invoke_without_command=True)
def doctor(as_json: AsJson = False) -> None:
    """Look at everything the site depends on; the exit code tells whether something fails."""
    findings = asyncio.run(examine(_settings(as_json)))
    failed = any(finding.state == "fail" for finding in findings)
    if as_json:
        _print_json({"ok": not failed, "findings": findings})
    else:
        _print_findings(findings)
    raise typer.Exit(int(failed))


@settings_app.command()
def check(as_json: AsJson = False) -> None:
    """Print every setting, where it comes from, and the STRV_ variables that nothing reads. Secrets are masked."""
    found = effective_settings.list_effective(_settings(as_json))
    unknown = effective_settings.unknown_names()
    if as_json:
        _print_json({"settings": found, "unknown": unknown})
    else:
        table = Table("setting", "value", "from", box=None)
        for setting in found:
            table.add_row(setting.name, "" if setting.value is None else str(setting.value), setting.source)
        Console().print(table)
        for name in unknown:
            typer.echo(f"{name} is set, but nothing reads it. Is it misspelt?", err=True)
    raise typer.Exit(int(bool(unknown)))


@jobs_app.command("list")
def list_(
    state: Annotated[JobState | None, typer.Option(help="List the jobs in this state instead of counting.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Count jobs by queue, kind and state; the given-up ones are listed with their last error."""
    counts, rows = asyncio.run(_read_jobs(state or JobState.DEAD, limit))
    if as_json:
        _print_json({"counts": counts, "jobs": rows})
        return
    console = Console()
    if state is None:
        table = Table("queue", "kind", "state", "count", "oldest", box=None)
        for count in counts:
            table.add_row(count.queue, count.kind, count.state, str(count.count), f"{count.oldest:%Y-%m-%d %H:%M}")
        console.print(table if counts else "There are no jobs.")
    if rows or state is not None:
        console.print(_job_table(rows))


@jobs_app.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of given-up jobs.")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every given-up job.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which jobs would be tried again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try given-up jobs again."""
    if bool(ids) == all_dead:
        raise typer.BadParameter("name ids, or say --all-dead")
    rows = asyncio.run(_retry_jobs(None if all_dead else ids, dry_run))
    missing = sorted(set(ids or []) - {row.id for row in rows})
    if as_json:
        _print_json({"dry_run": dry_run, "jobs": rows, "not_retried": missing})
    else:
        jobs = "1 job" if len(rows) == 1 else f"{len(rows)} jobs"
        typer.echo(f"{jobs} would be tried again." if dry_run else f"{jobs} will be tried again.")
        for job_id in missing:
            typer.echo(f"{job_id} is no given-up job, or an equal one waits already.", err=True)
    raise typer.Exit(int(bool(missing)))


def _settings(as_json: bool) -> Settings:
    """The settings, or every bad one told at once and exit code 2."""
    try:
        return get_settings()
    except ValidationError as error:
        bad = [{"name": str(problem["loc"][0]), "message": problem["msg"]} for problem in error.errors()]
        if as_json:
            _print_json({"ok": False, "bad": bad})
        for problem in bad:
            typer.echo(f"{problem['name']}: {problem['message']}", err=True)
        raise typer.Exit(2) from error


def _print_findings(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(_MARKS[finding.state], finding.name, finding.message)
        if finding.hint:
            table.add_row("", "", Text(f"→ {finding.hint}", "dim"))
    Console().print(table)


def _job_table(rows: list[job_rows.JobRow]) -> Table:
    table = Table("id", "kind", "attempts", "payload", "last error", box=None)
    for row in rows:
        error = (row.last_error or "").strip().splitlines()[-1:] or [""]
        table.add_row(
            str(row.id), row.kind, str(row.attempts), msgspec.json.encode(row.payload).decode(), Text(error[0])
        )
    return table


def _print_json(data: Any) -> None:
    typer.echo(msgspec.json.encode(data).decode())


async def _read_jobs(state: JobState, limit: int) -> tuple[list[job_rows.JobCount], list[job_rows.JobRow]]:
    async with open_database(pool_size=1) as database, database.read() as reader:
        return await job_rows.count_jobs(reader), await job_rows.list_jobs(reader, state, limit)


async def _retry_jobs(ids: list[int] | None, dry_run: bool) -> list[job_rows.JobRow]:
    async with open_database(pool_size=1) as database:
        if dry_run:
            async with database.read() as reader:
                return await job_rows.choose_dead(reader, ids)
        async with database.transaction() as db:
            rows = await job_rows.retry_dead(db, ids)
            if rows:
                kinds = sorted({row.kind for row in rows})
                await audit.record(db, None, "jobs.retry", ", ".join(kinds), jobs=len(rows), kinds=kinds)
            return rows
