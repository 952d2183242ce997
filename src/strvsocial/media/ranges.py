"""Conditional and partial requests (RFC 9110, sections 13 and 14), for bytes whose size and ETag are known."""

from __future__ import annotations

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)


class Span(NamedTuple):
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """No byte that was asked for exists."""


def matches_none(if_none_match: str, etag: str) -> bool:
    """Whether the client has this version already. Weak comparison, lists and `*`."""
    if if_none_match.strip() == "*":
        return True
    given = (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    return etag in given


def find_span(header: str, if_range: str | None, etag: str, byte_size: int) -> Span | None:
    """The one range that is asked for, or None for all: no range, several, nonsense, or of another version.

    Raises Unsatisfiable.
    """
    if if_range is not None and if_range.strip() != etag:
        return None
    found = _ONE_RANGE.fullmatch(header.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        length = int(found[2])
        if not length or not byte_size:
            raise Unsatisfiable
        return Span(max(0, byte_size - length), byte_size)
    start = int(found[1])
    end = int(found[2]) + 1 if found[2] else byte_size
    if end <= start and found[2]:
        return None
    if start >= byte_size:
        raise Unsatisfiable
    return Span(start, min(end, byte_size))
