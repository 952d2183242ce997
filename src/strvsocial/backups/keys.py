"""Whom a backup is encrypted for, and who may open it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from strvsocial.backups.encryption import (
    IDENTITY,
    Identities,
    new_identity,
    open_identity,
    parse_identities,
    parse_recipients,
)
from strvsocial.backups.manifests import BadBackup
from strvsocial.backups.shelves import Shelf
from strvsocial.errors import NotFound
from strvsocial.settings import Settings

_LOCKED = b"age-encryption.org"


def read_passphrase(settings: Settings, file: Path | None) -> str | None:
    """From a file, else from the settings. Raises BadBackup."""
    if file is not None:
        try:
            return file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadBackup(f"The passphrase cannot be read from {file}: {error}") from error
    return settings.backup_passphrase.get_secret_value() if settings.backup_passphrase else None


async def find_recipients(settings: Settings, shelf: Shelf, passphrase: str | None) -> list[str]:
    """Empty where nothing is to be encrypted. Raises BadBackup, also when what lies here already is encrypted.

    With a passphrase, `identity.age` is made by the first backup.
    """
    recipients = parse_recipients(settings.backup_recipients)
    if passphrase is not None:
        recipients.append(await _find_own_recipient(shelf, passphrase))
    if not recipients and await _are_encrypted(shelf):
        raise BadBackup(
            "The backups here are encrypted. Set STRV_BACKUP_PASSPHRASE or STRV_BACKUP_RECIPIENTS, or choose another folder."
        )
    return recipients


async def find_identities(shelf: Shelf, passphrase: str | None, identity: Path | None) -> Identities | None:
    """What opens encrypted backups, as far as it was given. Raises BadBackup when it does not fit."""
    if identity is not None:
        try:
            found = await asyncio.to_thread(identity.read_bytes)
        except OSError as error:
            raise BadBackup(f"The identity file {identity} cannot be read: {error}") from error
        if not found.startswith(_LOCKED):
            return parse_identities(found.decode(errors="replace"))
    else:
        try:
            found = await shelf.load(IDENTITY)
        except NotFound:
            return None
    if passphrase is None:
        if identity is None:
            return None
        raise BadBackup(f"{identity} is locked by a passphrase: set STRV_BACKUP_PASSPHRASE or --passphrase-file.")
    return await asyncio.to_thread(open_identity, found, passphrase)


async def _find_own_recipient(shelf: Shelf, passphrase: str) -> str:
    try:
        locked = await shelf.load(IDENTITY)
    except NotFound:
        locked, recipient = await asyncio.to_thread(new_identity, passphrase)
        await shelf.write(IDENTITY, locked)
        return recipient
    return str((await asyncio.to_thread(open_identity, locked, passphrase))[0].to_public())


async def _are_encrypted(shelf: Shelf) -> bool:
    names = await shelf.list_backups()
    return bool(names) and (await shelf.load_manifest(names[-1])).encrypted
