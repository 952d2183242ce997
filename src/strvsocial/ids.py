"""Public ids: opaque, unguessable, safe in addresses and on a command line."""

from __future__ import annotations

import secrets

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_id() -> str:
    """16 characters of a 31-letter alphabet: 79 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))
