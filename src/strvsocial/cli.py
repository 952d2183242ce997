"""The admin's console: `strvsocial --help`. Commands of each feature live in its `commands.py`; this file lists them."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="STRV.social, for the people who run it.", pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """STRV.social, for the people who run it."""


def main() -> None:
    """Entry point of the console script."""
    app()
