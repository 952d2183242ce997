"""The models of the embedder: those of the recorded profile, loaded once, exchanged when the site switches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from strvsocial.db import Database
from strvsocial.embeddings.downloads import fetch, hub_downloads
from strvsocial.embeddings.encoders.loader import Models
from strvsocial.embeddings.profiles import HUB, Profile, read_profile
from strvsocial.embeddings.spaces import (
    Space,
    active_spaces,
    decide_profile,
    ensure_spaces,
    find_fact,
    mismatch,
    report_trouble,
)
from strvsocial.embeddings.weights import Weights, WeightsMissing, locate
from strvsocial.errors import StrvError
from strvsocial.settings import Settings

log = structlog.get_logger()


class Active(NamedTuple):
    """A profile with its loaded models and its spaces by name."""

    profile: Profile
    models: Models
    spaces: dict[str, Space]


@dataclass
class ActiveModels:
    """Gives the models to those who embed; `aclose()` lets go of them."""

    settings: Settings
    database: Database
    patience: float = 5
    """Seconds that a failed `get()` takes at least, so that waiting work is not churned."""
    _active: Active | None = None
    _download: asyncio.Task[None] | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self) -> Active:
        """The models of the profile that the site has settled on.

        Raises WeightsMissing, SpacesDiffer or BadInput, recorded for `strvsocial models status` and the readiness page.
        """
        async with self._opening:
            try:
                return await self._get()
            except StrvError as error:
                await self._record(error.message)
                await asyncio.sleep(self.patience)
                raise

    async def start(self) -> None:
        """Loads the models in the background of the embedder's start; what goes wrong is recorded, not raised."""
        try:
            await (await self.get()).models.load("speech")
        except StrvError as error:
            log.warning("models.missing", reason=error.message)
        except Exception:
            log.exception("models.not_loaded")

    async def aclose(self) -> None:
        if self._download is not None:
            self._download.cancel()
        await self._let_go()

    async def _let_go(self) -> None:
        if self._active is not None:
            await self._active.models.aclose()
            self._active = None

    async def _get(self) -> Active:
        async with self.database.read() as reader:
            fact, found = await find_fact(reader), await active_spaces(reader)
        if self._active is not None and fact is not None and self._is_current(fact.profile, found):
            return self._active
        async with self.database.transaction() as db:
            fact = await decide_profile(db, self.settings.models)
        if warning := mismatch(self.settings.models, fact.profile):
            log.warning("models.mismatch", message=warning)
        profile = await asyncio.to_thread(read_profile, fact.profile)
        weights = await self._locate(profile)
        async with self.database.transaction() as db:
            spaces = await ensure_spaces(db, profile)
        await self._let_go()
        models = Models(weights, threads=self.settings.model_threads)
        try:
            await models.load("text", "look")
        except BaseException:
            await models.aclose()
            raise
        self._active = Active(profile, models, spaces)
        await self._record(None)
        return self._active

    def _is_current(self, profile: str, spaces: list[Space]) -> bool:
        assert self._active is not None
        ids = {space.id for space in self._active.spaces.values()}
        return self._active.profile.name == profile and ids == {space.id for space in spaces}

    async def _locate(self, profile: Profile) -> Weights:
        """The weights; those of the hub are downloaded in the background when they are not there."""
        try:
            return await asyncio.to_thread(locate, profile, self.settings.data_dir)
        except WeightsMissing as missing:
            if profile.name != HUB.name:
                raise
            raise WeightsMissing(f"{missing.message} {self._downloading()}") from missing

    def _downloading(self) -> str:
        failed = ""
        if self._download is not None and self._download.done() and not self._download.cancelled():
            failed = f" The last try failed: {self._download.exception()}"
        if self._download is None or self._download.done():
            downloads = hub_downloads(self.settings.data_dir)
            self._download = asyncio.create_task(asyncio.to_thread(fetch, downloads, lambda *_: None))
        return f"The embedder is downloading them.{failed}"

    async def _record(self, trouble: str | None) -> None:
        async with self.database.transaction() as db:
            await report_trouble(db, trouble)
