"""The admin's console: `strvsocial --help`. Commands of each feature live in its `commands.py`; this file lists them."""

from __future__ import annotations

from contextlib import suppress

import typer
from pydantic import ValidationError

from strvsocial.content import commands as content_commands
from strvsocial.content import embedding_commands, model_commands
from strvsocial.embeddings import index_commands
from strvsocial.logs import configure_logs
from strvsocial.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="STRV.social, for the people who run it.", pretty_exceptions_enable=False)

app.add_typer(content_commands.app, name="posts")
app.add_typer(embedding_commands.app, name="embeddings")
app.add_typer(index_commands.app, name="index")
app.add_typer(model_commands.app, name="models")


@app.callback()
def root() -> None:
    """STRV.social, for the people who run it."""
    # Records go to stderr, so that what a command prints stays clean; commands that check settings report bad ones.
    with suppress(ValidationError):
        configure_logs(get_settings())


def main() -> None:
    """Entry point of the console script."""
    app()
