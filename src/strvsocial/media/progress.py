"""How far the making of something is: written to its rows, at most once a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy import Update
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.db import Database

Progress = Callable[[float], None]
"""Hears how much of the work is done, from 0 to 1."""
Tell = Callable[[AsyncSession], Awaitable[None]]
"""Passes the news on, in the transaction that writes the progress."""
BEGUN = 1
"""Percent of what runs, however little of it is done: nothing that runs looks as if it waited."""


async def nobody(db: AsyncSession) -> None:
    """Tells nobody."""


@asynccontextmanager
async def report_progress(database: Database, rows: Update, tell: Tell) -> AsyncIterator[Progress]:
    """Writes the progress to the rows while the block runs, first when it has run for a second."""
    percent = BEGUN

    def on_progress(done: float) -> None:
        nonlocal percent
        percent = max(percent, min(99, int(100 * done)))

    async def write() -> None:
        written = 0
        while True:
            await asyncio.sleep(1)
            if percent > written:
                written = percent
                with suppress(Exception):  # Only a number on a card: the work itself must not suffer.
                    async with database.transaction() as db:
                        await db.execute(rows.values(progress=written))
                        await tell(db)

    task = asyncio.create_task(write())
    try:
        yield on_progress
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
