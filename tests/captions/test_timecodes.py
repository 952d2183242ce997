"""Places in a sound, as people write them."""

from __future__ import annotations

import pytest

from strvsocial.content.timecodes import media_fragment, read_timecode, write_timecode


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("83.5", 83.5), (" 1:23,5 ", 83.5), ("1:02:03", 3723.0), ("0:00", 0.0), ("", None), ("abc", None), ("1:2:3:4", None),
     ("-1", None), ("१२", None)],
)  # fmt: skip
def test_times_are_read(written: str, seconds: float | None) -> None:
    assert read_timecode(written) == seconds


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0:00.0"), (83.46, "1:23.5"), (59.96, "1:00.0"), (3723.4, "1:02:03.4")]
)
def test_times_are_written(seconds: float, written: str) -> None:
    assert write_timecode(seconds) == written


@pytest.mark.parametrize(
    ("start", "end", "fragment"),
    [
        ("12.5", "20", "#t=12.5,20"),
        ("12", "", "#t=12"),
        ("", "9", "#t=0,9"),
        ("12", "3", "#t=12"),
        ("x", "'\"><b>", ""),
    ],
)
def test_a_stretch_is_put_behind_the_address(start: str, end: str, fragment: str) -> None:
    assert media_fragment(start, end) == fragment
