"""The age format for what leaves the machine: files that the `age` program opens without us.

Everything is encrypted to recipients: public keys (`age1…`). With a passphrase, the first backup makes a key pair whose
secret half lies beside the backups as `identity.age`, locked by the passphrase; one costly derivation opens all files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO

import pyrage

from strvsocial.backups.manifests import BadBackup

IDENTITY = "identity.age"
ENDING = ".age"
SHORTEST = 12
Identities = Sequence[pyrage.x25519.Identity]


def new_identity(passphrase: str) -> tuple[bytes, str]:
    """The content of `identity.age`, and the recipient that it belongs to. Raises BadBackup for a short passphrase."""
    if len(passphrase) < SHORTEST:
        raise BadBackup(f"The passphrase must have at least {SHORTEST} characters: four random words do well.")
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    return pyrage.passphrase.encrypt(f"# public key: {recipient}\n{identity}\n".encode(), passphrase), recipient


def open_identity(locked: bytes, passphrase: str) -> Identities:
    """Raises BadBackup when the passphrase is wrong or the file is damaged."""
    try:
        opened = pyrage.passphrase.decrypt(locked, passphrase)
    except pyrage.DecryptError as error:
        raise BadBackup(f"The passphrase does not open {IDENTITY}: it is wrong, or the file is damaged.") from error
    return parse_identities(opened.decode())


def parse_identities(text: str) -> Identities:
    """Keys as `age-keygen` writes them: one a line, `#` begins a remark. Raises BadBackup."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError as error:
        raise BadBackup("The identity file holds something that is no age key (AGE-SECRET-KEY-1…).") from error
    if not found:
        raise BadBackup("The identity file holds no key.")
    return found


def parse_recipients(text: str) -> list[str]:
    """Public keys with commas or blanks between. Raises BadBackup."""
    names = text.replace(",", " ").split()
    for name in names:
        try:
            pyrage.x25519.Recipient.from_str(name)
        except pyrage.RecipientError as error:
            raise BadBackup(f"{name!r} is no age recipient (age1…).") from error
    return names


async def encrypt(pieces: AsyncIterator[bytes], path: Path, recipients: Sequence[str]) -> None:
    """Writes what comes, encrypted, to `path`. Nothing of it touches the disk in the clear."""
    keys = [pyrage.x25519.Recipient.from_str(name) for name in recipients]
    read_end, write_end = os.pipe()

    def work() -> None:
        with os.fdopen(read_end, "rb") as reader, path.open("wb") as writer:
            pyrage.encrypt_io(reader, writer, keys)

    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        with os.fdopen(write_end, "wb", buffering=0) as pipe:
            async for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[await asyncio.to_thread(pipe.write, view) :]
    except BrokenPipeError:
        pass  # The encryption has failed; it says why.
    finally:
        await working


def decrypt(source: IO[bytes], target: IO[bytes], name: str, identities: Identities) -> None:
    """Blocks. Raises BadBackup for wrong keys and damaged files; BrokenPipeError when nobody reads `target` any more."""
    try:
        pyrage.decrypt_io(source, target, identities)
    except BrokenPipeError:
        raise
    except (pyrage.DecryptError, OSError) as error:
        raise BadBackup(f"{name} does not open: the key is another one, or the file is damaged ({error}).") from error
