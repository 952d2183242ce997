"""The doorbell between the processes: arq on Redis. It carries the name of a queue and nothing that could be lost.

`Doorbell` rings after commits. `Listening` is arq's worker, made to outlive Redis: while the bell is out of reach the
lanes work on, looking for due rows by themselves, and when Redis is back the bell is heard again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.utils import poll
from arq.worker import Worker
from redis.exceptions import RedisError

from strvsocial.breaker import Breaker

log = structlog.get_logger()

RING_SECONDS = 0.5
"""The longest that a request waits for its bell; after a silent one the next are skipped for some seconds."""
HANG_SECONDS = 5.0
"""How long one look for bells may take before the connection counts as dead."""
RETRY_SECONDS = 1.0


class Doorbell:
    """Wakes the workers through arq. A bell that cannot be rung is logged and forgotten: the lanes look by themselves."""

    def __init__(self, redis_url: str) -> None:
        self._settings = redis_settings(redis_url)
        self._pool: ArqRedis | None = None
        self._breaker = Breaker()

    async def ring(self, queues: set[str]) -> None:
        if self._breaker.is_open:
            return
        try:
            async with asyncio.timeout(RING_SECONDS):
                if self._pool is None:
                    self._pool = await create_pool(self._settings, job_serializer=pack, job_deserializer=unpack)
                for queue in queues:
                    await self._pool.enqueue_job("ring", queue, _queue_name=arq_queue(queue))
        except Exception as error:
            self._breaker.failed()
            log.warning("doorbell.silent", queues=sorted(queues), error=repr(error))
        else:
            self._breaker.succeeded()

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()


class Listening(Worker):
    """arq's worker, but it starts without Redis, does not end with it, and stops in order without it."""

    async def main(self) -> None:
        if self.on_startup:
            await self.on_startup(self.ctx)
        is_deaf = False
        while True:
            try:
                self._pool = await create_pool(
                    self.redis_settings,
                    job_serializer=self.job_serializer,
                    job_deserializer=self.job_deserializer,
                    default_queue_name=self.queue_name,
                    expires_extra_ms=self.expires_extra_ms,
                )
                self._last_health_check, is_deaf = 0, False
                log.info("doorbell.heard", queue=self.queue_name)
                async for _ in poll(self.poll_delay_s):
                    async with asyncio.timeout(HANG_SECONDS):
                        await self._poll_iteration()
            except (RedisError, OSError, TimeoutError) as error:
                if not is_deaf:
                    log.warning("doorbell.deaf", queue=self.queue_name, error=repr(error))
                is_deaf = True
            await self._hang_up()
            await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                if self._pool is not None:
                    await self._pool.delete(self.health_check_key)
        await self._hang_up()

    async def _hang_up(self) -> None:
        """Forgets the connection and the bells that were being answered: their rows are found anyway."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        self.tasks.clear()
        # What an interrupted look had taken and not given back would make us deaf in the end.
        self.sem = asyncio.BoundedSemaphore(self.max_jobs + 1)
        self.job_counter = 0
        pool, self._pool = self._pool, None
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                if pool is not None:
                    await pool.close(close_connection_pool=True)


def redis_settings(url: str) -> RedisSettings:
    """arq's connection settings, failing within a second instead of hanging."""
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout, settings.conn_retries, settings.conn_retry_delay = 1, 0, 0
    return settings


def arq_queue(queue: str) -> str:
    """The arq queue on which a job queue's bell is heard: the worker's or the embedder's."""
    return "strv:embedder" if queue == "embed" else "strv:worker"


def pack(message: Any) -> bytes:
    """arq's message as MessagePack, never as a pickle. Of what does not fit, an exception say, its words are kept."""
    return msgspec.msgpack.encode(message, enc_hook=repr)


def unpack(message: bytes) -> Any:
    """The inverse of `pack`."""
    return msgspec.msgpack.decode(message)
