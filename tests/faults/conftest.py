"""A small town that can be cut off: a site whose PostgreSQL, Redis and S3 are reached through fault proxies."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import pyvips
from sqlalchemy import text
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.walk import Walk, read_all, write_all
from tests.front_door import Member, Site, running_site
from tests.s3 import S3Server

from strvsocial.content.processing import process_attachment
from strvsocial.local.services import Services, running_services
from strvsocial.settings import ROOT, Settings


@dataclass
class Town:
    """A site behind proxies, a person who lives there, and a post of theirs with a picture that is ready."""

    site: Site
    database: FaultProxy
    redis: FaultProxy
    storage: FaultProxy | None
    person: Member
    post: str
    picture: bytes

    async def read(self, only: Collection[str] = ()) -> Walk:
        """What every page answers, or `only` those."""
        return await read_all(self.site, self.person, self.post, only)

    async def write(self) -> Walk:
        return await write_all(self.site, self.person, self.post, self.picture)

    def heal(self) -> None:
        for proxy in (self.database, self.redis, self.storage):
            if proxy is not None:
                proxy.heal()

    def trust_again(self) -> None:
        """Closes the breakers and forgets answers, so that the next fault finds everybody unprepared."""
        state = self.site.app.state
        for part in (state.limits, state.ranked_lists, state.database.ring.__self__):
            part._breaker.succeeded()
        if self.storage is not None:
            state.storage._breaker.succeeded()
        state.probes.forget()
        state.storage_health.forget()

    async def process(self) -> None:
        """Does the worker's part for every attachment that waits."""
        state = self.site.app.state
        async with self.site.database.read() as reader:
            ids = (await reader.scalars(text("select id from attachments where status = 'processing'"))).all()
        for attachment_id in ids:
            await process_attachment(self.site.settings, state.database, state.storage, attachment_id)


@pytest.fixture(scope="session")
def picture() -> bytes:
    noise = pyvips.Image.gaussnoise(320, 240, mean=128, sigma=40).cast("uchar")
    rgb = noise.bandjoin([noise.rot180(), noise.fliphor()]).copy(interpretation="srgb")
    return bytes(rgb.jpegsave_buffer(Q=80))


OpenTown = Callable[..., Any]


@pytest_asyncio.fixture(scope="module")
async def open_town(settings: Settings, picture: bytes) -> AsyncIterator[OpenTown]:
    """`await open_town(s3=None, **settings)`: a town of its own, for the length of the module."""
    async with AsyncExitStack() as stack:

        async def open_one(s3: S3Server | None = None, **changes: Any) -> Town:
            database = await stack.enter_async_context(
                fault_proxy(str(changes.pop("database_url", settings.database_url)))
            )
            redis = await stack.enter_async_context(fault_proxy(str(changes.pop("redis_url", settings.redis_url))))
            storage = await stack.enter_async_context(fault_proxy(s3.endpoint_url)) if s3 else None
            if s3 and storage:
                changes |= {**s3.settings(f"town-{secrets.token_hex(4)}"), "s3_endpoint_url": storage.url}
            changed = settings.model_copy(
                update={"database_url": database.url, "redis_url": redis.url, "rate_limits": True, **changes}
            )
            site = await stack.enter_async_context(running_site(changed))
            person = await site.member("resident")
            made = await person.api(
                "POST",
                "/posts",
                data={"title": "The hut", "text": "Above the tree line #alps", "alt": "A hut"},
                files={"file": ("hut.jpg", picture, "image/jpeg")},
            )
            assert made.status_code == 201, made.text
            town = Town(site, database, redis, storage, person, made.json()["id"], picture)
            await town.process()
            return town

        yield open_one


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A PostgreSQL of one's own, migrated, which may be killed."""
    folder = tmp_path_factory.mktemp("servers")
    with running_services(folder, database="strv", redis_url="redis://127.0.0.1:1/0") as services:
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            check=True,
            env={**os.environ, "DATABASE_URL": services.database_url, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
        )
        yield services
