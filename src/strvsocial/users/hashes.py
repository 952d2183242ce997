"""Random tokens of which only the sha256 is kept."""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> tuple[str, bytes]:
    """A token of 256 random bits, and its hash for the database."""
    token = secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> bytes:
    """sha256; a random token needs no salt and no slowness."""
    return hashlib.sha256(token.encode()).digest()
