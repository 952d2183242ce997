"""What a key may look like: relative, plain ASCII, no way up."""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
_LONGEST = 200


def check_key(key: str) -> str:
    """The key itself. Keys are made by us, never by a person: a bad one is a bug, so it raises ValueError."""
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key[:_LONGEST]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """A prefix of keys: empty, or whole segments, the last of which may be unfinished."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix
