"""Places in a sound or a film as people write them: `83.5`, `1:23.5`, `1:02:03`."""

from __future__ import annotations

import re

_CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{1,2}(?:[.,]\d{1,3})?)|(\d{1,6}(?:[.,]\d{1,3})?)", re.ASCII)


def read_timecode(written: str) -> float | None:
    """Seconds, or None for what is no time."""
    found = _CLOCK.fullmatch(written.strip())
    if found is None:
        return None
    hours, minutes, seconds, alone = (float((part or "0").replace(",", ".")) for part in found.groups())
    return round(3600 * hours + 60 * minutes + seconds + alone, 3)


def write_timecode(seconds: float) -> str:
    """`1:23.4`, `1:02:03.4`."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{tenths // 10:02}.{tenths % 10}"
    return f"{hours}:{minutes:02}:{clock}" if hours else f"{minutes}:{clock}"


def media_fragment(start: str, end: str) -> str:
    """`#t=12.5,20` for an address of a medium (https://www.w3.org/TR/media-frags/); empty for what is no stretch."""
    begins, ends = read_timecode(start), read_timecode(end)
    if ends is not None and ends <= (begins or 0):
        ends = None
    if begins is None and ends is None:
        return ""
    return f"#t={begins or 0:g}" + (f",{ends:g}" if ends is not None else "")
