"""Ranges and conditions, against what RFC 9110 says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strvsocial.media.ranges import Span, Unsatisfiable, find_span, matches_none


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-", Span(0, 1000)),
        ("bytes=500-", Span(500, 1000)),
        ("bytes=999-", Span(999, 1000)),
        ("bytes=10-19", Span(10, 20)),
        ("bytes=10-99999", Span(10, 1000)),
        ("bytes=-1", Span(999, 1000)),
        ("bytes=-5000", Span(0, 1000)),
        ("bytes = 1 - 2", Span(1, 3)),
        ("bytes=0-1,5-6", None),
        ("bytes=5-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("", None),
        ("bytes=٣-٤", None),
    ],
)
def test_one_range_is_found(header: str, span: Span | None) -> None:
    assert find_span(header, None, '"x"', 1000) == span


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999-"])
def test_a_range_behind_the_end_cannot_be_met(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        find_span(header, None, '"x"', 1000)


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}"), st.integers(0, 10**12))
def test_every_span_lies_inside(header: str, size: int) -> None:
    try:
        span = find_span(header, None, '"x"', size)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= size


def test_a_range_of_another_version_is_no_range() -> None:
    assert find_span("bytes=0-1", '"x"', '"x"', 10) == Span(0, 2)
    assert find_span("bytes=0-1", '"y"', '"x"', 10) is None
    assert find_span("bytes=0-1", 'W/"x"', '"x"', 10) is None
    assert find_span("bytes=0-1", "Wed, 21 Oct 2015 07:28:00 GMT", '"x"', 10) is None


@pytest.mark.parametrize(
    ("header", "matched"),
    [('"x"', True), ('W/"x"', True), ('"a", "x"', True), ("*", True), ('"a"', False), ("", False)],
)
def test_conditions(header: str, matched: bool) -> None:
    assert matches_none(header, '"x"') is matched
