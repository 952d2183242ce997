"""What somebody typed into the search field: words, and operators that narrow.

`from:alice` · `type:video` · `tag:cats` or `#cats` · `after:2026-01-31` and `before:2026-02-28`, both days included.
What is no operator we know stays a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from strvsocial.content.models import MEDIA_TYPES
from strvsocial.content.tags import normalise
from strvsocial.errors import BadInput

LONGEST, MOST_WORDS = 200, 8
_PARTS = re.compile(r"\S+")
_EDGES = "\"'“”‘’„«»()[]{}<>,.;:!?…"


class Filters(Struct, frozen=True):
    """What a post must have besides the words. `since` is included, `until` is not."""

    media_types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Query(Struct, frozen=True):
    words: tuple[str, ...]
    filters: Filters

    @property
    def phrase(self) -> str:
        return " ".join(self.words)

    @property
    def is_empty(self) -> bool:
        return not self.words and self.filters == Filters()


def parse(
    q: str,
    *,
    media_type: str | None = None,
    tag: str | None = None,
    author: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Query:
    """A query from the search field and the parameters beside it.

    Raises:
        BadInput: naming every parameter that makes no sense.
    """
    wrong: dict[str, str] = {}
    filters = Filters(
        tags=(normalise(tag),) if tag else (),
        author=author.removeprefix("@").casefold() if author else None,
        since=_check("since", lambda: parse_moment(since), wrong),
        until=_check("until", lambda: parse_moment(until, last=True), wrong),
    )
    if media_type and media_type not in MEDIA_TYPES:
        wrong["media_type"] = f"One of {', '.join(MEDIA_TYPES)}."
    elif media_type:
        filters = replace(filters, media_types=(media_type,))
    given = {"q": q, "tag": tag, "author": author}
    wrong.update(
        {name: "This holds a character that no text has." for name, value in given.items() if "\0" in (value or "")}
    )
    wrong.update(
        {name: f"At most {LONGEST} characters." for name, value in given.items() if len(value or "") > LONGEST}
    )
    if wrong:
        raise BadInput(fields=wrong)
    words: list[str] = []
    for part in _PARTS.findall(q):
        narrowed = _narrow(filters, part)
        if narrowed is not None:
            filters = narrowed
        elif (word := part.strip(_EDGES)) and word not in words:
            words.append(word)
    return Query(tuple(words[:MOST_WORDS]), filters)


def parse_moment(given: str | None, *, last: bool = False) -> datetime | None:
    """A day or an RFC 3339 time; with `last`, the end of the day. Raises ValueError."""
    if not given:
        return None
    if len(given) <= 10:
        day = datetime.combine(date.fromisoformat(given), datetime.min.time(), UTC)
        return day + timedelta(days=1) if last else day
    moment = datetime.fromisoformat(given)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check(name: str, read: Callable[[], datetime | None], wrong: dict[str, str]) -> datetime | None:
    try:
        return read()
    except (ValueError, OverflowError):
        wrong[name] = "A day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z."
        return None


def _narrow(filters: Filters, part: str) -> Filters | None:
    """The filters with one more, or None if `part` is a plain word."""
    if part.startswith("#") and (name := normalise(part)):
        return replace(filters, tags=(*filters.tags, name))
    name, colon, value = part.partition(":")
    value = value.strip(_EDGES)
    if not colon or not value:
        return None
    match name.casefold():
        case "tag" if normalise(value):
            return replace(filters, tags=(*filters.tags, normalise(value)))
        case "from":
            return replace(filters, author=value.removeprefix("@").casefold())
        case "type" if value.casefold() in MEDIA_TYPES:
            return replace(filters, media_types=(*filters.media_types, value.casefold()))
        case "after" | "before":
            moment = _check("", lambda: parse_moment(value, last=name.casefold() == "before"), {})
            if moment is None:
                return None
            return replace(filters, **{"since" if name.casefold() == "after" else "until": moment})
    return None
