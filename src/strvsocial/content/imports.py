"""Bulk import of posts from lines of JSON: in chunks, in constant memory, and resumable.

A chunk is one transaction. The same key is imported once, so an import that stopped is simply started again. The work
that imported posts want is queued behind the work that a person waits for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.drafts import Files
from strvsocial.content.import_lines import BadLine, Entry, FoundFile, parse, read_lines
from strvsocial.content.import_rows import list_authors, list_known, make_author, write_media, write_posts
from strvsocial.db import Database
from strvsocial.errors import StrvError
from strvsocial.ids import new_id
from strvsocial.media.incoming import StoredFile, discard
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.users.names import username_key

CHUNK_LINES = 1_000
CHUNK_BYTES = 64_000_000
"""A chunk ends when it has this many lines, or files of this many bytes."""
_AUTHORS_KEPT = 50_000


@dataclass
class Tally:
    """What came of the lines read so far. `position` is the byte reached in the file."""

    imported: int = 0
    known: int = 0
    bad: int = 0
    authors: int = 0
    files: int = 0
    position: int = 0

    @property
    def lines(self) -> int:
        return self.imported + self.known + self.bad


@dataclass
class Import:
    """One run over a file. `on_bad` is told of each line that is passed over, `on_chunk` of each chunk that is done."""

    database: Database
    storage: Storage
    settings: Settings
    dry_run: bool = False
    on_bad: Callable[[BadLine], None] = lambda _: None
    on_chunk: Callable[[Tally], None] = lambda _: None
    tally: Tally = field(default_factory=Tally)
    _authors: dict[str, int] = field(default_factory=dict)

    async def run(self, path: Path) -> Tally:
        """Imports every line of the file that can be imported and was not yet."""
        folder = _folder_of(path)
        chunk: list[Entry] = []
        waiting_bytes = 0
        with path.open("rb") as file:
            for raw in read_lines(file):
                entry = parse(raw, folder, self.settings)
                self.tally.position = raw.end
                if isinstance(entry, BadLine):
                    self._pass_over(entry)
                    continue
                chunk.append(entry)
                waiting_bytes += sum(found.byte_size for found in entry.files)
                if len(chunk) >= CHUNK_LINES or waiting_bytes >= CHUNK_BYTES:
                    await self._import(chunk)
                    chunk, waiting_bytes = [], 0
        if chunk:
            await self._import(chunk)
        return self.tally

    async def _import(self, chunk: list[Entry]) -> None:
        """One chunk: its files are stored first; when its transaction fails they are removed again."""
        fresh = await self._without_known(chunk)
        if self.dry_run:
            self.tally.imported += len(fresh)
            self.tally.files += sum(len(entry.files) for entry in fresh)
            self.on_chunk(self.tally)
            return
        stored: dict[str, Files] = {}
        try:
            for entry in fresh:
                if entry.files:
                    stored[entry.key] = []
                    await self._store(entry, stored)
            await self._write(fresh, stored)
        except BaseException:
            await asyncio.shield(self._discard(list(stored.values())))
            raise
        self.on_chunk(self.tally)

    async def _write(self, fresh: list[Entry], stored: dict[str, Files]) -> None:
        async with self.database.transaction() as db:
            authors, refused = await self._find_authors(db, fresh)
            accepted = [entry for entry in fresh if username_key(entry.author) in authors]
            ids = await write_posts(db, accepted, authors)
            for key, files in stored.items():
                if key in ids:
                    await write_media(db, ids[key], files)
        await self._discard([files for key, files in stored.items() if key not in ids])
        self._authors.update(authors)
        if len(self._authors) > _AUTHORS_KEPT:
            self._authors.clear()
        for entry in fresh:
            if reason := refused.get(username_key(entry.author)):
                self._pass_over(BadLine(entry.number, f"author: {reason}"))
        self.tally.imported += len(ids)
        self.tally.known += len(accepted) - len(ids)
        self.tally.files += sum(len(files) for key, files in stored.items() if key in ids)

    async def _without_known(self, chunk: list[Entry]) -> list[Entry]:
        """The entries whose keys were never imported; of equal keys the first."""
        async with self.database.transaction() as db:
            known = await list_known(db, [entry.key for entry in chunk])
        fresh: dict[str, Entry] = {}
        for entry in chunk:
            if entry.key not in known:
                fresh.setdefault(entry.key, entry)
        self.tally.known += len(chunk) - len(fresh)
        return list(fresh.values())

    async def _find_authors(self, db: AsyncSession, entries: list[Entry]) -> tuple[dict[str, int], dict[str, str]]:
        names = {username_key(entry.author): entry.author for entry in entries}
        found = {key: self._authors[key] for key in names if key in self._authors}
        found |= await list_authors(db, {name for key, name in names.items() if key not in found})
        refused: dict[str, str] = {}
        for key, name in sorted(names.items()):
            if key not in found:
                made = await make_author(db, name)
                if isinstance(made, StrvError):
                    refused[key] = " ".join((made.fields or {}).values()) or made.message
                else:
                    found[key] = made
                    self.tally.authors += 1
        return found, refused

    async def _store(self, entry: Entry, stored: dict[str, Files]) -> None:
        for found, (_, alt) in zip(entry.files, entry.draft.files, strict=True):
            digest = await asyncio.to_thread(_sha256, found)
            key = f"originals/{new_id()}"
            file = StoredFile(key, found.byte_size, digest, found.media_type, found.mime, found.path.name[:255])
            stored[entry.key] = [*stored[entry.key], (file, alt)]
            await self.storage.put_file(key, found.path, found.mime)

    async def _discard(self, lost: list[Files]) -> None:
        await discard(self.storage, [file for files in lost for file, _ in files])

    def _pass_over(self, line: BadLine) -> None:
        self.tally.bad += 1
        self.on_bad(line)


def _folder_of(path: Path) -> Path:
    return path.resolve().parent


def _sha256(found: FoundFile) -> bytes:
    with found.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
