"""What work was caused by: the id of the request, carried in log lines and job rows from the page to the decoder.

The id is bound to the context (see `web.headers.RequestIds`, which accepts or makes it), a job's row remembers it, and the
lane that runs the job binds it again: for every line that is logged meanwhile and every job that is wanted meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from structlog.contextvars import bound_contextvars, get_contextvars

from strvsocial import traces


class Cause(NamedTuple):
    """The request that wanted some work, and its place in a trace (W3C `traceparent`), where there are such."""

    request_id: str | None = None
    traceparent: str | None = None


UNKNOWN = Cause()


def current() -> Cause:
    """What the code that runs now was caused by."""
    request_id = get_contextvars().get("request_id")
    return Cause(request_id if isinstance(request_id, str) else None, traces.current_traceparent())


@contextmanager
def bound(causes: Sequence[Cause], **fields: Any) -> Iterator[None]:
    """Binds the causes and `fields` to every line and every wish of the block.

    Work done together for several requests shows all their ids; what it wants was caused by none of them, unless
    `bound` is called again for one.
    """
    ids = list(dict.fromkeys(cause.request_id for cause in causes if cause.request_id))
    one, many = (ids[0], None) if len(ids) == 1 else (None, ids or None)
    with bound_contextvars(request_id=one, request_ids=many, **fields):
        yield
