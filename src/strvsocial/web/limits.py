"""Rate limits by GCRA, one atomic script in Redis a request.

`limit()` refuses who is too fast with TooManyRequests and the seconds to wait. Without Redis, what `must_hold` (guessing
passwords) is counted in this process; everything else passes: a limit is not worth an outage.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from redis.asyncio import Redis
from redis.exceptions import RedisError

from strvsocial import meters
from strvsocial.breaker import Breaker
from strvsocial.errors import TooManyRequests
from strvsocial.settings import Settings
from strvsocial.web.addresses import address_block, client_address
from strvsocial.web.allowances import Allowance, allowance_of
from strvsocial.web.rendering import viewer_of

log = structlog.get_logger()

Connection = ASGIConnection[Any, Any, Any, Any]

# The generic cell rate algorithm: the key holds the theoretical arrival time, in milliseconds of the server's clock.
_CHARGE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local interval, burst, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
if arrival < now then arrival = now end
arrival = arrival + interval * count
local earliest = arrival - interval * burst
if earliest > now then return math.ceil(earliest - now) end
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil(arrival - now))
return 0
"""
_REFUND = """
local arrival = redis.call('GET', KEYS[1])
if arrival then
  redis.call('SET', KEYS[1], string.format('%.0f', tonumber(arrival) - tonumber(ARGV[1])), 'KEEPTTL')
end
"""


class Limits:
    """One process's view of the limits: Redis, and what is counted here while Redis is away."""

    def __init__(self, redis_url: str) -> None:
        self.redis: Redis = Redis.from_url(redis_url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self._charge = self.redis.register_script(_CHARGE)
        self._refund = self.redis.register_script(_REFUND)
        self._local: OrderedDict[str, float] = OrderedDict()
        self._breaker = Breaker()

    async def charge(self, key: str, interval: float, burst: int, *, count: int = 1, must_hold: bool = False) -> float:
        """Counts `count` for `key`, at most `burst` at once and one each `interval` seconds.

        Returns the seconds to wait, or 0.
        """
        wait = await self._ask(
            lambda: self._charge(keys=[f"limit:{key}"], args=[max(1, round(interval * 1000)), burst, count])
        )
        if wait is not None:
            return float(wait) / 1000
        return self._charge_here(key, interval * count, interval * burst) if must_hold else 0

    async def refund(self, key: str, interval: float) -> None:
        """Takes one count back."""
        self._local.pop(key, None)
        await self._ask(lambda: self._refund(keys=[f"limit:{key}"], args=[max(1, round(interval * 1000))]))

    async def forget(self, key: str) -> None:
        """Takes all counts back."""
        self._local.pop(key, None)
        await self._ask(lambda: self.redis.delete(f"limit:{key}"))

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis answers; None while it is away, which costs one request in some seconds any time."""
        if self._breaker.is_open:
            return None
        try:
            answer = await question()
        except (RedisError, OSError) as error:
            self._breaker.failed()
            log.warning("limits.no_redis", error=repr(error))
            return None
        self._breaker.succeeded()
        return answer

    async def aclose(self) -> None:
        await self.redis.aclose()

    def _charge_here(self, key: str, seconds: float, most: float) -> float:
        now = time.monotonic()
        arrival = max(self._local.get(key, now), now)
        wait = arrival + seconds - most - now
        if wait > 0:
            return wait
        self._local[key] = arrival + seconds
        self._local.move_to_end(key)
        while len(self._local) > 100_000:
            self._local.popitem(last=False)
        return 0


async def keep_to_allowance(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guards every route: counts the request by `ALLOWANCES` before anything is done for it.

    Raises:
        TooManyRequests: with the seconds to wait.
    """
    scope: Any = connection.scope
    if allowance := allowance_of(scope["method"], scope["path_template"]):
        await limit(connection, allowance)


async def limit(
    connection: Connection, allowance: Allowance, *, who: str | None = None, must_hold: bool = False
) -> None:
    """Counts this request for `who`, by default the viewer or else the address (an IPv6 /64 counts as one).

    Raises:
        TooManyRequests: with the seconds to wait.
    """
    settings: Settings = connection.app.state.settings
    if not settings.rate_limits:
        return
    limits: Limits = connection.app.state.limits
    key = f"{allowance.name}:{who or whose(connection)}"
    if wait := await limits.charge(key, allowance.interval, allowance.burst, must_hold=must_hold):
        meters.limited.labels(allowance.name).inc()
        raise TooManyRequests(retry_after=max(1, math.ceil(wait)))


def whose(connection: Connection) -> str:
    """Whom a limit counts for: the viewer, or the address block of the request."""
    viewer = viewer_of(connection.scope)
    return f"user-{viewer.id}" if viewer is not None else address_of(connection)


def address_of(connection: Connection) -> str:
    """The address block that the request comes from."""
    settings: Settings = connection.app.state.settings
    return address_block(client_address(connection.scope, settings.trusted_proxies))
