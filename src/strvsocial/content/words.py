"""What people write, made fit to keep: no control characters, nothing that turns the direction of other people's text."""

from __future__ import annotations

import re

# Embeddings, overrides and isolates can make a name or an address read backwards. The plain marks (LRM, RLM, ALM) stay.
_DIRECTION = "\u202a-\u202e\u2066-\u2069"
_UNWANTED = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff{_DIRECTION}]")
_BLANKS = re.compile(r"\s+")


def clean_text(value: str) -> str:
    """Several lines: line ends are `\\n`, blanks at both ends are gone."""
    return _UNWANTED.sub("", value.replace("\r\n", "\n").replace("\r", "\n")).strip()


def clean_line(value: str) -> str:
    """One line: every run of blanks is one space."""
    return _BLANKS.sub(" ", _UNWANTED.sub("", value.replace("\t", " "))).strip()


def is_storable(value: str) -> bool:
    """Whether PostgreSQL can keep it: no NUL, no half of a surrogate pair."""
    if "\x00" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
