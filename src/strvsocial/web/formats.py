"""How numbers, times and shapes are written on pages: filters of the templates."""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (7 * 86_400, 86_400, "d"))
_UNITS = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))

WALL_ROWS = 16
"""Rows of a wall that are as high as one of its columns is wide; `static/css/wall.css` says the same."""


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, short: `now`, `12 min`, `3 h`, `5 d`, then the day: `4 Mar`, and `4 Mar 2024` in another year."""
    now = now or datetime.now(UTC)
    seconds = (now - moment).total_seconds()
    if seconds < 60:
        return "now"
    for limit, unit, name in _STEPS:
        if seconds < limit:
            return f"{int(seconds // unit)} {name}"
    return day(moment) if moment.year != now.year else f"{moment.day} {moment:%b}"


def day(moment: datetime) -> str:
    """A date: `4 Mar 2026`."""
    return f"{moment.day} {moment:%b %Y}"


def moment(when: datetime) -> str:
    """Date and time, in full, for titles: `4 March 2026, 09:30 UTC`."""
    when = when.astimezone(UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def iso(when: datetime) -> str:
    """RFC 3339 in UTC, for `<time datetime>`."""
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock(seconds: float | None) -> str:
    """A length: `0:48`, `3:42`, `1:02:05`."""
    whole = round(seconds or 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def minute(when: datetime) -> str:
    """A time of a table: `4 Mar, 09:30`, in UTC."""
    when = when.astimezone(UTC)
    return f"{when.day} {when:%b, %H:%M}"


def duration(seconds: float) -> str:
    """A length in one unit: `40 ms`, `2.5 s`, `3 min`, `1.5 h`, `2 d`."""
    if 0 < seconds < 1:
        return f"{max(round(seconds * 1000), 1)} ms"
    for limit, unit, name in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds / 86_400:.1f}".removesuffix(".0") + " d"


def compact(count: int) -> str:
    """A count that fits: `999`, `1.2k`, `34k`, `5.6M`."""
    for limit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= limit:
            share = count / limit
            return f"{share:.1f}".removesuffix(".0") + name if share < 10 else f"{int(share)}{name}"
    return str(count)


def size(byte_count: int) -> str:
    """A file's size in decimal units: `32 MB`, `1.5 GB`."""
    for limit, name in _UNITS:
        if byte_count >= limit:
            return f"{byte_count / limit:.1f}".removesuffix(".0") + f" {name}"
    return f"{byte_count} bytes"


def percent(share: float) -> str:
    """A share from 0 to 1: `62 %`."""
    return f"{round(share * 100)} %"


def tone(key: str) -> int:
    """Which of the six poster tints a post has; always the same one."""
    return zlib.crc32(key.encode()) % 6


def wall_rows(width: int | None, height: int | None) -> int:
    """How many rows of a wall a picture of this shape takes, from 8 (wide) to 34 (tall); square when unknown.

    The 0.8 makes up for the gap under each tile.
    """
    ratio = height / width if width and height else 1.0
    return max(8, min(34, round(WALL_ROWS * ratio + 0.8)))


def stacked(shares: dict[str, float]) -> list[tuple[str, float, float]]:
    """The shares of a score for a bar of width 100, largest first: name, where it starts, how wide it is."""
    total = sum(shares.values()) or 1.0
    bars, start = [], 0.0
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        width = 100 * share / total
        bars.append((name, round(start, 2), round(width, 2)))
        start += width
    return bars


def bars(peaks: list[int], first: int) -> str:
    """Every second bar of a waveform from `first`, as a path: 4 wide a bar, 200 high. Peaks are heights in percent.

    In silence a dot is left, so that the line goes on.
    """
    tall = [(4 * number + 2, max(1, peak)) for number, peak in enumerate(peaks)]
    return "".join(f"M{x} {100 - height}v{2 * height}" for x, height in tall[first::2])


def quality(height: int | None, width: int | None) -> str:
    """What people call the sharpness of a film: `1080p`, by its shorter side; empty when unknown."""
    return f"{min(height, width)}p" if height and width else ""


LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sr": "Serbian", "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


def language(code: str | None) -> str:
    """What a language is called: `English`; its code when we have no name for it, empty when it is not known."""
    return LANGUAGES.get(code or "", code or "")


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def browser(user_agent: str) -> str:
    """A browser as its owner calls it: `Firefox on Linux`; the first word of what it says otherwise."""
    name = next((title for mark, title in _BROWSERS if mark in user_agent), user_agent.split("/", 1)[0][:40])
    system = next((title for mark, title in _SYSTEMS if mark in user_agent), "")
    return f"{name} on {system}" if name and system else name or "Unknown browser"


def clear(placeholder: str | None) -> bool:
    """Whether a picture has clear parts, by what its ThumbHash (base64) says: bit 23 is its mark of alpha."""
    return bool(placeholder and b64decode(placeholder[:4])[2] & 0x80)


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "day": day,
    "moment": moment,
    "iso": iso,
    "clock": clock,
    "duration": duration,
    "minute": minute,
    "compact": compact,
    "size": size,
    "percent": percent,
    "tone": tone,
    "wall_rows": wall_rows,
    "stacked": stacked,
    "bars": bars,
    "quality": quality,
    "clear": clear,
    "browser": browser,
    "language": language,
}
