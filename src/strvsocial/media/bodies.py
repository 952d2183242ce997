"""Reading a request's body piece by piece, from clients that may vanish or fall asleep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException

from strvsocial.errors import StrvError
from strvsocial.media.parts import PartSlots
from strvsocial.settings import Settings

STALL_SECONDS = 60.0
"""How long a client may be silent in the middle of a body."""


class BrokenOff(StrvError):
    """The client went away or fell silent before the end of the body."""

    status, code, message = 408, "broken_off", "The upload stopped before its end. Please try again."


class Restarting(BrokenOff):
    """The process ends; the client should go on with another one, which clients do after a 503."""

    status, code, message = 503, "restarting", "The site is being renewed. The upload goes on in a moment."


async def read_body(request: Request[Any, Any, Any], stall_seconds: float | None = None) -> AsyncIterator[bytes]:
    """The body's pieces, none of them empty. The socket is read no faster than they are taken.

    Raises BrokenOff when the client disconnects, or is silent for `stall_seconds` (STALL_SECONDS). The handler's
    `request_max_body_size` must be None: whoever reads here counts for themselves.
    """
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(stall_seconds or STALL_SECONDS):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except (TimeoutError, InternalServerException) as error:
            if request.app.state.shutdown.hurry:
                raise Restarting(retry_after=2) from error
            raise BrokenOff from error
        if piece:
            yield piece


def get_part_slots(state: State, settings: Settings) -> PartSlots:
    """The part buffers of this process, made when first asked for."""
    slots: PartSlots | None = state.get("part_slots")
    if slots is None:
        slots = state["part_slots"] = PartSlots(settings.upload_part_bytes, settings.upload_part_slots)
    return slots
