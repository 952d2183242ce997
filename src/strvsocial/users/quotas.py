"""Quotas of single people, by the console."""

from __future__ import annotations

import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.errors import BadInput

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*([kmgt]?i?b?)", re.IGNORECASE | re.ASCII)
_MOST = 2**60
_SET = {
    "total": text("update users set quota_bytes = :value, updated_at = now() where id = :id"),
    "daily": text("update users set quota_daily_bytes = :value, updated_at = now() where id = :id"),
}
DEFAULT, UNLIMITED = "default", "unlimited"


def parse_limit(written: str, field: str) -> int | None:
    """Bytes of `50GB`, `1.5 TB`, `300MiB` or a plain number; None for `default`, 0 for `unlimited`. Raises BadInput."""
    if written in (DEFAULT, UNLIMITED):
        return None if written == DEFAULT else 0
    found = _SIZE.fullmatch(written.strip())
    unit = found[2].lower() if found else ""
    unit += "b" if unit and not unit.endswith("b") else ""
    value = int(float(found[1]) * _UNITS[unit]) if found and unit in _UNITS else 0
    if not 0 < value < _MOST:
        raise BadInput(fields={field: f"A size like 50GB, or {DEFAULT}, or {UNLIMITED}; not {written[:40]!r}."})
    return value


async def set_limit(db: AsyncSession, user_id: int, which: str, value: int | None) -> None:
    """Sets the `total` or `daily` quota of a person: bytes, 0 for none, None for the site's."""
    await db.execute(_SET[which], {"id": user_id, "value": value})
