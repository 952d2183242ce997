"""What every suite stands on: a real PostgreSQL and a real Redis-compatible server, a fresh database for each module."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Site, running_site, serving
from tests.pgbouncer import Pooler, pooler
from tests.s3 import s3_server

from strvsocial.db import Database
from strvsocial.settings import ROOT, Settings, get_settings

__all__ = ["pooler", "s3_server"]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URLs of a PostgreSQL server (its `postgres` database) and of a Redis-compatible server."""
    if "STRV_TEST_DATABASE_URL" in os.environ:
        yield os.environ["STRV_TEST_DATABASE_URL"], os.environ["STRV_TEST_REDIS_URL"]
        return
    from strvsocial.local.services import running_services

    with running_services(tmp_path_factory.mktemp("services")) as services:
        yield services.database_url, services.redis_url


@pytest.fixture(scope="session")
def migrated(servers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a migrated, empty database that the suites' databases are copies of."""
    server, redis = servers
    name = f"migrated_{secrets.token_hex(6)}"
    asyncio.run(_run_on(server, f"create database {name}"))
    environment = {
        "DATABASE_URL": _at(server, name),
        "REDIS_URL": redis,
        "STRV_DATA_DIR": str(tmp_path_factory.mktemp("none")),
    }
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        check=True,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
    )
    yield name
    asyncio.run(_run_on(server, f"drop database {name} with (force)"))


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest) -> Pooler | None:
    """The pooler that this module's site goes through, if any: a module's own choice, or STRV_TEST_POOLER=1 for all."""
    return request.getfixturevalue("pooler") if os.environ.get("STRV_TEST_POOLER") else None


@pytest.fixture(scope="module")
def settings(
    servers: tuple[str, str], migrated: str, way: Pooler | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of a site of its own for each module: a fresh, migrated database and an empty data directory."""
    server, redis = servers
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(_run_on(server, f"create database {name} template {migrated}"))
    data = tmp_path_factory.mktemp("data")
    direct = _at(server, name)
    environment = {
        "DATABASE_URL": way.through(direct) if way else direct,
        "DATABASE_DIRECT_URL": direct if way else "",
        "REDIS_URL": redis,
        "STRV_DATA_DIR": str(data),
        "STRV_RATE_LIMITS": "off",
        "STRV_MAX_REQUESTS": "0",  # A test on a busy machine asks as much at once as it likes.
        "STRV_DRAIN_SECONDS": "0",  # Nothing in front of the tests' processes needs time to notice their end.
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        get_settings.cache_clear()  # Some module may have asked before.
        yield Settings()
    get_settings.cache_clear()
    asyncio.run(_run_on(server, f"drop database {name} with (force)"))


def _at(server: str, name: str) -> str:
    return server.rsplit("/", 1)[0] + "/" + name


async def _run_on(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="module")
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The module's database. Jobs are not rung for: tests that need a worker start one."""
    database = Database(settings)
    yield database
    await database.aclose()


@pytest_asyncio.fixture
async def clean(database: Database) -> None:
    """Empties every table, for tests that count."""
    async with database.transaction() as db:
        names = (await db.scalars(text("select tablename from pg_tables where schemaname = 'public'"))).all()
        kept = [name for name in names if name != "alembic_version"]
        await db.execute(text(f"truncate {', '.join(kept)} restart identity cascade"))


@pytest_asyncio.fixture(scope="module")
async def site(settings: Settings) -> AsyncIterator[Site]:
    """The running application and its people: see `front_door.py`."""
    async with running_site(settings) as site:
        yield site


@pytest_asyncio.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client of nobody."""
    async with site.client() as client:
        yield client


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under `make test` a skipped test is a failure: whoever may skip must say why it cannot run here, and be heard."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("STRV_TEST_STRICT") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module")
def web_address(settings: Settings) -> Iterator[str]:
    """The address of a real web process on the module's settings: see `front_door.serving`."""
    with serving(settings) as (address, _):
        yield address
