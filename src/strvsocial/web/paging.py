"""Keyset paging: a page knows the last key it showed, as an opaque cursor."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from strvsocial.errors import BadInput

T = TypeVar("T")

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many items at most.")]
"""`limit: Limit = 20` in a handler."""
Cursor = Annotated[str | None, QueryParameter(max_length=512, description="`next` of the page before.")]
"""`cursor: Cursor = None` in a handler."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Items in order, and the cursor that leads on, `None` at the end."""

    items: list[T]
    next: str | None = None


def encode_cursor(*values: Any) -> str:
    """An opaque cursor of JSON-able values (numbers, text, datetimes)."""
    return urlsafe_b64encode(msgspec.json.encode(values)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, types: Sequence[Any]) -> tuple[Any, ...] | None:
    """The values that `encode_cursor` got, each of its type in `types`; `None` for the first page.

    Raises:
        BadInput: it is not a cursor of ours.
    """
    if not cursor:
        return None
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values: tuple[Any, ...] = msgspec.json.decode(raw, type=tuple[tuple(types)])  # type: ignore[misc]
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadInput(fields={"cursor": "This is not a place in this list. Start again without it."}) from error
    if any(_overflows(value) for value in values):
        raise BadInput(fields={"cursor": "This is not a place in this list. Start again without it."})
    return values


def _overflows(value: Any) -> bool:
    """PostgreSQL's bigint ends earlier than Python's integers do, and its text takes no NUL."""
    if isinstance(value, str):
        return "\0" in value
    return isinstance(value, int) and not -(2**63) <= value < 2**63
