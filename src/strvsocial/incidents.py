"""Failures that nobody foresaw, reported to Sentry when SENTRY_DSN is set; else nothing of it is imported.

What is reported: the type of the exception, its stack without local variables, its message without addresses, secrets or
what PostgreSQL quotes of a row, the request's id and the kind of work. No person, no cookie, no header, no body.
"""

from __future__ import annotations

import re
from typing import Any

import structlog

from strvsocial import __version__
from strvsocial.settings import Settings

log = structlog.get_logger()

INSTALL = "pip install 'strvsocial[sentry]'"
SEND_SECONDS = 2.0
_MASK = "***"
_PERSONAL = ("request", "user", "breadcrumbs", "extra", "server_name")
_QUOTED_ROW = re.compile(r"\n?\s*(DETAIL|CONTEXT|\[parameters|\[SQL):.*", re.DOTALL)
_UNSPEAKABLE = re.compile(
    r"(?<=://)[^/\s@]*(?=@)|[\w.+%-]+@[\w-]+(\.[\w-]+)+|\b(bearer|basic)\s+[\w.~+/=-]{8,}|\b[A-Za-z0-9_-]{32,}\b",
    re.IGNORECASE,
)

_sentry: Any = None
"""The module `sentry_sdk` once reporting is on."""


def start(settings: Settings, process: str) -> None:
    """Turns reporting on where the settings want it. Without its package the process runs on and says what is missing."""
    global _sentry
    if settings.sentry_dsn is None or _sentry is not None:
        return
    try:
        import sentry_sdk
        from sentry_sdk.integrations.dedupe import DedupeIntegration
        from sentry_sdk.integrations.excepthook import ExcepthookIntegration
        from sentry_sdk.utils import BadDsn
    except ImportError as error:
        log.error("incidents.not_installed", missing=error.name, hint=INSTALL)
        return
    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn.get_secret_value(),
            release=f"strvsocial@{__version__}",
            send_default_pii=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[DedupeIntegration(), ExcepthookIntegration()],
            shutdown_timeout=SEND_SECONDS,
            before_send=scrub,
        )
    except BadDsn as error:
        log.error(
            "incidents.bad_dsn", error=str(error), hint="SENTRY_DSN is an address like https://key@sentry.example/1"
        )
        return
    sentry_sdk.set_tag("process", process)
    _sentry = sentry_sdk


def stop() -> None:
    """Sends what is left, for two seconds at most, and turns reporting off."""
    global _sentry
    sentry, _sentry = _sentry, None
    if sentry is not None:
        sentry.get_client().close(timeout=SEND_SECONDS)


def report(error: BaseException, **tags: str | None) -> None:
    """Reports an exception. `tags` say where: a route template, a kind of job, never anything personal."""
    if _sentry is None:
        return
    with _sentry.new_scope() as scope:
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        for name, value in {**tags, "request_id": request_id}.items():
            if value:
                scope.set_tag(name, value)
        scope.capture_exception(error)


def scrub(event: Any, _hint: Any) -> Any:
    """Takes out of a report whatever may be personal or secret."""
    for part in _PERSONAL:
        event.pop(part, None)
    for exception in (event.get("exception") or {}).get("values") or ():
        exception["value"] = _decent(exception.get("value"))
        for frame in (exception.get("stacktrace") or {}).get("frames") or ():
            for part in ("vars", "pre_context", "context_line", "post_context"):
                frame.pop(part, None)
    if event.get("message"):
        event["message"] = _decent(event["message"])
    return event


def _decent(text: object) -> str:
    return _UNSPEAKABLE.sub(_MASK, _QUOTED_ROW.sub("", str(text or "")))[:1_000]
