"""What this process would be set to, where each value comes from, and what nobody reads. Secrets are masked."""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from strvsocial.settings import RunningServices, SecretFiles, Settings

MASK = "***"
# Read by what is around the application: compose.yaml, the tests, the benchmarks.
_ELSEWHERE = re.compile(r"STRV_(COMPOSE|TEST|BENCH)_\w+")


class EffectiveSetting(Struct, frozen=True):
    """One setting. `source` is environment, secrets (a file), make up, or default."""

    name: str
    value: Any
    source: str


def list_effective(settings: Settings) -> list[EffectiveSetting]:
    """Every setting by the name of its environment variable."""
    sources = {"make up": RunningServices(Settings)(), "secrets": SecretFiles(Settings)()}
    found = []
    for field_name, field in Settings.model_fields.items():
        name = variable(field)
        source = "default"
        for told, values in sources.items():
            source = told if field_name in values else source
        source = "environment" if os.environ.get(name) else source
        found.append(EffectiveSetting(name, _shown(getattr(settings, field_name)), source))
    return found


def variable(field: FieldInfo) -> str:
    """The environment variable of a setting."""
    return str(field.validation_alias)


def unknown_names() -> list[str]:
    """`STRV_*` variables in the environment that nothing reads."""
    known = {variable(field) for field in Settings.model_fields.values()}
    return sorted(
        name for name in os.environ if name.startswith("STRV_") and name not in known and not _ELSEWHERE.fullmatch(name)
    )


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, str) and "://" in value:
        return _without_password(value)
    return value if value is None or isinstance(value, (bool, int, str)) else json.loads(json.dumps(value, default=str))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    credentials, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials.split(':', 1)[0]}:{MASK}@{host}"))
