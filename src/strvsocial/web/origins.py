"""Cross-site request forgery is refused by where the browser says a request comes from; no tokens, no body read.

Every browser that can run the site sends Sec-Fetch-Site or, on plain HTTP, Origin with each request that changes
something. A request with a bearer token and no cookie is no browser's doing and passes.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes, urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from strvsocial.errors import BadInput, Forbidden, NotFound

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Origins:
    """Refuses requests that another site made a browser send, and addresses that hold a NUL."""

    def __init__(self, app: ASGIApp, *, site_url: str) -> None:
        self.app = app
        self.site_host = urlsplit(site_url).netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            refuse_nul(scope)
            if scope["method"] not in _SAFE and not self.is_same_site(dict(scope["headers"])):
                raise Forbidden("This came from another site, so we did nothing.", code="cross_site")
        await self.app(scope, receive, send)

    def is_same_site(self, headers: dict[bytes, bytes]) -> bool:
        if b"cookie" not in headers and headers.get(b"authorization", b"")[:7].lower() == b"bearer ":
            return True
        if fetch_site := headers.get(b"sec-fetch-site"):
            return fetch_site in (b"same-origin", b"none")
        origin = headers.get(b"origin")
        if origin is None:
            return True
        host = urlsplit(origin.decode("latin-1")).netloc
        return bool(host) and host in (headers.get(b"host", b"").decode("latin-1"), self.site_host)


def refuse_nul(scope: Scope) -> None:
    """PostgreSQL stores no NUL: an address with one names nothing.

    Raises:
        NotFound: the path has one.
        BadInput: the query has one, or bytes that are not UTF-8.
    """
    if "\0" in scope["path"]:
        raise NotFound
    query = scope.get("query_string", b"")
    if b"%" not in query:
        return
    plain = unquote_to_bytes(query.replace(b"+", b" "))
    try:
        if "\0" not in plain.decode():
            return
    except UnicodeDecodeError:
        pass
    raise BadInput("The address holds characters that cannot be part of it.")
