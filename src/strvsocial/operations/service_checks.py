"""Checks of what the site talks to: PostgreSQL, Redis, the object storage, the workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.db import is_pooled, plain_url
from strvsocial.doorbell import arq_queue
from strvsocial.errors import NotFound
from strvsocial.ids import new_id
from strvsocial.operations.findings import Finding
from strvsocial.settings import ROOT, Settings
from strvsocial.storage import open_storage

EXTENSIONS = ("pg_trgm", "unaccent")
OLDEST_POSTGRESQL = 14
DRIFT_SECONDS = 2.0
NEWS_SECONDS = 2.0
MIGRATE = "Run the Procfile's release process: alembic upgrade head"


async def check_database(reader: AsyncConnection) -> list[Finding]:
    started = time.perf_counter()
    version = int(await reader.scalar(text("select current_setting('server_version_num')::int")) or 0)
    told = f"PostgreSQL {version // 10000}.{version % 10000} answers in {(time.perf_counter() - started) * 1000:.0f} ms"
    if version // 10000 < OLDEST_POSTGRESQL:
        return [Finding("database", "fail", told, f"Upgrade it to PostgreSQL {OLDEST_POSTGRESQL} or newer.")]
    return [Finding("database", "ok", told)]


async def check_live(settings: Settings) -> list[Finding]:
    """Listens past the pooler, if there is one, to what is said through it."""
    async with _connected(settings.direct_url) as listener, _connected(settings.database_url) as speaker:
        if await _hears(listener, speaker):
            way = "past the pooler" if settings.has_pooler else "directly"
            return [Finding("live", "ok", f"news arrive ({way})")]
        if not await is_pooled(listener):
            told = "DATABASE_DIRECT_URL leads to another database than DATABASE_URL"
            return [
                Finding("live", "fail", told, "Name the same database in both: one through the pooler, one past it.")
            ]
    hint = "Set DATABASE_DIRECT_URL to PostgreSQL's own address: migrations, live news and statements need to know it."
    if settings.has_pooler:
        return [Finding("live", "fail", "DATABASE_DIRECT_URL leads to a pooler, too", hint)]
    told = "DATABASE_URL leads to a pooler, and DATABASE_DIRECT_URL is not set"
    return [Finding("live", "fail", told, hint)]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(plain_url(url), timeout=5, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close(timeout=1)


async def _hears(listener: asyncpg.Connection[Any], speaker: asyncpg.Connection[Any]) -> bool:
    channel, heard = f"strv_doctor_{new_id()}", asyncio.Event()
    await listener.add_listener(channel, lambda *_: heard.set())
    await speaker.execute("select pg_notify($1, '')", channel)
    try:
        async with asyncio.timeout(NEWS_SECONDS):
            await heard.wait()
    except TimeoutError:
        return False
    return True


async def check_clock(reader: AsyncConnection) -> list[Finding]:
    before = datetime.now(UTC)
    theirs: datetime = await reader.scalar(text("select clock_timestamp()")) or before
    middle = before + (datetime.now(UTC) - before) / 2
    apart = abs((theirs - middle).total_seconds())
    if apart > DRIFT_SECONDS:
        told = f"this machine and the database are {apart:.1f} s apart"
        return [
            Finding("clock", "fail", told, "Keep both machines' clocks right with NTP: leases and sessions need it.")
        ]
    return [Finding("clock", "ok", f"within {apart * 1000:.0f} ms of the database")]


async def check_migrations(reader: AsyncConnection) -> list[Finding]:
    config = Config(str(ROOT / "alembic.ini"))
    head = await asyncio.to_thread(lambda: ScriptDirectory.from_config(config).get_current_head())
    if await reader.scalar(text("select to_regclass('alembic_version')")) is None:
        return [Finding("migrations", "fail", "the database is empty", MIGRATE)]
    found = await reader.scalar(text("select version_num from alembic_version"))
    if found != head:
        return [Finding("migrations", "fail", f"the database is at {found}, this code at {head}", MIGRATE)]
    return [Finding("migrations", "ok", f"at head ({head})")]


async def check_extensions(reader: AsyncConnection) -> list[Finding]:
    present = set((await reader.scalars(text("select extname from pg_extension"))).all())
    missing = [name for name in EXTENSIONS if name not in present]
    if missing:
        hint = "Create them as a superuser: " + "; ".join(f"create extension {name}" for name in missing)
        return [Finding("extensions", "fail", f"{', '.join(missing)} missing", hint)]
    return [Finding("extensions", "ok", ", ".join(EXTENSIONS))]


async def check_jobs(reader: AsyncConnection) -> list[Finding]:
    statement = text(
        """
        select count(*) filter (where state = 'dead') as dead, count(*) filter (where state = 'queued') as queued,
          coalesce(extract(epoch from now() - min(run_after) filter (where state = 'queued' and run_after <= now())), 0)
            as waiting
        from jobs where state in ('dead', 'queued')
        """
    )
    row = (await reader.execute(statement)).one()
    if row.dead:
        hint = "See why: strvsocial jobs list --state dead. Try again: strvsocial jobs retry --all-dead"
        return [Finding("jobs", "warn", f"{row.dead} given up, {row.queued} waiting", hint)]
    if row.waiting > 600:
        hint = "Are the worker and the embedder running, and fast enough?"
        return [Finding("jobs", "warn", f"the oldest has waited for {row.waiting / 60:.0f} minutes", hint)]
    return [Finding("jobs", "ok", f"none given up, {row.queued} waiting")]


async def check_redis(redis: Redis) -> list[Finding]:
    server, persistence, memory = [await redis.info(part) for part in ("server", "persistence", "memory")]
    name = f"Valkey {server['valkey_version']}" if "valkey_version" in server else f"Redis {server['redis_version']}"
    if memory.get("maxmemory_policy", "noeviction") != "noeviction":
        told = f"{name} may evict keys ({memory['maxmemory_policy']})"
        return [
            Finding("redis", "warn", told, "Set maxmemory-policy noeviction: limits and snapshots must not vanish.")
        ]
    findings = [Finding("redis", "ok", f"{name} answers and evicts nothing")]
    return [*findings, judge_persistence(persistence)]


def judge_persistence(persistence: Mapping[str, Any]) -> Finding:
    """What Redis' INFO says about keeping its data; while it cannot write, it may refuse to be written to."""
    hint = "Has the disk of Redis room? See its log."
    if persistence.get("aof_enabled") and persistence.get("aof_last_write_status", "ok") != "ok":
        return Finding("aof", "fail", "the append-only file cannot be written", hint)
    if persistence.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding("aof", "fail", "the last snapshot on disk failed: writes may be refused", hint)
    if persistence.get("aof_enabled"):
        return Finding("aof", "ok", "the append-only file is on")
    hint = "Set appendonly yes. Nothing is lost without it, but after a restart of Redis limits begin anew and indexes load slowly."
    return Finding("aof", "warn", "the append-only file is off", hint)


async def check_workers(redis: Redis) -> list[Finding]:
    findings = []
    for name, queue in (("worker", "quick"), ("embedder", "embed")):
        if await redis.exists(f"{arq_queue(queue)}:health-check"):
            findings.append(Finding(name, "ok", "reports its health"))
        else:
            hint = f"Start the Procfile's {name} process (make up does)."
            findings.append(Finding(name, "warn", "does not report its health", hint))
    return findings


async def check_storage(settings: Settings) -> list[Finding]:
    """Writes, reads and deletes an object."""
    key, written = f"work/doctor-{new_id()}/probe", b"strv" * 1024
    async with open_storage(settings) as storage:
        await storage.put(key, written, "application/octet-stream")
        try:
            read = b"".join([piece async for piece in storage.read(key)])
            part = b"".join([piece async for piece in storage.read(key, 4, 8)])
        finally:
            await storage.delete([key])
        if read != written or part != b"strv":
            return [Finding("storage", "fail", "it returned other bytes than were stored", "Check the storage server.")]
        if await storage.stat(key) is not None:
            raise NotFound("a deleted object is still there")
    where = f"bucket {settings.s3_bucket}" if settings.s3_bucket else str(settings.data_dir)
    return [Finding("storage", "ok", f"put, get and delete work ({where})")]
