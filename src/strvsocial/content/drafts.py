"""What an author hands in, and the rules that it must keep. Every bad field is named at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strvsocial.content.markdown import MAX_TEXT
from strvsocial.content.models import VISIBILITIES
from strvsocial.content.tags import MAX_TAG, MAX_TAGS, hashtags, is_tag, split_tags
from strvsocial.content.words import clean_line, clean_text, is_storable
from strvsocial.errors import BadInput
from strvsocial.media.incoming import StoredFile

MAX_TITLE = 255
MAX_ALT = 2_000
MAX_IMAGES = 10
MAX_KEY = 200

Files = Sequence[tuple[StoredFile, str]]
"""Stored files, each with its alt text."""


@dataclass(frozen=True)
class Draft:
    """A new post. `tags` are as written; the #tags in `text` join them."""

    title: str
    text: str = ""
    tags: Sequence[str] = ()
    visibility: str = "public"
    files: Files = ()
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Changes:
    """What an edit changes; `None` stays as it is.

    `alts` are for the present media in their order, `remove` and `order` name media by public id, `files` are added at
    the end.
    """

    title: str | None = None
    text: str | None = None
    tags: Sequence[str] | None = None
    visibility: str | None = None
    alts: Sequence[str] | None = None
    remove: Sequence[str] = ()
    order: Sequence[str] = ()
    files: Files = ()


def check_draft(draft: Draft) -> Draft:
    """The draft with its words cleaned. Raises BadInput."""
    problems: dict[str, str] = {}
    key = draft.idempotency_key
    if key is not None and not (0 < len(key) <= MAX_KEY and is_storable(key)):
        problems["Idempotency-Key"] = f"An Idempotency-Key has 1 to {MAX_KEY} characters."
    checked = replace(
        draft,
        title=check_title(draft.title, problems),
        text=check_text(draft.text, problems),
        visibility=check_visibility(draft.visibility, problems),
        tags=join_tags(check_tags(draft.tags, problems), draft.text),
        files=[(file, check_alt(alt, "alt", problems)) for file, alt in draft.files],
    )
    check_mix([file.media_type for file, _ in draft.files], problems)
    raise_for(problems)
    return checked


def raise_for(problems: dict[str, str]) -> None:
    """Raises BadInput if there are problems."""
    if problems:
        raise BadInput(fields=problems)


def check_title(title: str, problems: dict[str, str]) -> str:
    if not is_storable(title):
        problems["title"] = "The title has characters that we cannot keep."
        return ""
    cleaned = clean_line(title)
    if not cleaned:
        problems["title"] = "Please give your post a title."
    elif len(cleaned) > MAX_TITLE:
        problems["title"] = f"A title has at most {MAX_TITLE} characters; this one has {len(cleaned):,}."
    return cleaned


def check_text(text: str, problems: dict[str, str]) -> str:
    if not is_storable(text):
        problems["text"] = "The text has characters that we cannot keep."
        return ""
    cleaned = clean_text(text)
    if len(cleaned) > MAX_TEXT:
        problems["text"] = f"A text has at most {MAX_TEXT:,} characters; this one has {len(cleaned):,}."
    return cleaned


def check_visibility(visibility: str, problems: dict[str, str]) -> str:
    if visibility not in VISIBILITIES:
        problems["visibility"] = f"Visibility is one of {', '.join(VISIBILITIES)}."
    return visibility


def check_tags(tags: Sequence[str], problems: dict[str, str]) -> list[str]:
    names = split_tags(tags)
    if any(not is_tag(name) for name in names):
        problems["tags"] = f"A tag has 1 to {MAX_TAG} letters, digits, “_” or “-”."
    elif len(names) > MAX_TAGS:
        problems["tags"] = f"A post has at most {MAX_TAGS} tags; these are {len(names):,}."
    return names


def check_alt(alt: str, field: str, problems: dict[str, str]) -> str:
    if not is_storable(alt):
        problems[field] = "The description has characters that we cannot keep."
        return ""
    cleaned = clean_text(alt)
    if len(cleaned) > MAX_ALT:
        problems[field] = f"A description has at most {MAX_ALT:,} characters; this one has {len(cleaned):,}."
    return cleaned


def join_tags(tags: Sequence[str], text: str) -> list[str]:
    """The tags of a post: those given, then the #tags of its text, as many as fit."""
    return list(dict.fromkeys([*tags, *hashtags(text[:MAX_TEXT])]))[:MAX_TAGS]


def check_mix(kinds: Sequence[str], problems: dict[str, str], field: str = "file") -> str:
    """The media type of a post that has these media: 1 to 10 images, or one GIF, audio or video, or none."""
    if not kinds:
        return "text"
    if all(kind == "image" for kind in kinds):
        if len(kinds) > MAX_IMAGES:
            problems[field] = f"A post has at most {MAX_IMAGES} images; these are {len(kinds)}."
    elif len(kinds) > 1:
        problems[field] = "A post has up to 10 images, or one GIF, one audio or one video, not a mix of them."
    return kinds[0]
