"""Alembic's environment: runs over asyncpg, past any pooler."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

import strvsocial.tables  # noqa: F401  (registers every table)
from strvsocial.db import Base, async_url
from strvsocial.embeddings.models import Xid8
from strvsocial.settings import get_settings

ischema_names["xid8"] = Xid8


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        # One migration at a time, and none that waits for locks while the site stands still.
        connection.execute(text("select pg_advisory_xact_lock(7387)"))
        connection.execute(text("set local lock_timeout = '2s'"))
        context.run_migrations()


async def main() -> None:
    engine = create_async_engine(async_url(get_settings().direct_url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


asyncio.run(main())
