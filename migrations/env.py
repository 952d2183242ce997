"""Alembic's environment: runs over asyncpg, past any pooler, and gives way to the running site."""

from __future__ import annotations

import asyncio
import sys

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

import strvsocial.tables  # noqa: F401  (registers every table)
from strvsocial.db import Base, async_url
from strvsocial.embeddings.models import Xid8
from strvsocial.schema_changes import PATIENCE_SECONDS, CannotMigrate, refuse_poolers, run_migrations
from strvsocial.settings import get_settings

ischema_names["xid8"] = Xid8


def run(connection: Connection) -> None:
    def run_rest() -> None:
        # A transaction for each migration: its locks are held no longer than it takes.
        context.configure(
            connection=connection, target_metadata=Base.metadata, compare_type=True, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()

    given = context.get_x_argument(as_dictionary=True).get("patience")
    run_migrations(connection, run_rest, float(given) if given else PATIENCE_SECONDS)


async def main() -> None:
    url = get_settings().direct_url
    await refuse_poolers(url)
    engine = create_async_engine(async_url(url), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


try:
    asyncio.run(main())
except CannotMigrate as problem:
    sys.exit(f"strvsocial: {problem}")
