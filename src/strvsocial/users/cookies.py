"""The session cookie: opaque, HttpOnly, SameSite=Lax; with the `__Host-` prefix and Secure where the site has HTTPS."""

from __future__ import annotations

from litestar.datastructures import Cookie

from strvsocial.settings import Settings

SESSION_SECONDS = 30 * 86_400


def cookie_name(settings: Settings) -> str:
    return "__Host-strv" if _is_https(settings) else "strv"


def make_cookie(settings: Settings, token: str) -> Cookie:
    """The cookie that carries the token of `sessions.start`."""
    return Cookie(
        key=cookie_name(settings),
        value=token,
        max_age=SESSION_SECONDS,
        path="/",
        httponly=True,
        secure=_is_https(settings),
        samesite="lax",
    )


def clear_cookie(settings: Settings) -> Cookie:
    """The cookie that makes the browser forget its token."""
    return Cookie(
        key=cookie_name(settings),
        value="",
        max_age=0,
        path="/",
        httponly=True,
        secure=_is_https(settings),
        samesite="lax",
    )


def _is_https(settings: Settings) -> bool:
    return settings.site_url.startswith("https://")
