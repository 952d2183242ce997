"""Signing in, with the limits against guessing: per account and per address, holding even while Redis is away."""

from __future__ import annotations

import hashlib
from typing import Any

from litestar import Request

from strvsocial.db import Database
from strvsocial.settings import Settings
from strvsocial.users import accounts
from strvsocial.web.addresses import client_address
from strvsocial.web.allowances import CONFIRM, LOGIN, LOGIN_FROM, SIGN_UP
from strvsocial.web.limits import Limits, address_of, limit


async def log_in(request: Request[Any, Any, Any], email: str, password: str) -> int:
    """The id of the person with this address and password; only failures count against the limits.

    Raises:
        NotSignedIn: they do not belong together.
        TooManyRequests: ten tries in fifteen minutes for one account, or thirty from one address.
    """
    database: Database = request.app.state.database
    account = hashlib.sha256(email.strip().casefold().encode()).hexdigest()[:32]
    await limit(request, LOGIN_FROM, who=address_of(request), must_hold=True)
    await limit(request, LOGIN, who=account, must_hold=True)
    user_id = await accounts.authenticate(database, email, password)
    limits: Limits = request.app.state.limits
    await limits.forget(f"{LOGIN.name}:{account}")
    await limits.refund(f"{LOGIN_FROM.name}:{address_of(request)}", LOGIN_FROM.interval)
    return user_id


async def limit_confirmations(request: Request[Any, Any, Any]) -> None:
    """Against guessing the password of a session that one has got hold of."""
    await limit(request, CONFIRM, must_hold=True)


async def limit_sign_ups(request: Request[Any, Any, Any]) -> None:
    """Against sign-ups by the thousand from one address."""
    await limit(request, SIGN_UP, who=address_of(request))


def describe_client(request: Request[Any, Any, Any]) -> dict[str, str]:
    """`user_agent` and `address` for `sessions.start`."""
    settings: Settings = request.app.state.settings
    return {
        "user_agent": request.headers.get("user-agent", ""),
        "address": client_address(request.scope, settings.trusted_proxies),
    }
