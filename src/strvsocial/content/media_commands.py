"""`strvsocial media`: what media's own commands do not know, because it is about posts: verify and repair, reprocess."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from strvsocial.console import AsJson, DryRun
from strvsocial.content.renewing import Wish, count_wanted, list_waiting, want_repair, want_some
from strvsocial.db import Database
from strvsocial.media.commands import app, hides_bars
from strvsocial.media.verifying import Progress, Wrong, find_wrong, mend_originals, read_originals
from strvsocial.services import open_database, open_services
from strvsocial.settings import MB
from strvsocial.storage import Storage
from strvsocial.users import audit
from strvsocial.users.names import username_key

__all__ = ["app"]

POLL_SECONDS = 1.0
_PROBLEMS = {"lost": "is not in storage", "size": "has another size", "content": "holds other bytes than were sent"}
Kind = Literal["image", "gif", "audio", "video"]
Role = Literal[
    "variant", "playback", "poster", "rung", "playlist", "storyboard", "preview", "waveform", "pcm", "frames"
]


@app.command()
def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Read every original, and compare its sha256.")] = False,
    first: Annotated[int, typer.Option("--from", min=0, help="Go on with --deep where it stopped.")] = 0,
    repair: Annotated[
        bool,
        typer.Option("--repair/--dry-run", help="Want lost renditions made again, and use other copies of originals."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Looks whether all that posts name is in storage, whole. Ends with 1 when something is wrong."""
    found = _Found()
    with _bars(as_json) as bars:
        try:
            asyncio.run(_verify(found, deep, first, repair, bars))
        except KeyboardInterrupt:
            found.stopped_at = found.progress.next if found.progress else 0
    if as_json:
        typer.echo(msgspec.json.encode(found.told).decode())
    else:
        _print_found(found, repair)
    raise typer.Exit(130 if found.stopped_at is not None else int(bool(found.left)))


class _Found:
    """What came of it, as far as it came."""

    def __init__(self) -> None:
        self.objects = 0
        self.wrong: list[Wrong] = []
        self.mended: list[Wrong] = []
        self.wanted = 0
        self.progress: Progress | None = None
        self.stopped_at: int | None = None

    @property
    def left(self) -> list[Wrong]:
        """What is wrong and was not mended on the spot."""
        return [one for one in self.wrong if one not in self.mended]

    @property
    def told(self) -> dict[str, Any]:
        read = {"files": self.progress.files, "bytes": self.progress.bytes} if self.progress else None
        return {
            "objects": self.objects,
            "wrong": msgspec.to_builtins(self.wrong),
            "originals_read": read,
            "mended": [one.key for one in self.mended],
            "made_again": self.wanted,
            "stopped_at": self.stopped_at,
        }


async def _verify(found: _Found, deep: bool, first: int, repair: bool, bars: Bars) -> None:
    async with open_services() as (_, database, storage):
        listing = bars.add_task("listing objects", total=None)
        found.objects, found.wrong = await find_wrong(
            database, storage, lambda count: bars.update(listing, completed=count)
        )
        bars.update(listing, total=found.objects, completed=found.objects)
        if deep:
            await _read(found, database, storage, first, bars)
        if repair and found.wrong:
            await _repair(found, database, storage)


async def _read(found: _Found, database: Database, storage: Storage, first: int, bars: Bars) -> None:
    reading = bars.add_task("reading originals (MB)", total=None)
    known = {(one.key, one.what) for one in found.wrong}

    def on_wrong(one: Wrong) -> None:
        if (one.key, one.what) not in known:
            found.wrong.append(one)

    def on_progress(progress: Progress) -> None:
        found.progress = progress
        bars.update(reading, total=progress.all_bytes // MB, completed=progress.bytes // MB)

    await read_originals(database, storage, first, on_wrong, on_progress)


async def _repair(found: _Found, database: Database, storage: Storage) -> None:
    """Other copies of originals first: what was made of them can be made again only then."""
    found.mended = await mend_originals(database, storage, found.wrong)
    broken = {one.attachment_id for one in found.left if one.is_original}
    again = {one.attachment_id for one in found.wrong if not one.is_original} - broken
    async with database.transaction() as db:
        found.wanted = await want_repair(db, sorted(id_ for id_ in again if id_ is not None))
        await audit.record(db, None, "media.repair", "storage", mended=len(found.mended), wanted=found.wanted)


def _print_found(found: _Found, repair: bool) -> None:
    console = Console()
    console.print(f"{found.objects} objects, {len(found.wrong)} of what rows name is not as it should be.")
    if found.progress:
        console.print(f"{found.progress.files} originals read, {decimal(found.progress.bytes)}.")
    for one in found.wrong:
        whose = f"post {one.post} of {one.author}" if one.post else one.author
        state = " (mended by another copy)" if one in found.mended else ""
        console.print(f"  {whose}: {one.what} {_PROBLEMS[one.problem]}: {one.key}{state}", highlight=False)
    if found.stopped_at is not None:
        console.print(f"Stopped. Go on with: strvsocial media verify --deep --from {found.stopped_at}")
    elif repair and found.wrong:
        console.print(
            f"{len(found.mended)} originals mended; {found.wanted} media are made again, which takes a while."
        )
    elif found.wrong:
        console.print("Nothing was changed: run it again with --repair.")


@app.command()
def reprocess(
    post: Annotated[str | None, typer.Option(help="The media of one post, by its id.")] = None,
    author: Annotated[str | None, typer.Option(help="Those of a person.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Those of a kind.")] = None,
    missing: Annotated[Role | None, typer.Option(help="Those that lack what newer ones get: waveform, say.")] = None,
    outdated: Annotated[bool, typer.Option("--outdated", help="Those that an earlier pipeline made.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Those that could not be prepared.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is done. Interrupting only ends the waiting.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Makes media anew, behind all work that people wait for. What they have is served until the new is there."""
    if not (post or author or kind or missing or outdated or failed or everything):
        typer.echo("Say which: --post, --author, --kind, --missing, --outdated, --failed, or --all.", err=True)
        raise typer.Exit(2)
    wish = Wish(post, username_key(author) if author else None, kind, missing, failed, outdated)
    with _bars(as_json) as bars:
        answer = asyncio.run(_reprocess(wish, wait, dry_run, bars))
    if as_json:
        typer.echo(msgspec.json.encode(answer).decode())
        return
    for row in answer["kinds"]:
        typer.echo(f"  {row['kind']:<6} {row['files']:>7} files  {decimal(row['bytes'])}")
    verb = "would be made anew" if dry_run else "are wanted anew" if answer["waiting"] is None else "were made anew"
    typer.echo(f"{sum(row['files'] for row in answer['kinds'])} media {verb}.")


async def _reprocess(wish: Wish, wait: bool, dry_run: bool, bars: Bars) -> dict[str, Any]:
    async with open_database() as database:
        async with database.read() as reader:
            kinds = await count_wanted(reader, wish)
        answer: dict[str, Any] = {"kinds": kinds, "dry_run": dry_run, "waiting": None}
        if dry_run:
            return answer
        media: list[tuple[int, int]] = []
        wanting = bars.add_task("wanting", total=sum(row["files"] for row in kinds))
        while True:
            async with database.transaction() as db:
                some = await want_some(db, wish, media[-1][0] if media else 0)
            if not some:
                break
            media += some
            bars.update(wanting, completed=len(media))
        async with database.transaction() as db:
            about = {name: value for name, value in msgspec.structs.asdict(wish).items() if value}
            await audit.record(db, None, "media.reprocess", f"{len(media)} media", **about)
        if wait:
            answer["waiting"] = await _wait(database, media, bars)
        return answer


async def _wait(database: Database, media: list[tuple[int, int]], bars: Bars) -> int:
    """Until nothing of it is queued or running; 0."""
    making = bars.add_task("making anew", total=len(media))
    while True:
        async with database.read() as reader:
            waiting = await list_waiting(reader, media)
        bars.update(making, completed=len(media) - len(waiting))
        if not waiting:
            return 0
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def _bars(quiet: bool) -> Iterator[Bars]:
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, disable=hides_bars(console, quiet), transient=True) as bars:
        yield bars
