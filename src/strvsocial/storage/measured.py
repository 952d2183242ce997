"""Counts and times what is asked of a storage, and how it ended."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from strvsocial import meters
from strvsocial.errors import NotFound

OPERATIONS = (
    "put", "put_file", "get_file", "read", "stat", "delete", "list",
    "start_multipart", "put_part", "complete_multipart", "abort_multipart",
)  # fmt: skip
C = TypeVar("C", bound=type)


def measured(storage: C) -> C:
    """Class decorator: measures each of `OPERATIONS`. Of what is read piece by piece, the time to the first piece counts."""
    for operation in OPERATIONS:
        method = getattr(storage, operation)
        wrap = _measure_pieces if inspect.isasyncgenfunction(method) else _measure_call
        setattr(storage, operation, wrap(operation, method))
    return storage


def _measure_call(operation: str, method: Any) -> Any:
    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            result = await method(*args, **kwargs)
        except BaseException as error:
            _count(operation, error, started)
            raise
        _count(operation, None, started)
        return result

    return call


def _measure_pieces(operation: str, method: Any) -> Any:
    @functools.wraps(method)
    async def pieces(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        started = time.perf_counter()
        first: float | None = None
        try:
            async for piece in method(*args, **kwargs):
                first = first or time.perf_counter()
                yield piece
        except BaseException as error:
            _count(operation, error, started, first)
            raise
        _count(operation, None, started, first)

    return pieces


def _count(operation: str, error: BaseException | None, started: float, ended: float | None = None) -> None:
    if isinstance(error, asyncio.CancelledError):
        return  # Whoever asked went away: nothing is known.
    outcome = "missing" if isinstance(error, NotFound) else "failed" if isinstance(error, Exception) else "ok"
    meters.storage_calls.labels(operation, outcome).inc()
    meters.storage_seconds.labels(operation).observe((ended or time.perf_counter()) - started)
