"""`strvsocial doctor`: well where all is well, and each failure named with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import text
from tests.s3 import S3Server
from tests.vectors import add_space

from strvsocial.backups.manifests import KeptFile, Manifest, encode_manifest
from strvsocial.db import Database, plain_url
from strvsocial.doorbell import arq_queue
from strvsocial.operations import machine_checks, service_checks
from strvsocial.operations.doctor import examine
from strvsocial.operations.exposure_checks import check_bucket, check_https, check_secrets, check_watching
from strvsocial.operations.findings import Finding, look
from strvsocial.operations.machine_checks import check_backups, examine_ffmpeg
from strvsocial.operations.service_checks import judge_persistence
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
    assert {
        "https",
        "secrets",
        "aof",
        "ffmpeg",
        "database",
        "clock",
        "migrations",
        "extensions",
        "redis",
        "worker",
        "embedder",
        "storage",
        "jobs",
    } <= {name for name, finding in found.items() if finding.state == "ok"}
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
        await db.execute(text("insert into jobs (queue, kind, state) values ('quick', 'test.die', 'dead')"))
    found = (await _examine(settings))["jobs"]
    assert (found.state, found.message) == ("warn", "1 given up, 0 waiting")
    assert "--all-dead" in str(found.hint)


async def test_a_site_without_tls_is_told(settings: Settings) -> None:
    found = (await _examine(settings, public_url="http://social.example"))["https"]
    assert found.state == "fail"
    assert "STRV_PUBLIC_URL" in str(found.hint)
    assert (await check_https(settings.model_copy(update={"public_url": "https://social.example"})))[0].state == "ok"


SAMPLE = "postgresql://strv:strv@127.0.0.1/strv"
SHORT = "redis://:brief-one@cache.example:6379/0"
OPEN = "redis://cache.example:6379/0"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"database_url": SAMPLE}, "DATABASE_URL is one of an example"),
        ({"redis_url": SHORT}, "REDIS_URL is short"),
        ({"redis_url": OPEN}, "REDIS_URL is missing"),
        (
            {"s3_bucket": "b", "aws_access_key_id": "minioadmin", "aws_secret_access_key": SecretStr("minioadmin")},
            "AWS_SECRET_ACCESS_KEY is one of an example",
        ),
        ({"metrics_token": SecretStr("abc")}, "STRV_METRICS_TOKEN is short"),
    ],
)
async def test_weak_secrets_are_named_and_not_shown(settings: Settings, changed: dict[str, Any], told: str) -> None:
    (found,) = await check_secrets(settings.model_copy(update=changed))
    assert found.state == "fail"
    assert told in found.message
    assert "brief-one" not in repr(found)
    assert found.hint


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, "ok"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "fail"),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, "fail"),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "ok"}, "warn"),
    ],
)
def test_what_redis_keeps_is_judged(info: dict[str, Any], state: str) -> None:
    found = judge_persistence(info)
    assert (found.name, found.state, bool(found.hint)) == ("aof", state, state != "ok")


async def test_a_private_bucket_is_well(settings: Settings, s3_server: S3Server) -> None:
    (found,) = await check_bucket(settings.model_copy(update=s3_server.settings("doctor-private")))
    assert (found.name, found.state) == ("bucket", "ok")


async def test_a_bucket_that_anybody_reads_is_named(settings: Settings) -> None:
    server = ThreadedMotoServer(port=0)  # It lets nobody read what is private, and everybody see what there is.
    server.start()
    host, port = server.get_host_and_port()
    changed = {
        "s3_bucket": "wide-open",
        "s3_endpoint_url": f"http://{host}:{port}",
        "aws_access_key_id": "a",
        "aws_secret_access_key": SecretStr("b"),
    }
    try:
        (found,) = await check_bucket(settings.model_copy(update=changed))
    finally:
        server.stop()
    assert (found.state, found.message) == ("fail", "anybody may list bucket wide-open")
    assert "public access" in str(found.hint)


def test_an_ffmpeg_without_our_codecs_is_named(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(
        "#!/bin/sh\necho 'ffmpeg version 7.1'\necho ' V....D h264                 H.264'\n"
        "echo ' TS bwdif             V->V       Deinterlace the input image.'\n"
    )
    program.chmod(0o755)
    found = examine_ffmpeg(str(program))
    assert found.state == "fail"
    assert "vp9" in found.message
    assert "libx264 (to write)" in found.message
    assert "zscale (a filter)" in found.message
    assert "bwdif" not in found.message
    assert "h264," not in found.message
    assert examine_ffmpeg(str(tmp_path / "none")).state == "fail"


async def test_a_full_disk_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("TIGHT", 10**18), ("LOW", 10**18)):
        monkeypatch.setattr(machine_checks, name, limit)
    (found,) = await machine_checks.check_disk(settings)
    assert (found.state, bool(found.hint)) == ("fail", True)
    monkeypatch.undo()
    monkeypatch.setattr(machine_checks, "FEWEST", 1.1)
    monkeypatch.setattr(machine_checks, "FEW", 1.1)
    (found,) = await machine_checks.check_disk(settings)
    assert found.state == "fail"


async def test_a_wrong_clock_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_checks, "DRIFT_SECONDS", -1)
    found = (await _examine(settings))["clock"]
    assert found.state == "fail"
    assert "NTP" in str(found.hint)


async def test_an_index_that_stands_still_is_named(settings: Settings, database: Database, clean: None) -> None:
    await add_space(database)
    beat = text(
        "insert into processes (id, kind, host, pid, version, details) values ('p', 'web', 'h', 7, '1', :details)"
    )
    for details, told in (
        ({"index": {"lag": 500.0, "vectors": 0}}, "web process 7 on h is 500 s behind"),
        ({"index": {"lag": 1.0, "vectors": 900}}, "holds 900 of 0 vectors"),
    ):
        async with database.transaction() as db:
            await db.execute(text("delete from processes"))
            await db.execute(beat, {"details": json.dumps(details)})
        found = (await _examine(settings))["index"]
        assert found.state == "fail"
        assert told in found.message
        assert "index rebuild" in str(found.hint)
    async with database.transaction() as db:
        await db.execute(text("delete from processes"))


async def test_missing_packages_for_watching_are_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:1", "sentry_dsn": SecretStr("http://k@h/1")})
    assert [finding.state for finding in await check_watching(told)] == ["ok", "ok"]
    for package in ("opentelemetry.exporter.otlp.proto.http", "sentry_sdk"):
        monkeypatch.setitem(sys.modules, package, None)
    found = await check_watching(told)
    assert [(finding.name, finding.state) for finding in found] == [("traces", "fail"), ("reports", "fail")]
    assert all("pip install" in str(finding.hint) for finding in found)
    assert await check_watching(settings) == []


async def test_visitors_who_all_look_like_nginx_are_told(settings: Settings) -> None:
    found = (await _examine(settings, media_accel="nginx"))["settings"]
    assert (found.state, "STRV_TRUSTED_PROXIES" in str(found.hint)) == ("warn", True)
    assert (await _examine(settings, media_accel="nginx", trusted_proxies="127.0.0.1"))["settings"].state == "ok"


@pytest.mark.parametrize(("url", "code"), [(None, 0), ("postgresql://strv@127.0.0.1:1/none", 1)])
def test_the_exit_code_tells(settings: Settings, url: str | None, code: int) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **({"DATABASE_URL": url} if url else {})}
    done = subprocess.run(
        [sys.executable, "-m", "strvsocial", "doctor", "--json"], capture_output=True, text=True, check=False, env=env
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (code, code == 0), told


async def test_the_age_of_the_last_backup(settings: Settings, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "backups").mkdir(parents=True)
    assert await check_backups(settings) == []
    [none] = await check_backups(settings.model_copy(update={"backup_dir": str(kept)}))
    assert (none.state, "none is finished" in none.message) == ("fail", True)
    for hours, state, told in ((9 * 24, "fail", "9.0 days"), (48, "warn", "2.0 days"), (3, "ok", "3 hours")):
        moment = datetime.now(UTC) - timedelta(hours=hours)
        file = KeptFile("f", 1, "0" * 64)
        manifest = Manifest(
            name=f"{moment:%Y%m%dT%H%M%SZ}", started_at=moment, finished_at=moment, version="0", revision="1",
            server_major=15, dump_major=15, encrypted=False, media="all", rows={}, objects=0, object_bytes=0, dump=file,
            media_list=file,
        )  # fmt: skip
        (kept / "backups" / manifest.name).mkdir()
        (kept / "backups" / manifest.name / "manifest.json").write_bytes(encode_manifest(manifest))
        [found] = await check_backups(settings.model_copy(update={"backup_dir": str(kept)}))
        assert (found.name, found.state, told in found.message) == ("backups", state, True), found
    [gone] = await look("backups", partial(check_backups, settings.model_copy(update={"backup_dir": "/nowhere"})), "x")
    assert gone.state == "fail"
