"""Finds out who is looking and puts the `Viewer`, or `None`, into `scope["viewer"]`.

Pages, /events and media take the session cookie; the API and media also take a bearer token. It wraps the whole
application, so that pages for unknown addresses know the viewer too.
"""

from __future__ import annotations

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from strvsocial.db import Database
from strvsocial.errors import NotSignedIn
from strvsocial.settings import Settings
from strvsocial.users import sessions, tokens
from strvsocial.users.cookies import cookie_name
from strvsocial.web.viewers import Viewer

_ANONYMOUS = ("/static/", "/livez", "/readyz", "/metrics", "/schema/")
_BEARER = ("/api/", "/media/", "/events")


class Authentication:
    """Raises NotSignedIn for a bearer token that is wrong; a cookie that is wrong is nobody's."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.cookie = cookie_name(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            scope["viewer"] = None  # type: ignore[typeddict-unknown-key]
            if not scope["path"].startswith(_ANONYMOUS):
                viewer = await self.find_viewer(scope)
                scope["viewer"] = viewer  # type: ignore[typeddict-unknown-key]
                if viewer is not None:
                    structlog.contextvars.bind_contextvars(user=viewer.public_id)
        await self.app(scope, receive, send)

    async def find_viewer(self, scope: Scope) -> Viewer | None:
        database: Database = scope["litestar_app"].state.database
        headers = dict(scope["headers"])
        if scope["path"].startswith(_BEARER) and (given := headers.get(b"authorization")):
            scheme, _, token = given.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise NotSignedIn("Send a bearer token.", code="wrong_token")
            async with database.read() as reader:
                viewer = await tokens.find(reader, token.strip())
            if viewer is None:
                raise NotSignedIn("This token is wrong or was ended.", code="wrong_token")
            return viewer
        session_token = read_cookie(headers.get(b"cookie", b""), self.cookie)
        if session_token is None:
            return None
        async with database.read() as reader:
            return await sessions.find(reader, session_token)


def read_cookie(header: bytes, name: str) -> str | None:
    """One cookie of a Cookie header."""
    for part in header.decode("latin-1").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name and value:
            return value
    return None
