"""Changing the tables while the site runs: short locks, tried again, one release at a time.

A statement that waits for a lock on a table makes everybody who wants that table wait behind it. So each migration waits
for at most `LOCK_SECONDS`, then lets go, lets the site breathe, and is tried again. `migrations/env.py` runs this.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

import asyncpg
from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from strvsocial.db import is_pooled, plain_url

LOCK_SECONDS = 2
STATEMENT_SECONDS = 60
PATIENCE_SECONDS = 120.0
"""How long a migration is tried for; `alembic -x patience=600 upgrade head` changes it."""
OTHER_RELEASE_SECONDS = 600.0
_RELEASE = 7387
_LOCKED_OUT = {"55P03", "40P01"}
_OLDEST = text(
    """
    select pid, application_name, state, extract(epoch from now() - xact_start)::int as seconds, left(query, 120) as query
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null and backend_type = 'client backend'
    order by xact_start limit 1
    """
)


class CannotMigrate(Exception):
    """The migrations did not run, or not all of them; the message says what to do."""


async def refuse_poolers(url: str) -> None:
    """Raises CannotMigrate where a pooler answers: it would give our locks and settings to other people's sessions."""
    connection = await asyncpg.connect(plain_url(url), timeout=10, statement_cache_size=0)
    try:
        if await is_pooled(connection):
            raise CannotMigrate(
                "A pooler answers here, and migrations need PostgreSQL itself. Set DATABASE_DIRECT_URL to its own address."
            )
    finally:
        await connection.close(timeout=5)


def run_migrations(connection: Connection, run: Callable[[], None], patience: float = PATIENCE_SECONDS) -> None:
    """Calls `run`, which runs what is still to be run, one transaction each, until no lock is in its way.

    The connection must be a session of PostgreSQL's own (past any pooler). Raises CannotMigrate.
    """
    _wait_for_other_releases(connection)
    try:
        # For the session, not for one transaction: a migration may commit half-way to build an index.
        connection.execute(text(f"set lock_timeout = '{LOCK_SECONDS}s'"))
        connection.execute(text(f"set statement_timeout = '{STATEMENT_SECONDS}s'"))
        connection.commit()
        _keep_trying(connection, run, patience)
    finally:
        connection.rollback()
        connection.execute(text(f"select pg_advisory_unlock({_RELEASE})"))
        connection.commit()


def create_index(name: str, table: str, columns: list[Any], **options: Any) -> None:
    """Builds an index while people go on writing to its table: for every table that an earlier release has made.

    Commits what the migration has done so far, so it belongs into a migration of its own. An interrupted build leaves an
    invalid index behind, which is dropped first. It waits for open transactions for as long as they take: nobody queues
    behind it.
    """
    with op.get_context().autocommit_block():
        op.execute("set lock_timeout = 0")
        op.execute("set statement_timeout = 0")
        op.execute(f'drop index concurrently if exists "{name}"')
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
        op.execute(f"set lock_timeout = '{LOCK_SECONDS}s'")
        op.execute(f"set statement_timeout = '{STATEMENT_SECONDS}s'")


def drop_index(name: str) -> None:
    """Drops an index while people go on using its table. Commits what the migration has done so far."""
    with op.get_context().autocommit_block():
        op.execute(f'drop index concurrently if exists "{name}"')


def _keep_trying(connection: Connection, run: Callable[[], None], patience: float) -> None:
    deadline, tries = time.monotonic() + patience, 0
    while True:
        tries += 1
        try:
            run()
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _LOCKED_OUT:
                raise
            connection.rollback()
            in_the_way = _describe_oldest(connection)
            if time.monotonic() > deadline:
                raise CannotMigrate(
                    f"A table stayed locked during {tries} tries in {patience:.0f} s. {in_the_way} "
                    "What was migrated before stays; the rest was undone. End that transaction and run it again."
                ) from error
        pause = min(5.0, 0.5 * tries) * random.uniform(0.5, 1)
        print(f"A table is locked; try {tries} gave way. {in_the_way} Again in {pause:.1f} s.", file=sys.stderr)
        time.sleep(pause)


def _wait_for_other_releases(connection: Connection) -> None:
    deadline, told = time.monotonic() + OTHER_RELEASE_SECONDS, False
    while not connection.scalar(text(f"select pg_try_advisory_lock({_RELEASE})")):
        connection.rollback()
        if time.monotonic() > deadline:
            raise CannotMigrate("Another release still migrates this database. Wait for its end, then run this again.")
        if not told:
            print("Another release migrates this database; waiting for its end.", file=sys.stderr)
            told = True
        time.sleep(1)
    connection.commit()


def _describe_oldest(connection: Connection) -> str:
    """Who is likely in the way: the oldest open transaction."""
    row = connection.execute(_OLDEST).one_or_none()
    connection.rollback()
    if row is None:
        return "It is free again by now."
    who = f"{row.application_name} " if row.application_name else ""
    return f"The oldest open transaction ({who}pid {row.pid}, {row.state}, {row.seconds} s): {row.query}"
