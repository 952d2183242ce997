"""Looks at everything the site depends on, each thing by using it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.db import Database
from strvsocial.operations import exposure_checks as exposure
from strvsocial.operations import machine_checks as machine
from strvsocial.operations import service_checks as services
from strvsocial.operations.findings import Finding, look
from strvsocial.settings import Settings

_DATABASE_HINT = "Is PostgreSQL running where DATABASE_URL says, and do user and password fit? (make up starts one.)"
_DIRECT_HINT = (
    "Is PostgreSQL within reach where DATABASE_URL says, and DATABASE_DIRECT_URL if a pooler is in front of it?"
)
_REDIS_HINT = "Is Redis or Valkey running where REDIS_URL says, and does the password fit? (make up starts one.)"


async def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order in which things depend on each other."""
    findings = await look("settings", partial(machine.check_settings, settings), "See .env.example.")
    findings += await look("https", partial(exposure.check_https, settings), "See STRV_PUBLIC_URL in .env.example.")
    findings += await look("secrets", partial(exposure.check_secrets, settings), "See .env.example.")
    redis: Redis = Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=5)
    try:
        redis_findings = await look("redis", partial(services.check_redis, redis), _REDIS_HINT)
        reachable = redis_findings[0].state != "fail"
        findings += await _examine_database(settings, redis if reachable else None)
        findings += await look("live", partial(services.check_live, settings), _DIRECT_HINT)
        findings += redis_findings
        if reachable:
            findings += await look("workers", partial(services.check_workers, redis), _REDIS_HINT)
    finally:
        with suppress(Exception):
            await redis.aclose()
    hint = "Are the S3 settings right, or may this account write to STRV_DATA_DIR?"
    findings += await look("storage", partial(services.check_storage, settings), hint)
    findings += await look("bucket", partial(exposure.check_bucket, settings), hint)
    findings += await look("ffmpeg", machine.check_sandbox, machine.FFMPEG)
    hint = "See why: strvsocial backup list; backups belong on another machine."
    findings += await look("backups", partial(machine.check_backups, settings), hint)
    findings += await look("watching", partial(exposure.check_watching, settings), "See .env.example.")
    findings += await look("disk", partial(machine.check_disk, settings), "May this account write to STRV_DATA_DIR?")
    return findings


async def _examine_database(settings: Settings, redis: Redis | None) -> list[Finding]:
    database = Database(settings, pool_size=1)
    try:
        async with database.read() as reader:
            return await _examine_rows(settings, reader, redis)
    except Exception as error:
        return [Finding("database", "fail", f"{type(error).__name__}: {error}".splitlines()[0], _DATABASE_HINT)]
    finally:
        await database.aclose()


async def _examine_rows(settings: Settings, reader: AsyncConnection, redis: Redis | None) -> list[Finding]:
    findings = await look("database", partial(services.check_database, reader), _DATABASE_HINT)
    findings += await look("clock", partial(services.check_clock, reader), _DATABASE_HINT)
    migrations = await look("migrations", partial(services.check_migrations, reader), services.MIGRATE)
    findings += migrations
    findings += await look("extensions", partial(services.check_extensions, reader), _DATABASE_HINT)
    if any(finding.state == "fail" for finding in migrations):
        return findings  # The tables that the rest asks may not be there.
    findings += await look("jobs", partial(services.check_jobs, reader), services.MIGRATE)
    findings += await look("models", partial(machine.check_models, settings, reader), "strvsocial models status")
    if redis is not None:
        findings += await look("index", partial(machine.check_index, reader, redis), "strvsocial index status")
    return findings
