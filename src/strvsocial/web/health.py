"""For operators' probes: is the process alive, and can it serve?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler
from msgspec import Struct
from redis.exceptions import ResponseError
from sqlalchemy import text

from strvsocial.errors import StrvError, Unavailable

PROBE_SECONDS = 1.0
KEPT_SECONDS = 2.0
"""How long the answers of the parts are believed."""


class ModelsMissing(Exception):
    """The embedder cannot work; `strvsocial models status` says why. Posts are published all the same."""


class Readiness(Struct, frozen=True):
    """`status` is `ready`, `degraded` (a part is down that we can do without for a while), `down`, or `draining` when the
    process was told to end: it answers still, but new requests should go elsewhere."""

    status: str
    parts: dict[str, str]


@get("/livez", tags=["operations"], summary="Alive?", media_type="text/plain")
async def livez() -> str:
    """The process answers. Asks nothing else, so that an outage elsewhere does not restart it."""
    return "ok"


class Probes:
    """What the parts of the site answered last. However many probes come, each part is asked once in two seconds."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def ask(self, state: Any) -> dict[str, str]:
        """How each part is: `ok`, or what is wrong."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._parts = await ask_parts(state)
                self._until = time.monotonic() + KEPT_SECONDS
        return self._parts

    def forget(self) -> None:
        """Asks anew next time."""
        self._until = 0.0


@get("/readyz", tags=["operations"], summary="Ready?")
async def readyz(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """Asks each part, for at most a second. 503 without the database; without another part it is `degraded`."""
    state = request.app.state
    if state.shutdown.begun.is_set():
        return Response(Readiness("draining", {}), status_code=503, headers={"Cache-Control": "no-store"})
    parts = await state.probes.ask(state)
    if parts["database"] != "ok":
        down = Readiness("down", parts)
        return Response(down, status_code=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})
    status = "ready" if all(part == "ok" for part in parts.values()) else "degraded"
    return Response(Readiness(status, parts), headers={"Cache-Control": "no-store"})


async def ask_parts(state: Any) -> dict[str, str]:
    """`ok`, or in a word what is wrong, of each part that pages depend on; within a second."""
    probes: dict[str, Callable[[], Awaitable[Any]]] = {
        "database": lambda: _ask_database(state),
        "redis": lambda: _ask_redis(state),
        "storage": lambda: state.storage_health.check(),
        "live": lambda: _check("the listener", state.listener.is_connected),
        "index": lambda: _check("the index", state.index.ready),
        "models": lambda: _ask_models(state),
    }
    answers = await asyncio.gather(*(_probe(probe) for probe in probes.values()))
    return dict(zip(probes, answers, strict=True))


async def _probe(probe: Callable[[], Awaitable[Any]]) -> str:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await probe()
    except TimeoutError:
        return "no answer within a second"
    except StrvError as error:
        return error.message
    except Exception as error:
        return type(error).__name__
    return "ok"


async def _ask_database(state: Any) -> None:
    async with state.database.read() as reader:
        await reader.execute(text("select 1"))


async def _ask_redis(state: Any) -> None:
    """Writes: one that is full, or cannot reach its disk, still answers a ping."""
    try:
        await state.limits.redis.set("strv:probe", 1, ex=60)
    except ResponseError as error:
        raise Unavailable("It takes no writes: it may be full.") from error


async def _ask_models(state: Any) -> None:
    async with state.database.read() as reader:
        if await state.find_model_trouble(reader):
            raise ModelsMissing


async def _check(part: str, is_fine: bool) -> None:
    if not is_fine:
        raise ConnectionError(part)


HANDLERS: list[ControllerRouterHandler] = [livez, readyz]
