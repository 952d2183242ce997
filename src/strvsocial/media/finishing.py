"""What is made of a film once it can be watched: previews, its sound alone, the other sizes, the whole in one file; and of a
long sound once it can be heard: its Opus.

Each step is stored and recorded by itself, so that work which is taken up again after a crash finds what is done already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import bindparam, select, update

from strvsocial.db import Database
from strvsocial.media.audio import finish_audio
from strvsocial.media.failures import explain
from strvsocial.media.ladder import SOUND
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.previews import PREVIEW, STORYBOARD, make_preview, make_storyboard
from strvsocial.media.probing import probe
from strvsocial.media.products import Made, Product
from strvsocial.media.progress import Progress, Tell, nobody, report_progress
from strvsocial.media.renditions import add
from strvsocial.media.sandbox import Crashed, DecoderFailed
from strvsocial.media.sharing import forget
from strvsocial.media.video import PLAY, join_rung, make_rungs, make_sound
from strvsocial.media.workplaces import store, workplace
from strvsocial.settings import Settings
from strvsocial.storage import Storage

log = structlog.get_logger()

_FILM = (
    select(
        Attachment.public_id,
        Attachment.kind,
        Attachment.source_key,
        Attachment.generation,
        Attachment.duration,
        Attachment.has_audio,
        Rendition.name,
        Rendition.key,
        Rendition.role,
        Rendition.state,
        Rendition.width,
        Rendition.height,
        Rendition.bitrate,
        Rendition.details,
    )
    .join(Rendition, Rendition.attachment_id == Attachment.id)
    .where(Attachment.id == bindparam("attachment_id"))
)


class Gone(Exception):
    """The film was deleted while it was worked on."""


async def finish(
    settings: Settings, database: Database, storage: Storage, attachment_id: int, tell: Tell = nobody
) -> None:
    """Makes the renditions of a film or a sound that are not there yet; `tell` is called in each transaction that writes how far the
    work is. Raises CannotDecode, TookTooLong, DecoderFailed, or a storage error."""
    async with database.read() as reader:
        found = (await reader.execute(_FILM, {"attachment_id": attachment_id})).all()
    film = _Film(settings, database, storage, attachment_id, found, tell)
    if not film.wanted:
        return
    async with workplace(settings) as folder:
        try:
            await film.finish(folder)
        except Gone:
            return
        except DecoderFailed as failure:
            raise explain(failure, found[0].kind, settings.max_image_pixels) from failure


@dataclass(frozen=True)
class _Film:
    """A film, or a long sound, by its rows: of itself and of each of its renditions."""

    settings: Settings
    database: Database
    storage: Storage
    attachment_id: int
    rows: Sequence[Any]
    tell: Tell
    killed: list[Crashed] = field(default_factory=list)
    """Decoders of previews that somebody ended."""

    @property
    def wanted(self) -> list[Any]:
        return [row for row in self.rows if row.state != "ready"]

    @property
    def donor(self) -> Any:
        """The smallest that can be watched already: previews are made of it, and other sizes take its sound over."""
        films = [row for row in self.rows if row.state == "ready" and row.role in ("playback", "rung") and row.width]
        return min(films, key=lambda row: row.width)

    async def finish(self, folder: Path) -> None:
        if self.rows[0].kind == "audio":
            await self._make_opus(folder)
            return
        await self._fetch(folder, self.donor)
        await self._make_previews(folder)
        await self._make_sizes(folder)
        if self.killed:
            raise self.killed[0]

    async def _make_opus(self, folder: Path) -> None:
        [row] = self.wanted
        await self._fetch_source(folder)
        wanted = Product(row.name, row.role, bitrate=row.bitrate, details=row.details)
        async with self._report({row.name}) as on_progress:
            probed = await probe(folder)
            made = await finish_audio(self.settings, folder, probed, wanted, row.duration, on_progress)
        await self._keep(folder, made)

    async def _make_previews(self, folder: Path) -> None:
        """What is nice to have: the film is no worse without it, so nothing else waits for a second try. There is one only
        when the decoder was killed: that says nothing about the film."""
        donor, seconds, names = self.donor, self.rows[0].duration or 0, {row.name for row in self.wanted}
        if STORYBOARD in names:
            await self._try(folder, STORYBOARD, make_storyboard(folder, donor.name, seconds))
        if PREVIEW in names:
            size = donor.width, donor.height
            await self._try(folder, PREVIEW, make_preview(self.settings, folder, donor.name, size, seconds))
        if SOUND in names:
            await self._try(folder, SOUND, make_sound(folder, donor.name, seconds))

    async def _make_sizes(self, folder: Path) -> None:
        rungs = {row.name for row in self.wanted if row.role == "rung" and row.width}
        if rungs:
            await self._fetch_source(folder)
            sound = self.donor.name if self.rows[0].has_audio else None
            async with self._report(rungs) as on_progress:
                made = await make_rungs(self.settings, folder, await probe(folder), rungs, sound, on_progress)
            await self._keep(folder, made)
        if whole := next((row for row in self.wanted if row.name == PLAY), None):
            top = max((row for row in self.rows if row.role == "rung"), key=lambda row: row.width or 0)
            if not (folder / top.name).exists():
                await self._fetch(folder, top)
            wanted = Product(PLAY, whole.role, top.width, top.height, details=whole.details)
            await self._keep(folder, await join_rung(folder, top.name, wanted))

    async def _try(self, folder: Path, name: str, making: Awaitable[list[Product]]) -> None:
        try:
            made = await making
        except DecoderFailed as failure:
            log.warning("media.preview_failed", name=name, error=str(failure), log=failure.log[-500:])
            if isinstance(failure, Crashed) and failure.was_killed:
                self.killed.append(failure)
            else:
                await self._go_without(name)
        else:
            await self._keep(folder, made)

    async def _fetch_source(self, folder: Path) -> None:
        await self.storage.get_file(self.rows[0].source_key, folder / "source")

    async def _fetch(self, folder: Path, row: Any) -> None:
        await self.storage.get_file(row.key, folder / row.name)

    def _report(self, names: set[str]) -> AbstractAsyncContextManager[Progress]:
        rows = update(Rendition).where(Rendition.attachment_id == self.attachment_id, Rendition.name.in_(names))
        return report_progress(self.database, rows, self.tell)

    async def _go_without(self, name: str) -> None:
        row = update(Rendition).where(Rendition.attachment_id == self.attachment_id, Rendition.name == name)
        async with self.database.transaction() as db:
            await db.execute(row.values(state="failed", progress=0))

    async def _keep(self, folder: Path, products: list[Product]) -> None:
        """Stores and records. Raises Gone when the film was deleted, or made anew, meanwhile; then nothing stays."""
        public_id, generation = self.rows[0].public_id, self.rows[0].generation
        await store(self.storage, folder, public_id, products, generation)
        async with self.database.transaction() as db:
            is_there = await add(db, self.attachment_id, products, folder, generation)
        if not is_there:
            await forget(self.database, self.storage, [product.key(public_id, generation) for product in products])
            raise Gone


async def finish_at_once(settings: Settings, database: Database, storage: Storage, made: Made, folder: Path) -> Made:
    """All of a film, or of a long sound, that was made anew in this folder, with what would else be made later; nothing is recorded yet.

    Raises CannotDecode, DecoderFailed.
    """
    rows = [_Row(one, "ready", made) for one in made.products] + [_Row(one, "wanted", made) for one in made.wanted]
    film = _AtOnce(settings, database, storage, 0, rows, nobody)
    try:
        await film.finish(folder)
    except DecoderFailed as failure:
        raise explain(failure, made.kind, settings.max_image_pixels) from failure
    return replace(made, products=[*made.products, *film.made], wanted=[])


@dataclass(frozen=True)
class _AtOnce(_Film):
    """A film whose files lie in the folder and that nobody waits for."""

    made: list[Product] = field(default_factory=list)

    async def _fetch_source(self, folder: Path) -> None:
        """It is there."""

    async def _fetch(self, folder: Path, row: Any) -> None:
        """It is there."""

    def _report(self, names: set[str]) -> AbstractAsyncContextManager[Progress]:
        return nullcontext(lambda done: None)

    async def _go_without(self, name: str) -> None:
        """Without a row."""

    async def _keep(self, folder: Path, products: list[Product]) -> None:
        self.made.extend(products)


class _Row:
    """A product as if it were recorded."""

    def __init__(self, product: Product, state: str, made: Made) -> None:
        self.name, self.role, self.state = product.name, product.role, state
        self.width, self.height = product.width, product.height
        self.bitrate, self.details, self.kind = product.bitrate, product.details, made.kind
        self.duration, self.has_audio = made.duration, made.has_audio
