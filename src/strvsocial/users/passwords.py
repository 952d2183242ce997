"""Passwords: argon2id (19 MiB, 2 passes, 1 lane: OWASP's first choice), off the event loop, few at a time."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from functools import lru_cache
from typing import Any

from passlib.context import CryptContext

from strvsocial.errors import BadInput

MIN_LENGTH, MAX_LENGTH = 8, 128

CONTEXT: Any = CryptContext(
    schemes=["argon2"],
    deprecated="auto",
    argon2__type="ID",
    argon2__memory_cost=19_456,
    argon2__time_cost=2,
    argon2__parallelism=1,
)
# Each hash takes a core and 19 MiB for some 40 ms; more at once than cores would only slow each other down.
_slots = asyncio.Semaphore(max(1, min(4, os.cpu_count() or 1)))


def clean_password(password: str, *, field: str = "password") -> str:
    """A new password as it is hashed: NFKC, so that every keyboard makes the same bytes.

    Raises:
        BadInput: too short, too long, or among the most common ones.
    """
    if len(password) <= 4 * MAX_LENGTH:
        password = unicodedata.normalize("NFKC", password)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise BadInput(fields={field: f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters."})
    if "\0" in password:
        raise BadInput(fields={field: "A password cannot hold a NUL character."})
    if password.casefold() in _common_passwords() or len(set(password)) < 3:
        raise BadInput(
            fields={field: "This is among the first passwords that anyone would try. Please choose another."}
        )
    return password


async def hash_password(password: str) -> str:
    """The argon2id hash of a clean password."""
    async with _slots:
        return str(await asyncio.to_thread(CONTEXT.hash, password))


async def verify_password(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """Whether the password is right, and a better hash to keep instead when ours is outdated.

    Where there is no hash, the same work is done for nothing, so that the time tells nobody whether an account exists.
    """
    password = unicodedata.normalize("NFKC", password[: 4 * MAX_LENGTH])
    if len(password) > MAX_LENGTH:
        password, password_hash = "", None
    async with _slots:
        if password_hash is None:
            await asyncio.to_thread(CONTEXT.verify, password, await asyncio.to_thread(_nobodys_hash))
            return False, None
        is_right, better = await asyncio.to_thread(CONTEXT.verify_and_update, password, password_hash)
    return bool(is_right), better


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return str(CONTEXT.hash(os.urandom(16).hex()))


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # Ten megabytes of lists, of which this keeps a few hundred kB.

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)
