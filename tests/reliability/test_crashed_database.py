"""PostgreSQL killed with -9, exactly when it hurts most."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.front_door import running_site
from tests.media_uploads.tus import create, offset_of, send

from strvsocial.local.services import Services, running_services
from strvsocial.media.uploads import claim_uploads
from strvsocial.settings import ROOT, Settings

PART = 1024 * 1024


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    with running_services(tmp_path / "servers", database="strv") as services:
        monkeypatch.setenv("DATABASE_URL", services.database_url)
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
        )
        yield services


class Deadly:
    """A storage with which PostgreSQL dies as soon as the beginning of an upload's part is stored."""

    def __init__(self, inner: Any, services: Services) -> None:
        self.inner, self.services, self.is_armed = inner, services, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def put(self, key: str, data: bytes, mime: str) -> None:
        await self.inner.put(key, data, mime)
        if self.is_armed and key.startswith("tails/"):
            self.is_armed = False
            assert self.services.postgres is not None
            assert self.services.postgres.process is not None
            self.services.postgres.process.kill()
            self.services.postgres.process.wait(10)


async def test_an_upload_survives_a_crash_between_two_tails(services: Services, tmp_path: Path) -> None:
    """The rows of parts are committed without waiting for the disk; what a crash takes back must not mix up bytes."""
    connection = await asyncpg.connect(services.database_url)
    await connection.execute("alter system set wal_writer_delay = '10s'")
    await connection.execute("select pg_reload_conf()")
    await connection.close()
    content = bytes.fromhex("00000018667479706d70343200000000") + secrets.token_bytes(3 * PART)
    settings = Settings(
        DATABASE_URL=services.database_url,
        REDIS_URL=services.redis_url,
        STRV_DATA_DIR=tmp_path / "data",
        STRV_UPLOAD_PART_BYTES=PART,
    )
    async with running_site(settings) as site:
        alice = await site.member("alice")
        upload = await create(alice, len(content))
        first = PART // 2
        assert (await send(alice, upload, 0, content[:first])).status_code == 204
        deadly = site.app.state.storage = Deadly(site.app.state.storage, services)
        deadly.is_armed = True
        second = first + PART
        answer = await send(alice, upload, first, content[first:second])
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert services.revive() == ["PostgreSQL"]
        offset = await offset_of(alice, upload)
        assert offset in (first, PART)
        # The lease of the request that died with the database runs out by itself.
        async with site.database.transaction() as db:
            await (await db.connection()).exec_driver_sql("update uploads set locked_until = null")
        assert (await send(alice, upload, offset, content[offset:])).status_code == 204
        async with site.database.transaction() as db:
            (file,) = await claim_uploads(db, alice.id, [upload])
        stored = b"".join([piece async for piece in deadly.inner.read(file.key)])
        assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest() == file.sha256
