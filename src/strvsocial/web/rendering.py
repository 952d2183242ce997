"""Pages and fragments from templates: `page("content/posts/show.html", post=post)`.

Every template sees `viewer`, `settings`, `path` (of the request), `request`, `is_fragment`, `asset(name)` and
`remembered(macro, …)`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import OrderedDict
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Macro
from litestar import Request
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.types import Scope
from markupsafe import Markup

from strvsocial.settings import ROOT
from strvsocial.web.formats import FILTERS

log = structlog.get_logger()

TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"


class PageResponse(Template):
    """A rendered template that no shared cache keeps and that no fragment is mistaken for."""

    def create_template_context(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        return template_context(request, self.context)


def page(name: str, /, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any) -> PageResponse:
    """A response from the template `name`. Partials are templates too: decide with `is_fragment`."""
    return PageResponse(
        name,
        context=context,
        status_code=status,
        media_type="text/html",
        headers={"Vary": "HX-Request, Cookie", "Cache-Control": "private, no-cache", **(headers or {})},
    )


def is_fragment(request: Request[Any, Any, Any]) -> bool:
    """Whether HTMX asks for a part of a page. Boosted links and restored history want whole pages."""
    headers = request.headers
    return (
        headers.get("hx-request") == "true"
        and headers.get("hx-boosted") != "true"
        and headers.get("hx-history-restore-request") != "true"
        and headers.get("hx-request-type") != "full"
    )


def template_context(request: Request[Any, Any, Any], context: dict[str, Any]) -> dict[str, Any]:
    """What every template sees, and `context`, which wins."""
    return {
        "viewer": viewer_of(request.scope),
        "settings": request.app.state.settings,
        "path": request.scope["path"],
        "is_fragment": is_fragment(request),
        "request": request,
        **context,
    }


def viewer_of(scope: Scope) -> Any:
    """The `Viewer` that the authentication found, or `None`."""
    return scope.get("viewer")


def asset(name: str) -> str:
    """The address of a built file of the front end, by its source name (`app.js`) in the manifest."""
    built = _manifest().get(name)
    if built is None:
        _warn_of_missing_asset(name)
        return f"/static/{name}"
    return f"/static/dist/{built}"


MANIFEST = STATIC / "dist" / "manifest.json"
_seen_manifest: tuple[float, dict[str, str]] = (-math.inf, {})


def _manifest() -> dict[str, str]:
    """The manifest, looked at once a second: a page asks for dozens of addresses."""
    global _seen_manifest
    looked_at, names = _seen_manifest
    if time.monotonic() - looked_at > 1:
        try:
            names = dict(json.loads(MANIFEST.read_text()))
        except OSError:
            names = {}
        _seen_manifest = (time.monotonic(), names)
    return names


@lru_cache(maxsize=64)
def _warn_of_missing_asset(name: str) -> None:
    log.warning("asset.missing", asset=name, hint="build the front end: npm ci && npm run build")


REMEMBERED_SECONDS, MOST_REMEMBERED = 30, 1000
_remembered: OrderedDict[tuple[Any, bytes], Markup] = OrderedDict()


def remembered(macro: Macro, *arguments: Any, **options: Any) -> Markup:
    """What a macro renders for these arguments, from memory if it did so within half a minute, as "5 minutes ago" allows.

    For macros that see nothing but their arguments. Arguments are compared by their JSON, so a post that changed in
    anything that shows is rendered anew, and nobody gets what was rendered for another relation to it.
    """
    moment = int(time.time()) // REMEMBERED_SECONDS
    told = msgspec.json.encode((arguments, options, moment))
    key = (macro._func, hashlib.blake2b(told, digest_size=16).digest())
    found = _remembered.get(key)
    if found is None:
        found = _remembered[key] = Markup(macro(*arguments, **options))  # noqa: S704 - a macro has escaped already
        if len(_remembered) > MOST_REMEMBERED:
            _remembered.popitem(last=False)
    else:
        _remembered.move_to_end(key)
    return found


def create_template_engine(**names: Any) -> JinjaTemplateEngine:
    """Jinja on `templates/`: escapes everything, refuses unknown names, keeps no whitespace of its own tags.

    `names` are seen by every template, macros included.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.globals.update(names, asset=asset, remembered=remembered)
    environment.filters.update(FILTERS)
    return JinjaTemplateEngine.from_environment(environment)
