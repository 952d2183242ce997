"""Answers that cost almost nothing, for when there is no time to render one: a page, a fragment or JSON."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from jinja2 import Environment
from litestar.types import HTTPScope, Send

from strvsocial.web.headers import request_id_of
from strvsocial.web.rendering import create_template_engine

MESSAGE = "Very many people are here at this moment. Nothing was lost; please try again in a moment."
TOO_SLOW = "The request took too long to arrive. Please try again."


async def answer_busy(scope: HTTPScope, send: Send, *, retry_after: int) -> None:
    """503 with the seconds to wait, in the form that the client asked for."""
    if _wants_json(scope):
        error = {"status": 503, "code": "busy", "message": MESSAGE, "request_id": request_id_of(scope)}
        body, media_type = msgspec.json.encode({"error": error}), b"application/json"
    else:
        form = "fragment" if _wants_fragment(scope) else "form" if scope["method"] not in ("GET", "HEAD") else "page"
        body, media_type = _render(form, retry_after), b"text/html; charset=utf-8"
    headers = [(b"retry-after", str(retry_after).encode()), (b"vary", b"HX-Request, Cookie")]
    await _send(scope, send, 503, body, media_type, headers)


async def answer_too_slow(scope: HTTPScope, send: Send) -> None:
    """408, and the connection is given up: the rest of the body may come at any time."""
    error = {"status": 408, "code": "too_slow", "message": TOO_SLOW}
    await _send(
        scope, send, 408, msgspec.json.encode({"error": error}), b"application/json", [(b"connection", b"close")]
    )


async def _send(
    scope: HTTPScope, send: Send, status: int, body: bytes, media_type: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    always = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*always, *headers]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body, "more_body": False})


@lru_cache(maxsize=128)
def _render(form: str, retry_after: int) -> bytes:
    """The same for everybody, so that it is rendered once: it shows no name and no request."""
    name = "web/_error.html" if form == "fragment" else "web/busy.html"
    failure = {"status": 503, "message": MESSAGE, "fields": None, "retry_after": retry_after}
    return _templates().get_template(name).render(failure=failure, again=form == "page").encode()


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return create_template_engine().engine


def _wants_json(scope: HTTPScope) -> bool:
    if scope["path"].startswith(("/api/", "/events")):
        return True
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return b"application/json" in accept and b"text/html" not in accept


def _wants_fragment(scope: HTTPScope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"hx-request") == b"true" and headers.get(b"hx-boosted") != b"true"
