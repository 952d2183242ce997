"""Structured logs: readable lines on a terminal, one JSON object a line for machines. `request_id` is carried along.

What strangers send (paths, names, headers) cannot start a line of its own nor steer a terminal, nothing is longer than some
thousand characters, and what is secret is not written: neither the secrets of the settings nor what is named like one.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from strvsocial.settings import Settings

LONGEST, LONGEST_TRACEBACK = 2_000, 16_000
"""Characters of a value and of a traceback; of the latter the end is kept, which says what went wrong."""
MASK = "***"

# Libraries that bring handlers of their own: their records go our way, arq's bells and sweeps not at all.
_LIBRARIES = {
    "arq": "WARNING",
    "arq.worker": "WARNING",
    "strvsocial.db.WatchedPool": "WARNING",  # SQLAlchemy's own records about its pool.
    "uvicorn": "INFO",
    "uvicorn.access": "WARNING",
    "uvicorn.error": "INFO",
}
_SECRET_NAMES = re.compile(r"passw(or)?d|secret|token|authorization|cookie|dsn", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROLS_IN_A_TRACEBACK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

Event = MutableMapping[str, Any]


def configure_logs(settings: Settings, process: str | None = None) -> None:
    """Sends structlog's and the standard library's records to stderr in one format. `process` names the kind of process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    is_json = settings.log_format == "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                Decency(_secrets(settings), process, one_line=not is_json),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in _LIBRARIES.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level)


class Decency:
    """The last step before a line is rendered: no secrets, nothing endless, and with `one_line` no control characters.

    JSON needs the latter not: it writes them as escapes.
    """

    def __init__(self, secrets: list[str], process: str | None = None, *, one_line: bool = True) -> None:
        self.process, self.one_line = process, one_line
        self._secrets = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        for name, value in list(event.items()):
            if value is None:
                del event[name]
            elif _SECRET_NAMES.search(name):
                event[name] = MASK
            else:
                event[name] = self._decent(value, name == "exception")
        if self.process:
            event["process"] = self.process
        return event

    def _decent(self, value: Any, is_traceback: bool = False) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (list, tuple)):
            return [self._decent(one) for one in value[:100]]
        if isinstance(value, dict):
            return {
                str(name): MASK if _SECRET_NAMES.search(str(name)) else self._decent(one) for name, one in value.items()
            }
        return self._decent_text(value if isinstance(value, str) else repr(value), is_traceback)

    def _decent_text(self, text: str, is_traceback: bool) -> str:
        text = _BEARER.sub(rf"\1 {MASK}", _CREDENTIALS.sub(MASK, text))
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        if is_traceback:
            text = text[-LONGEST_TRACEBACK:]
        elif len(text) > LONGEST:
            text = text[:LONGEST] + "…"
        if self.one_line:
            controls = _CONTROLS_IN_A_TRACEBACK if is_traceback else _CONTROLS
            text = controls.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
        return text


def _secrets(settings: Settings) -> list[str]:
    """The values that must show in no line. Shorter ones than eight characters are words that occur by themselves."""
    urls = [settings.database_url, settings.database_direct_url, settings.redis_url]
    found = [urlsplit(url).password for url in urls if url]
    found += [secret.get_secret_value() for secret in settings.secrets]
    plain = [unquote(secret) for secret in found if secret]
    return sorted({secret for secret in (*found, *plain) if secret and len(secret) >= 8}, key=len, reverse=True)
