"""Tags: how a tag is written, and which ones a text holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_TAGS = 20
MAX_TAG = 64

HASHTAG = re.compile(r"(?<![\w#&/])#(?=[\w-]*[^\W\d_])(?P<tag>[\w-]{1,64})(?![\w#-])")
"""A #tag in running text: letters, digits, `_` and `-`, at least one letter, so that `#1` and `a#b` stay words."""

_TAG = re.compile(r"[\w-]+")


def normalise(name: str) -> str:
    """The one spelling of a tag: NFKC, case-folded, without the leading hash sign and blanks around it."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded).strip().lstrip("#").strip()


def is_tag(name: str) -> bool:
    """Whether a normalised name may be a tag: 1 to 64 letters, digits, `_` or `-`."""
    return len(name) <= MAX_TAG and _TAG.fullmatch(name) is not None


def hashtags(text: str) -> list[str]:
    """The normalised #tags in a text, in order."""
    found = (normalise(match["tag"]) for match in HASHTAG.finditer(text))
    return [name for name in dict.fromkeys(found) if is_tag(name)]


def split_tags(values: Iterable[str]) -> list[str]:
    """What a form sent: each value may hold several tags with commas or blanks between. Normalised, without doubles."""
    words = (normalise(word) for value in values for word in re.split(r"[,\s]+", value))
    return list(dict.fromkeys(word for word in words if word))
