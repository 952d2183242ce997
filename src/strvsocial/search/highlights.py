"""Where the words were found: a short stretch of plain text around them, «marked». No HTML anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

OPEN, CLOSE = "«", "»"
AROUND, LONGEST = 60, 240
_MARKED = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}")


def mark(text: str, words: Sequence[str]) -> str | None:
    """The part of `text` around the first of `words`, each found word in «»; None if there is none.

    Angle quotation marks of the text itself become single ones, so that a mark is always ours.
    """
    plain = " ".join(text.split()).replace(OPEN, "‹").replace(CLOSE, "›")
    wanted = [re.escape(word) for word in sorted(words, key=len, reverse=True) if word]
    pattern = re.compile("|".join(wanted), re.IGNORECASE) if wanted else None
    first = pattern.search(plain) if pattern else None
    if pattern is None or first is None:
        return None
    start = max(0, first.start() - AROUND)
    start = 0 if start == 0 else plain.rfind(" ", 0, start) + 1
    end = min(len(plain), max(first.end(), start + LONGEST - 2 * AROUND))
    if end < len(plain):
        end = plain.find(" ", end) if 0 <= plain.find(" ", end) <= end + AROUND else end
    part = pattern.sub(lambda found: f"{OPEN}{found[0]}{CLOSE}", plain[start:end])
    return ("… " if start else "") + part + (" …" if end < len(plain) else "")


def parts(highlight: str) -> Iterator[tuple[str, bool]]:
    """A highlight in pieces, each with whether it was found, for templates to put into elements."""
    end = 0
    for found in _MARKED.finditer(highlight):
        if found.start() > end:
            yield highlight[end : found.start()], False
        yield found[1], True
        end = found.end()
    if end < len(highlight):
        yield highlight[end:], False
