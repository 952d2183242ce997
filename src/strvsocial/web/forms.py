"""What forms of pages share: where they lead back to, and what a person wrote when something was wrong with it."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.response import Redirect

from strvsocial.errors import StrvError
from strvsocial.web.rendering import PageResponse, page

_SECRET = frozenset({"password", "new_password", "code"})


def safe_path(path: str | None) -> str:
    """`path` when it is an address on this site, else `/`: a link must not send people elsewhere after they signed in."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable():
        return "/"
    return path


def see(path: str) -> Redirect:
    """Sends the browser on with a GET after a form did its work."""
    return Redirect(path, status_code=303)


async def sent_values(request: Request[Any, Any, Any]) -> dict[str, str]:
    """What was in the form, without secrets, to be shown again."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str) and name not in _SECRET}


async def again(request: Request[Any, Any, Any], template: str, error: StrvError, **context: Any) -> PageResponse:
    """The form once more, with what was written and what is wrong with it; `error` gives the status."""
    fields = error.fields or {}
    return page(
        template,
        status=error.status,
        fields=fields,
        message=error.message,
        values=await sent_values(request),
        **context,
    )
