"""The admin's console: `strvsocial --help`. Commands of each feature live in its `commands.py`; this file lists them.

A feature's commands are imported when they are used, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

# Name → its typer application (module:attribute), and what `--help` says about it.
COMMANDS = {
    "audit": ("strvsocial.operations.admin_commands:audit_app", "What admins did."),
    "backup": ("strvsocial.backups.commands:app", "Backups of everything: create, verify, restore."),
    "demo": ("strvsocial.demo.commands:app", "The demo content: posts of all five kinds by a cast of eleven people."),
    "doctor": ("strvsocial.operations.commands:doctor_app", "Look at everything the site depends on."),
    "embeddings": (
        "strvsocial.content.embedding_commands:app",
        "The vectors of posts.",
    ),
    "index": ("strvsocial.embeddings.index_commands:app", "The index of vectors that similar posts are found in."),
    "jobs": ("strvsocial.operations.commands:jobs_app", "Work that is wanted, running, done or given up."),
    "media": (
        "strvsocial.content.media_commands:app",
        "Stored pictures, sound and films: usage, orphans, verify, reprocess.",
    ),
    "models": ("strvsocial.content.model_commands:app", "The models that make this site's vectors."),
    "posts": ("strvsocial.content.commands:app", "Posts: list, delete, import."),
    "processes": ("strvsocial.operations.admin_commands:processes_app", "The processes that run the site."),
    "settings": ("strvsocial.operations.commands:settings_app", "What this site is set to."),
    "user": ("strvsocial.users.commands:app", "People: create, list, promote, suspend."),
}


class Features(TyperGroup):
    """Knows every command by name and line of help; imports the one that is used."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands = {name: TyperCommand(name, help=about) for name, (_, about) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            return super().resolve_command(ctx, args)
        module, _, attribute = COMMANDS[args[0]][0].partition(":")
        used = typer.Typer(add_completion=False)
        used.add_typer(getattr(importlib.import_module(module), attribute), name=args[0])
        return args[0], get_group(used).commands[args[0]], args[1:]


app = typer.Typer(
    cls=Features,
    no_args_is_help=True,
    help="STRV.social, for the people who run it.",
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """STRV.social, for the people who run it."""
    from pydantic import ValidationError

    from strvsocial.logs import configure_logs
    from strvsocial.settings import get_settings

    # Records go to stderr, so that what a command prints stays clean.
    # Bad settings are told by the commands that need them.
    with suppress(ValidationError):
        configure_logs(get_settings())


def main() -> None:
    """Entry point of the console script."""
    app()
