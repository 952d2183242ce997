"""Spoken words cut into captions that fit a screen and can be read in time.

Two lines of 42 columns and at most seven seconds, as the Netflix Timed Text Style Guide has it
(https://partnerhelp.netflixstudios.com/hc/en-us/articles/217350977).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from strvsocial.embeddings.findings import Segment

MOST_SECONDS = 7.0
MOST_COLUMNS = 84
PAUSE_SECONDS = 1.0
"""After a silence as long as this the next words have a caption of their own."""
_SENTENCE_ENDS, _CLAUSE_ENDS = ".!?…。！？", ",;:、，；："


class Word(NamedTuple):
    """Said from `start` to `end`, in seconds. The text carries its space in front, in languages that have spaces."""

    start: float
    end: float
    text: str


def cut(words: Sequence[Word]) -> list[Segment]:
    """The captions for one stretch of speech, in its order."""
    return [
        Segment(part[0].start, max(part[0].start, part[-1].end), text)
        for stretch in _between_pauses(words)
        for part in _fitting(stretch)
        if (text := _text(part))
    ]


def _between_pauses(words: Sequence[Word]) -> list[Sequence[Word]]:
    starts = [n for n in range(1, len(words)) if words[n].start - words[n - 1].end >= PAUSE_SECONDS]
    return [words[start:end] for start, end in zip([0, *starts], [*starts, len(words)], strict=True)]


def _fitting(words: Sequence[Word]) -> list[Sequence[Word]]:
    """Halves until each part fits: near the middle, and rather behind a sentence than amid one."""
    if len(words) <= 1 or (words[-1].end - words[0].start <= MOST_SECONDS and _columns(_text(words)) <= MOST_COLUMNS):
        return [words] if words else []
    whole, before, best = _columns(_text(words)), 0, (-1.0, 1)
    for at in range(1, len(words)):
        before += _columns(words[at - 1].text)
        nearness = 1 - abs(2 * before / whole - 1) if whole else 0.0
        best = max(best, (nearness + _rest(words[at - 1], words[at]), at))
    return [*_fitting(words[: best[1]]), *_fitting(words[best[1] :])]


def _rest(one: Word, other: Word) -> float:
    """How well a cut between two words reads, from 0 to 1.5."""
    end = one.text.rstrip()[-1:]
    mark = 1.0 if end and end in _SENTENCE_ENDS else 0.5 if end and end in _CLAUSE_ENDS else 0.0
    return mark + 0.5 * min(1.0, max(0.0, other.start - one.end) / PAUSE_SECONDS)


def _text(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words).strip()


def _columns(text: str) -> int:
    """Chinese and Japanese characters are two columns wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
