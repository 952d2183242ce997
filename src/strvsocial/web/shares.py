"""No route holds all connections to the database: when the rows of one are locked or slow, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from strvsocial.errors import Unavailable

PATIENCE_SECONDS = 0.5
"""With a lock's time behind it (`db.PEOPLE_WAIT`), whoever waits in vain still knows within two seconds."""


class Shares:
    """`most` connections for each route; 0 sets no bound."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._routes: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def of(self, route: str) -> AsyncIterator[None]:
        """The right of a route's request to a connection while the block runs.

        Raises:
            Unavailable: the others of this route had them all for half a second.
        """
        if not self.most:
            yield
            return
        share = self._routes.setdefault(route, asyncio.Semaphore(self.most))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await share.acquire()
        except TimeoutError as error:
            raise Unavailable(retry_after=2) from error
        try:
            yield
        finally:
            share.release()
