"""`strvsocial backup`: create, list, verify, restore, prune."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from alembic.config import Config
from alembic.script import ScriptDirectory
from asyncpg import PostgresError
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from strvsocial.backups import creating, restoring
from strvsocial.backups.creating import OnProgress
from strvsocial.backups.keys import find_identities, find_recipients, read_passphrase
from strvsocial.backups.manifests import BadBackup, Manifest
from strvsocial.backups.pruning import Pruned
from strvsocial.backups.pruning import prune as prune_backups
from strvsocial.backups.shelves import Shelf, open_shelf
from strvsocial.backups.verifying import Verdict
from strvsocial.backups.verifying import verify as verify_backup
from strvsocial.console import AsJson, DryRun
from strvsocial.errors import StrvError
from strvsocial.settings import ROOT, Settings, get_settings
from strvsocial.storage import open_storage

app = typer.Typer(no_args_is_help=True, help="Backups of everything: create, verify, restore.")
_SHOWN = 20

Place = Annotated[
    str | None,
    typer.Argument(
        metavar="FOLDER", help="A folder or s3://bucket/prefix. Default: STRV_BACKUP_DIR.", show_default=False
    ),
]
Name = Annotated[str | None, typer.Option(help="Which backup, as `backup list` names it. Default: the newest.")]
PassphraseFile = Annotated[Path | None, typer.Option(help="Read the passphrase from here, not from the environment.")]
Identity = Annotated[Path | None, typer.Option(help="A file with the secret age key (AGE-SECRET-KEY-1…).")]


@app.command()
def create(
    place: Place = None,
    without_media: Annotated[bool, typer.Option(help="Only the database: the bucket keeps versions itself.")] = False,
    originals_only: Annotated[bool, typer.Option(help="Leave out what can be made again from the originals.")] = False,
    passphrase_file: PassphraseFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Back up the database and the media while the site runs. What lies there already is not copied again."""
    if without_media and originals_only:
        raise typer.BadParameter("say --without-media or --originals-only, not both")
    media = "none" if without_media else "originals" if originals_only else "all"

    async def work(settings: Settings, on: OnProgress) -> Manifest | dict[str, Any]:
        async with open_shelf(_place(place, settings), settings) as shelf, open_storage(settings) as storage:
            passphrase = read_passphrase(settings, passphrase_file)
            recipients = await find_recipients(settings, shelf, passphrase)
            if not dry_run:
                return await creating.create(settings, storage, shelf, recipients, media, on)
            plan = await creating.plan(settings, storage, shelf, recipients, media)
            return {
                "dry_run": True,
                "database_bytes": plan.snapshot.database_bytes,
                "objects": len(plan.wanted),
                "object_bytes": plan.wanted_bytes,
                "already_there": len(plan.copied),
                "missing": [reference.key for reference in plan.absent],
                "free_bytes": shelf.free_bytes(),
            }

    made = _run(work, as_json)
    problems = [*made.missing, *made.damaged] if isinstance(made, Manifest) else made["missing"]
    if as_json:
        _print_json(made)
    elif isinstance(made, Manifest):
        _print_created(made)
    else:
        typer.echo(
            f"Would dump a database of {decimal(made['database_bytes'])} and copy {made['objects']} objects "
            f"({decimal(made['object_bytes'])}); {made['already_there']} are there already."
        )
    raise typer.Exit(int(bool(problems)))


@app.command("list")
def list_(place: Place = None, as_json: AsJson = False) -> None:
    """List the finished backups, the oldest first."""

    async def work(settings: Settings, on: OnProgress) -> list[Manifest]:
        async with open_shelf(_place(place, settings), settings, must_exist=True) as shelf:
            return [await shelf.load_manifest(name) for name in await shelf.list_backups()]

    found = _run(work, as_json)
    if as_json:
        _print_json(found)
        return
    for manifest in found:
        kind = "encrypted" if manifest.encrypted else "plain"
        size = decimal(manifest.dump.byte_size + manifest.object_bytes)
        typer.echo(
            f"{manifest.name}  {size:>10}  {manifest.rows.get('posts', 0)} posts  {kind}, media: {manifest.media}"
        )
    if not found:
        typer.echo("There are no finished backups here.")


@app.command()
def verify(
    place: Place = None,
    name: Name = None,
    identity: Identity = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Read every byte of a backup and say what is wrong with it. Needs no database."""

    async def work(settings: Settings, on: OnProgress) -> Verdict:
        async with open_shelf(_place(place, settings), settings, must_exist=True) as shelf:
            chosen = await shelf.choose(name)
            identities = await find_identities(shelf, read_passphrase(settings, passphrase_file), identity)
            return await verify_backup(shelf, chosen, identities, on)

    verdict = _run(work, as_json)
    if as_json:
        _print_json({"ok": not verdict.problems, **msgspec.to_builtins(verdict)})
    else:
        _print_verdict(verdict)
    raise typer.Exit(int(bool(verdict.problems)))


@app.command()
def restore(
    place: Place = None,
    name: Name = None,
    force: Annotated[
        str | None, typer.Option(metavar="DATABASE", help="Replace what is there; names the database to be replaced.")
    ] = None,
    identity: Identity = None,
    passphrase_file: PassphraseFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty site. Web, worker and embedder must be stopped. May be run again when interrupted."""

    async def work(settings: Settings, on: OnProgress) -> restoring.Restored | restoring.Target:
        async with open_shelf(_place(place, settings), settings, must_exist=True) as shelf:
            chosen = await shelf.choose(name)
            identities = await find_identities(shelf, read_passphrase(settings, passphrase_file), identity)
            manifest = await _refuse_damaged(shelf, chosen, identities, on)
            objects = await shelf.load_objects(chosen)
            async with open_storage(settings) as storage:
                target = await restoring.inspect(settings, storage, manifest, objects)
                if dry_run:
                    return target
                restoring.refuse(target, manifest, force, _known_revisions())
                return await restoring.restore(settings, storage, shelf, manifest, objects, identities, on)

    done = _run(work, as_json)
    if as_json:
        _print_json({"dry_run": dry_run, **msgspec.to_builtins(done)})
    elif isinstance(done, restoring.Target):
        what = "is empty" if done.is_empty else f"holds {done.people} people, whom --force {done.database} replaces"
        typer.echo(
            f"The backup is whole. The database {done.database} {what}; clients: {', '.join(done.clients) or 'none'}."
        )
    else:
        _print_restored(done)


@app.command()
def prune(
    place: Place = None,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest backups to keep.")] = 7,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete all but the newest backups, and the objects that only they hold. Not while one is being made."""

    async def work(settings: Settings, on: OnProgress) -> Pruned:
        async with open_shelf(_place(place, settings), settings, must_exist=True) as shelf:
            return await prune_backups(shelf, keep, dry_run=dry_run)

    done = _run(work, as_json)
    if as_json:
        _print_json({"dry_run": dry_run, **msgspec.to_builtins(done)})
        return
    verb = "Would delete" if dry_run else "Deleted"
    typer.echo(f"{verb} {len(done.backups)} backups and {done.objects} objects ({decimal(done.object_bytes)}).")


def _place(place: str | None, settings: Settings) -> str:
    found = place or settings.backup_dir
    if not found:
        raise BadBackup("Where? Name a folder or s3://bucket/prefix, or set STRV_BACKUP_DIR.")
    return found


async def _refuse_damaged(shelf: Shelf, name: str, identities: Any, on: OnProgress) -> Manifest:
    """Nothing is touched before all of the backup has been read and opened."""
    verdict = await verify_backup(shelf, name, identities, on)
    manifest = verdict.manifest
    if manifest is None or verdict.problems:
        raise BadBackup("Nothing was restored, the backup is damaged: " + "; ".join(verdict.problems[:_SHOWN]))
    if not verdict.dump_opened:
        raise BadBackup("The backup is encrypted: set STRV_BACKUP_PASSPHRASE, or name its key with --identity.")
    return manifest


def _known_revisions() -> set[str]:
    scripts = ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini")))
    return {script.revision for script in scripts.walk_revisions()}


def _run(work: Callable[[Settings, OnProgress], Awaitable[Any]], as_json: bool) -> Any:
    """The result; or the reason, and exit code 1."""

    async def run() -> Any:
        with _bars(hidden=as_json) as on:
            return await work(get_settings(), on)

    try:
        return asyncio.run(run())
    except (StrvError, PostgresError, OSError) as error:
        reason = error.message if isinstance(error, StrvError) else f"{type(error).__name__}: {error}"
        if as_json:
            _print_json({"ok": False, "error": reason})
        typer.echo(reason, err=True)
        raise typer.Exit(1) from error


@contextmanager
def _bars(*, hidden: bool) -> Iterator[OnProgress]:
    """Progress bars on a terminal, else nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=hidden or not console.is_terminal, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def on(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield on


def _print_created(manifest: Manifest) -> None:
    seconds = (manifest.finished_at - manifest.started_at).total_seconds()
    typer.echo(
        f"Backup {manifest.name}: {manifest.rows.get('posts', 0)} posts, {manifest.rows.get('users', 0)} people, "
        f"{manifest.objects} objects ({decimal(manifest.object_bytes)}), in {seconds:.0f} s."
    )
    if manifest.gone:
        typer.echo(f"{len(manifest.gone)} objects were deleted by their owners meanwhile.")
    for title, keys in (
        ("Rows refer to them, but the storage does not have them", manifest.missing),
        ("Originals whose bytes are not those that were uploaded", manifest.damaged),
    ):
        if keys:
            typer.echo(f"{title}:", err=True)
            for key in keys[:_SHOWN]:
                typer.echo(f"  {key}", err=True)
            if len(keys) > _SHOWN:
                typer.echo(f"  and {len(keys) - _SHOWN} more; --json names them all", err=True)


def _print_verdict(verdict: Verdict) -> None:
    for problem in verdict.problems[:_SHOWN]:
        typer.echo(problem, err=True)
    if len(verdict.problems) > _SHOWN:
        typer.echo(f"and {len(verdict.problems) - _SHOWN} more; --json names them all", err=True)
    if verdict.manifest is None or verdict.problems:
        typer.echo(f"Backup {verdict.name} is damaged: {len(verdict.problems)} problems.", err=True)
        return
    rows, hours = verdict.manifest.rows, verdict.age_seconds / 3600
    opened = "the dump can be read" if verdict.dump_opened else "the dump was not opened: no key was given"
    typer.echo(
        f"Backup {verdict.name} is whole: {rows.get('posts', 0)} posts, {rows.get('users', 0)} people, "
        f"{verdict.files} files ({decimal(verdict.byte_size)}), {hours:.1f} hours old; {opened}."
    )


def _print_restored(done: restoring.Restored) -> None:
    typer.echo(
        f"Restored {done.name}: {done.rows.get('posts', 0)} posts, {done.rows.get('users', 0)} people, "
        f"{done.objects} objects ({decimal(done.object_bytes)}), {done.reused} of them were there already."
    )
    typer.echo(
        "Next: alembic upgrade head (nothing to do when the version is the same), start web, worker and embedder,"
    )
    typer.echo("then look: strvsocial doctor, strvsocial media orphans, strvsocial index verify.")


def _print_json(data: Any) -> None:
    typer.echo(msgspec.json.encode(data).decode())
