"""Spoken words as captions for one screen each."""

from __future__ import annotations

from itertools import pairwise

import pytest

from strvsocial.embeddings.encoders.cues import MOST_COLUMNS, MOST_SECONDS, Word, cut
from strvsocial.embeddings.findings import Segment


def say(text: str, *, start: float = 0.0, seconds: float = 0.4) -> list[Word]:
    """Words one after the other, each as long as `seconds`."""
    return [
        Word(start + n * seconds, start + (n + 1) * seconds, f" {word}" if n else word)
        for n, word in enumerate(text.split())
    ]


def test_what_fits_stays_whole() -> None:
    assert cut(say("Ever tried. Ever failed.")) == [Segment(0.0, 1.6, "Ever tried. Ever failed.")]
    assert cut([]) == []
    assert cut([Word(0.0, 1.0, " ")]) == []


def test_a_long_stretch_is_cut_behind_its_sentences() -> None:
    found = cut(
        say("Ever tried. Ever failed. No matter. Try again. Fail again. Fail better. That is all of it.", seconds=0.6)
    )
    assert [segment.text for segment in found] == [
        "Ever tried. Ever failed. No matter. Try again.",
        "Fail again. Fail better. That is all of it.",
    ]
    assert found[0].end == pytest.approx(found[1].start)


def test_no_word_is_lost_and_each_caption_fits() -> None:
    text = " ".join(f"word{n}{',' if n % 7 == 6 else ''}" for n in range(200))
    found = cut(say(text, start=12.0, seconds=0.3))
    assert " ".join(segment.text for segment in found) == text
    assert all(segment.end - segment.start <= MOST_SECONDS and len(segment.text) <= MOST_COLUMNS for segment in found)
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(found))
    assert len(found) < 2 * len(text) / MOST_COLUMNS + 2


def test_a_silence_begins_a_new_caption() -> None:
    found = cut([*say("Yes."), *say("And then nothing.", start=30.0)])
    assert [(segment.start, segment.text) for segment in found] == [(0.0, "Yes."), (30.0, "And then nothing.")]


def test_languages_without_spaces_are_cut_too() -> None:
    words = [Word(n * 0.1, n * 0.1 + 0.1, letter) for n, letter in enumerate("今日はとても良い天気です。" * 6)]
    found = cut(words)
    assert "".join(segment.text for segment in found) == "今日はとても良い天気です。" * 6
    assert all(len(segment.text) <= MOST_COLUMNS / 2 for segment in found)
    assert all(segment.text.endswith("。") for segment in found)


def test_one_word_that_is_longer_than_a_caption_stays() -> None:
    assert len(cut([Word(0.0, 20.0, "A" + "h" * 100)])) == 1
