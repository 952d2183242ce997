"""`strvsocial doctor`: well where all is well, and each failure named with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from strvsocial.db import Database, plain_url
from strvsocial.doorbell import arq_queue
from strvsocial.operations.doctor import examine
from strvsocial.operations.findings import Finding
from strvsocial.settings import ROOT, Settings


async def _examine(settings: Settings, **changed: object) -> dict[str, Finding]:
    return {finding.name: finding for finding in await examine(settings.model_copy(update=changed))}


@pytest_asyncio.fixture
async def workers(settings: Settings) -> AsyncIterator[None]:
    """What running workers leave in Redis."""
    keys = [f"{arq_queue(queue)}:health-check" for queue in ("quick", "embed")]
    async with Redis.from_url(settings.redis_url) as redis:
        for key in keys:
            await redis.set(key, "here", ex=60)
        yield
        await redis.delete(*keys)


async def test_all_is_well(settings: Settings, workers: None, clean: None) -> None:
    found = await _examine(settings)
    assert {name: (finding.state, finding.message) for name, finding in found.items() if finding.state == "fail"} == {}
    assert {"database", "clock", "migrations", "extensions", "redis", "worker", "embedder", "storage", "jobs"} <= {
        name for name, finding in found.items() if finding.state == "ok"
    }
    assert {"settings", "ffmpeg", "sandbox", "disk", "models", "index"} <= set(found)


async def test_a_missing_database_is_named(settings: Settings) -> None:
    found = (await _examine(settings, database_url="postgresql://strv@127.0.0.1:1/none"))["database"]
    assert found.state == "fail"
    assert "DATABASE_URL" in str(found.hint)


async def test_a_missing_redis_is_named(settings: Settings) -> None:
    found = (await _examine(settings, redis_url="redis://127.0.0.1:1/0"))["redis"]
    assert found.state == "fail"
    assert "REDIS_URL" in str(found.hint)


async def test_an_old_database_is_named(settings: Settings) -> None:
    server = await asyncpg.connect(plain_url(settings.database_url))
    try:
        await server.execute("update alembic_version set version_num = 'ancient'")
        found = (await _examine(settings))["migrations"]
        assert found.state == "fail"
        assert "ancient" in found.message
        assert "alembic upgrade head" in str(found.hint)
    finally:
        await server.execute("update alembic_version set version_num = $1", found.message.split()[-1])
        await server.close()
    assert (await _examine(settings))["migrations"].state == "ok"


async def test_a_missing_bucket_is_named(settings: Settings) -> None:
    changed = {"s3_bucket": "none", "s3_endpoint_url": "http://127.0.0.1:1", "aws_access_key_id": "a"}
    found = (await _examine(settings, **changed))["storage"]
    assert found.state == "fail"
    assert "S3" in str(found.hint)


async def test_missing_weights_are_named(settings: Settings, tmp_path: Path, clean: None) -> None:
    found = (await _examine(settings, models=str(tmp_path / "nowhere")))["models"]
    assert found.state == "fail"
    assert "nowhere" in found.message


async def test_given_up_jobs_are_told(settings: Settings, database: Database, clean: None) -> None:
    async with database.transaction() as db:
        from sqlalchemy import text

        await db.execute(text("insert into jobs (queue, kind, state) values ('quick', 'test.die', 'dead')"))
    found = (await _examine(settings))["jobs"]
    assert (found.state, found.message) == ("warn", "1 given up, 0 waiting")
    assert "--all-dead" in str(found.hint)


async def test_a_site_without_tls_is_told(settings: Settings) -> None:
    found = (await _examine(settings, public_url="http://social.example"))["settings"]
    assert found.state == "warn"


@pytest.mark.parametrize(("url", "code"), [(None, 0), ("postgresql://strv@127.0.0.1:1/none", 1)])
def test_the_exit_code_tells(settings: Settings, url: str | None, code: int) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **({"DATABASE_URL": url} if url else {})}
    done = subprocess.run(
        [sys.executable, "-m", "strvsocial", "doctor", "--json"], capture_output=True, text=True, check=False, env=env
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (code, code == 0), told
