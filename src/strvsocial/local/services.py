"""A real PostgreSQL and a real Redis-compatible server for as long as a block runs, unless others are named.

    with running_services(Path(".data")) as services:
        services.database_url, services.redis_url

`make up` and the test-suite stand on this. Call it from the main thread: the kernel ends the servers with the thread that
started them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from strvsocial.local.account import server_account
from strvsocial.local.lock import hold
from strvsocial.local.passwords import load_password
from strvsocial.local.postgres import Postgres
from strvsocial.local.valkey import Valkey


@dataclass(frozen=True)
class Services:
    """Where the servers are; `postgres` and `valkey` are None where somebody else runs them."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    postgres: Postgres | None = None
    valkey: Valkey | None = None

    def respawn(self) -> list[tuple[str, Postgres | Valkey]]:
        """Starts again what has died, on its old port, without waiting for it; each with its name."""
        spawned: list[tuple[str, Postgres | Valkey]] = []
        for name, server in (("PostgreSQL", self.postgres), ("Valkey", self.valkey)):
            if server is not None and server.process is not None and server.process.poll() is not None:
                server.spawn()
                spawned.append((name, server))
        return spawned

    def revive(self) -> list[str]:
        """Starts again what has died, waits until it answers, and names it. Raises LocalProblem."""
        spawned = self.respawn()
        for _, server in spawned:
            server.wait_until_ready()
        return [name for name, _ in spawned]


@contextmanager
def running_services(
    data_dir: Path, *, database: str = "postgres", database_url: str | None = None, redis_url: str | None = None
) -> Iterator[Services]:
    """Starts what is not given by URL, over the data in `data_dir`, and stops it at the end of the block.

    Makes the named database where it is missing. Raises AlreadyRunning when another process holds `data_dir`,
    LocalProblem when a server cannot be had.
    """
    data_dir = data_dir.resolve()
    logs = data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(hold(data_dir))
        account = server_account() if database_url is None or redis_url is None else None
        postgres = valkey = None
        if database_url is None:
            password, is_new = load_password(data_dir, "postgresql")
            password_was_lost = is_new and any((data_dir / "pg").glob("*/PG_VERSION"))
            postgres = Postgres.prepare(data_dir, logs / "postgresql.log", account, password)
            if password_was_lost:
                postgres.reset_password()
            stack.callback(postgres.stop)
            postgres.start()
            database_url = postgres.url(database)
            asyncio.run(_create_database(postgres.url("postgres"), database))
        if redis_url is None:
            password, _ = load_password(data_dir, "valkey")
            valkey = Valkey.prepare(data_dir, logs / "valkey.log", account, password)
            stack.callback(valkey.stop)
            valkey.start()
            redis_url = valkey.url
        yield Services(database_url, redis_url, postgres, valkey)


async def _create_database(server_url: str, name: str) -> None:
    connection = await asyncpg.connect(server_url, timeout=10)
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            await connection.execute(f'create database "{name}"')
    finally:
        await connection.close()
