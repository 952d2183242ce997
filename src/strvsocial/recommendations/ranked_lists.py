"""Rankings kept for ten minutes, so that the second page of a feed continues the first. In Redis: losing one costs work only."""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Self

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis

from strvsocial.breaker import Breaker

log = structlog.get_logger()

KEEP_SECONDS = 600


class Entry(Struct, frozen=True, array_like=True):
    """A ranked post: the seed that led to it, the score, and each space's share of it."""

    post_id: int
    seed_id: int
    score: float
    shares: dict[str, float]


_decode = msgspec.msgpack.Decoder(list[Entry]).decode


class RankedLists:
    """Keeps rankings under unguessable tokens, each for the person it was made for. Never raises: it forgets instead."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Redis = Redis.from_url(redis_url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self._breaker = Breaker()

    async def keep(self, user_id: int, entries: list[Entry]) -> str:
        """The token to find the ranking by."""
        token = secrets.token_urlsafe(12)
        if self._breaker.is_open:
            return token
        try:
            await self._redis.set(self._key(user_id, token), msgspec.msgpack.encode(entries), ex=KEEP_SECONDS)
        except Exception as error:
            self._breaker.failed()
            log.warning("recommendations.not_kept", error=repr(error))
        return token

    async def find(self, user_id: int, token: str) -> list[Entry] | None:
        if self._breaker.is_open:
            return None
        try:
            kept = await self._redis.get(self._key(user_id, token))
            return None if kept is None else _decode(kept)
        except Exception as error:
            self._breaker.failed()
            log.warning("recommendations.forgotten", error=repr(error))
            return None

    def _key(self, user_id: int, token: str) -> str:
        return f"strv:ranked:{user_id}:{token[:64]}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._redis.aclose()
