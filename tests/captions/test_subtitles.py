"""Captions as files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strvsocial.errors import BadInput
from strvsocial.media.subtitles import Cue, read_subtitles, write_webvtt


def test_webvtt_of_others_is_read_without_its_styles() -> None:
    content = (
        "\ufeffWEBVTT - by somebody\r\n\r\nNOTE not shown\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n"
        "2\r\n00:01:03.000 --> 00:01:04.250 align:start\r\n<v Bob>Tea &amp; <b>cake</b></v>\r\nfor two\r\n\r\n"
        "00:03.000 --> 00:04.000\r\nFirst\r\n"
    )
    assert read_subtitles(content) == [Cue(3.0, 4.0, "First"), Cue(63.0, 64.25, "Tea & cake\nfor two")]


def test_subrip_is_read() -> None:
    content = "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> {\\an8}there\n\n2\n01:00:00,000 --> 01:00:01,000\n- Yes\n"
    assert read_subtitles(content) == [Cue(1.0, 2.5, "Hello there"), Cue(3600.0, 3601.0, "- Yes")]


@pytest.mark.parametrize("content", ["", "WEBVTT\n", "hello", "WEBVTT\n\n00:00.000 --> 00:01.000\n \n", "\0\0\0"])
def test_what_holds_no_captions_is_refused(content: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_subtitles(content)
    assert "file" in (refusal.value.fields or {})


WORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\u2028\u2029\x85"), min_size=1
)
CUES = st.lists(st.builds(lambda start, ms, text: Cue(start / 1000, (start + ms) / 1000, text),
                          st.integers(0, 10**7), st.integers(1, 10**5), WORDS), min_size=1, max_size=6)  # fmt: skip


@given(CUES)
def test_no_words_break_out_of_their_cue(cues: list[Cue]) -> None:
    written = write_webvtt(cues)
    times = [line for line in written.split("\n") if "-->" in line]
    assert len(times) == len(cues)
    assert "<" not in written


def test_what_is_written_can_be_read() -> None:
    cues = [Cue(0.5, 1.0, "a <b> & --> c"), Cue(3599.9996, 3661.5, "two\nlines")]
    assert read_subtitles(write_webvtt(cues)) == [
        Cue(0.5, 1.0, "a <b> & --> c"),
        Cue(3600.0, 3661.5, "two\nlines"),
    ]
