"""What a check found, and how a check that fails unforeseen is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct

from strvsocial.errors import StrvError

State = Literal["ok", "warn", "fail"]
CHECK_SECONDS = 30.0


class Finding(Struct, frozen=True):
    """One line of `strvsocial doctor`. `hint` says what to do, where something is to be done."""

    name: str
    state: State
    message: str
    hint: str | None = None


Check = Callable[[], Awaitable[list[Finding]]]


async def look(name: str, check: Check, hint: str) -> list[Finding]:
    """Runs a check; what it raises becomes a failure with `hint`."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return [Finding(name, "fail", f"no answer within {CHECK_SECONDS:.0f} s", hint)]
    except StrvError as error:
        return [Finding(name, "fail", error.message, hint)]
    except Exception as error:
        return [Finding(name, "fail", f"{type(error).__name__}: {error}".splitlines()[0], hint)]
