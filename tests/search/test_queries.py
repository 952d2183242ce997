"""What people type, and the stretch of text that is shown for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from strvsocial.errors import BadInput
from strvsocial.search.highlights import mark, parts
from strvsocial.search.queries import Filters, Query, parse


def test_operators_narrow_and_the_rest_are_words() -> None:
    found = parse("red  bicycle from:@Alice type:video #Cats tag:dogs after:2026-01-31 before:2026-02-28")
    assert found == Query(
        ("red", "bicycle"),
        Filters(
            media_types=("video",),
            tags=("cats", "dogs"),
            author="alice",
            since=datetime(2026, 1, 31, tzinfo=UTC),
            until=datetime(2026, 3, 1, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize("word", ["type:song", "after:yesterday", "10:30", "http://x.example", "tag:", "#"])
def test_what_is_no_operator_stays_a_word_or_nothing(word: str) -> None:
    assert parse(word).filters == Filters()


def test_parameters_and_operators_are_the_same() -> None:
    assert parse("", media_type="gif", tag="#Cats", author="Bob").filters == parse("type:gif tag:cats from:bob").filters


def test_every_bad_parameter_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        parse("a" * 201, media_type="song", tag="a\0b", since="soon", until="9999-12-31", author="x" * 201)
    assert set(caught.value.fields or {}) == {"q", "media_type", "tag", "since", "until", "author"}


@given(some.text(max_size=200))
def test_no_text_breaks_the_parser(given_text: str) -> None:
    if "\0" not in given_text:
        found = parse(given_text)
        assert len(found.words) <= 8


def test_words_are_marked_in_a_short_stretch() -> None:
    text = "Long ago " * 30 + "a Red bicycle «leant» on a wall, and <b>red</b> it was. " + "So it goes. " * 30
    found = mark(text, ["red", "bicycle"])
    assert found is not None
    assert "a «Red» «bicycle» ‹leant› on a wall, and <b>«red»</b>" in found
    assert found.startswith("… ")
    assert found.endswith(" …")
    assert len(found) < 350
    assert mark("nothing here", ["red"]) is None
    assert mark("nothing here", []) is None


def test_a_highlight_comes_apart_for_templates() -> None:
    assert list(parts("a «red» bike")) == [("a ", False), ("red", True), (" bike", False)]
    assert "".join(piece for piece, _ in parts("» odd «")) == "» odd «"


@given(some.text(max_size=300), some.lists(some.text(min_size=1, max_size=10), max_size=8))
def test_marking_changes_no_letters(text: str, words: list[str]) -> None:
    found = mark(text, words)
    if found is not None:
        assert any(is_found for _, is_found in parts(found))


def test_hostile_words_take_no_time() -> None:
    started = time.monotonic()
    mark("a" * 5000, ["a" * 25 + "!", "(a+)+$", "[", ".*" * 20, "a" * 190])
    parse("(((((" * 40)
    assert time.monotonic() - started < 0.5
