"""One renderer of everything that goes wrong: JSON for the API, a fragment for HTMX, a page for people."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from string import Template as PlainTemplate
from typing import Any
from urllib.parse import quote

import asyncpg
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from markupsafe import escape
from msgspec import Struct
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from strvsocial import incidents
from strvsocial.errors import (
    BadInput,
    Conflict,
    NotFound,
    NotSignedIn,
    StrvError,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from strvsocial.web.headers import request_id_of
from strvsocial.web.input import say
from strvsocial.web.rendering import is_fragment, template_context

log = structlog.get_logger()

# SQLSTATE classes: connection, resources, operator intervention, authorization, and two states that a retry heals.
_DOWN = ("08", "53", "57", "28", "3D000", "40001", "40P01", "55P03")
_DISK_FULL, _READ_ONLY = "53100", "25006"
# Characters that PostgreSQL cannot store, and numbers that its columns cannot hold.
_UNSTORABLE = ("22021", "22P05", "22003")
_LOST_BEFORE = "8s2b"
"""SQLAlchemy's word for a connection that was lost in an earlier statement of the same request."""
_PARTS_AWAY = (
    PoolTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    RedisError,
    BotoCoreError,
    ClientError,
)
_NETWORK = (ConnectionError, TimeoutError, socket.gaierror)
_UNREACHABLE = {errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN}
_LAST_RESORT = PlainTemplate((Path(__file__).parent / "failure.html").read_text())
_PICTURE_AWAY = (Path(__file__).parent / "picture_away.svg").read_bytes()


class Failure(Struct, frozen=True):
    """What a person or a client is told. Templates see it as `failure`."""

    status: int
    code: str
    message: str
    fields: dict[str, str] | None = None
    retry_after: int | None = None
    request_id: str = ""
    headers: dict[str, str] = {}


def describe(error: BaseException, request_id: str = "") -> Failure:
    """The failure that an exception amounts to. Unknown ones are a 500 that tells nothing of the inside."""
    if isinstance(error, BaseExceptionGroup):  # What a request asked for at once failed at once; nobody foresaw: 500.
        told = [describe(one, request_id) for one in error.exceptions]
        return max(told, key=lambda failure: (failure.status == 500, failure.status))
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
    known = _as_strv_error(error)
    retry_after = known.retry_after
    if retry_after is None and known.status in (429, 503):
        retry_after = 5
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if known.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Failure(known.status, known.code, known.message, known.fields, retry_after, request_id, headers)


def _as_strv_error(error: BaseException) -> StrvError:
    if isinstance(error, StrvError):
        return error
    if isinstance(error, HTTPException):
        return _from_litestar(error)
    if isinstance(error, DBAPIError):
        return _from_database(error)
    if isinstance(error, asyncpg.PostgresError):
        return _outage(str(error.sqlstate)) or StrvError()
    if isinstance(error, _PARTS_AWAY):
        return Unavailable()
    if isinstance(error, PendingRollbackError) and error.code == _LOST_BEFORE:
        return Unavailable()
    if isinstance(error, OSError) and _is_of_the_network(error):
        return Unavailable()
    return StrvError()


def _is_of_the_network(error: OSError) -> bool:
    # asyncio sums up a host with several addresses, `localhost` is one, in an error that has no number.
    no_address_answers = error.errno is None and str(error).startswith("Multiple exceptions")
    return isinstance(error, _NETWORK) or error.errno in _UNREACHABLE or no_address_answers


def _outage(state: str) -> Unavailable | None:
    """What an SQLSTATE says of the server's own state."""
    if state in (_DISK_FULL, _READ_ONLY):
        message = "Nothing new can be saved just now: the site's %s. Reading works on."
        why = "disk is full" if state == _DISK_FULL else "database is read-only"
        return Unavailable(message % why, code="read_only", retry_after=60)
    return Unavailable() if state.startswith(_DOWN) else None


def _from_database(error: DBAPIError) -> StrvError:
    state = str(getattr(error.orig, "sqlstate", "") or "")
    if outage := _outage(state):
        return outage
    if error.connection_invalidated:
        return Unavailable()
    # The driver itself refuses numbers beyond those of the column, without asking the server.
    if state in _UNSTORABLE or isinstance(getattr(error.orig, "__cause__", None), asyncpg.DataError):
        return BadInput("Something in there holds characters or numbers that we cannot keep.")
    if state in ("23505", "23503"):
        return Conflict("Somebody changed this at the same moment. Please look again.")
    if isinstance(error, (OperationalError, InterfaceError)) and not state:
        return Unavailable()
    return StrvError()


def _from_litestar(error: HTTPException) -> StrvError:
    if isinstance(error, ValidationException):
        found = [item for item in error.extra or [] if isinstance(item, dict)]
        fields = {str(item.get("key", "request")): say(str(item.get("message", ""))) for item in found}
        return BadInput(fields=fields or None)
    for known in (NotSignedIn, NotFound, TooLarge, TooManyRequests, Unavailable):
        if error.status_code == known.status:
            return known()
    if error.detail == _GONE_AWAY:
        return BadInput("The request broke off.", code="broken_off")
    if error.status_code >= 500:
        return StrvError()
    if error.status_code == 400:
        return BadInput("We could not understand this request.")
    answer = StrvError(_CLIENT_ERRORS.get(error.status_code, "We could not understand this request."))
    answer.status, answer.code = error.status_code, "bad_request"
    if error.status_code == 405:
        answer.code = "method_not_allowed"
    return answer


_GONE_AWAY = "client disconnected prematurely"
"""How Litestar says that a body ended too soon. Pages that close while they send do it all day: no failure of ours."""
_CLIENT_ERRORS = {
    403: "You may not do this.",
    405: "This address does not take that kind of request.",
}


def render(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer to a request that failed; Litestar's exception handler for everything."""
    failure = describe(error, request_id_of(request.scope))
    if failure.status >= 500:
        # An outage fails every request in the same way: only what nobody foresaw is worth its traceback.
        path, is_ours = request.scope["path"], failure.status == 500
        level = log.error if is_ours else log.warning
        level(
            "request.failed",
            status=failure.status,
            path=path,
            error=repr(error)[:300],
            exc_info=error if is_ours else None,
        )
        if is_ours:
            incidents.report(error, route=str(request.scope.get("path_template") or "unknown"))
    if wants_json(request):
        return _as_json(failure)
    if wants_picture(request):
        return _as_picture(failure)
    if failure.status == 401:
        return _to_login(request, failure)
    return _as_html(request, failure)


def wants_json(request: Request[Any, Any, Any]) -> bool:
    """The API and the events always, media for whoever has a token, elsewhere whoever accepts JSON and not HTML."""
    path = request.scope["path"]
    if path.startswith(("/api/", "/events")) or (path.startswith("/media/") and "authorization" in request.headers):
        return True
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def wants_picture(request: Request[Any, Any, Any]) -> bool:
    """Whether a page shows what is asked for as a picture."""
    return request.scope["path"].startswith("/media/") and request.headers.get("sec-fetch-dest") == "image"


def _as_picture(failure: Failure) -> Response[Any]:
    """What stands in the picture's place: browsers show it whatever the status, and by itself when that is all there is."""
    headers = {**failure.headers, "Cache-Control": "no-store"}
    return Response(_PICTURE_AWAY, status_code=failure.status, media_type="image/svg+xml", headers=headers)


def _as_json(failure: Failure) -> Response[Any]:
    error: dict[str, Any] = {"status": failure.status, "code": failure.code, "message": failure.message}
    if failure.fields:
        error["fields"] = failure.fields
    if failure.status >= 500:
        error["request_id"] = failure.request_id
    return Response(
        {"error": error},
        status_code=failure.status,
        media_type="application/json",
        headers={**failure.headers, "Cache-Control": "no-store"},
    )


def _to_login(request: Request[Any, Any, Any], failure: Failure) -> Response[Any]:
    query = request.scope.get("query_string", b"").decode("latin-1")
    path = request.scope["path"] + (f"?{query}" if query else "")
    target = f"/login?next={quote(path if request.method == 'GET' and not is_fragment(request) else '/', safe='/')}"
    headers = {"Cache-Control": "no-store", "Vary": "HX-Request, Cookie"}
    if request.headers.get("hx-request") == "true":
        return Response(b"", status_code=401, media_type="text/html", headers={**headers, "HX-Redirect": target})
    return Response(b"", status_code=303, media_type="text/html", headers={**headers, "Location": target})


def _as_html(request: Request[Any, Any, Any], failure: Failure) -> Response[Any]:
    name = "web/_error.html" if is_fragment(request) else "web/error.html"
    try:
        engine = request.app.template_engine
        if engine is None:
            raise LookupError("no template engine")
        body = engine.get_template(name).render(**template_context(request, {"failure": failure}))
    except Exception as broken:
        log.error("request.error_page_failed", template=name, error=repr(broken))
        body = _LAST_RESORT.substitute(message=str(escape(failure.message)), id=str(escape(failure.request_id)))
    return Response(
        body,
        status_code=failure.status,
        media_type="text/html",
        headers={**failure.headers, "Cache-Control": "no-store", "Vary": "HX-Request, Cookie"},
    )


class Failures:
    """Answers errors that are raised outside of Litestar's router, by the middlewares around it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if started or scope["type"] != ScopeType.HTTP:
                raise
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            answer = render(request, error).to_asgi_response(app=None, request=request)
            await answer(scope, receive, send)
