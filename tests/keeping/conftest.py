"""Databases of their own for tests that change tables or lose everything."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio


class Databases:
    """Makes databases on the tests' server; all of them are dropped at the end."""

    def __init__(self, server: str, migrated: str) -> None:
        self.server, self.migrated, self.made = server, migrated, list[str]()

    async def make(self, *, empty: bool = False) -> str:
        """The URL of a new database, migrated unless it shall be `empty`."""
        name = f"keeping_{secrets.token_hex(6)}"
        self.made.append(name)
        await self._run(f"create database {name} template {'template1' if empty else self.migrated}")
        return self.server.rsplit("/", 1)[0] + "/" + name

    async def drop_all(self) -> None:
        for name in self.made:
            await self._run(f"drop database if exists {name} with (force)")

    async def drop(self, url: str) -> None:
        await self._run(f"drop database {url.rsplit('/', 1)[1]} with (force)")

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def databases(servers: tuple[str, str], migrated: str) -> AsyncIterator[Databases]:
    made = Databases(servers[0], migrated)
    yield made
    await asyncio.shield(made.drop_all())
