from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from strvsocial.web import formats

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "now"),
        (59, "now"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86_400, "1 d"),
        (6.9 * 86_400, "6 d"),
        (8 * 86_400, "14 Nov"),
        (400 * 86_400, "18 Oct 2025"),
    ],
)
def test_ago(seconds: float, words: str) -> None:
    assert formats.ago(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0"), (999, "999"), (1000, "1k"), (1248, "1.2k"), (34_100, "34k"), (5_600_000, "5.6M")]
)
def test_compact(count: int, words: str) -> None:
    assert formats.compact(count) == words


@pytest.mark.parametrize(("seconds", "words"), [(None, "0:00"), (48, "0:48"), (221.6, "3:42"), (3725, "1:02:05")])
def test_clock(seconds: float | None, words: str) -> None:
    assert formats.clock(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(12, "12 bytes"), (32_000_000, "32 MB"), (1_500_000_000, "1.5 GB")])
def test_size(count: int, words: str) -> None:
    assert formats.size(count) == words


def test_shares_fill_the_bar_largest_first() -> None:
    bars = formats.stacked({"text": 0.26, "look": 0.62, "people you follow": 0.12})
    assert [name for name, _, _ in bars] == ["look", "text", "people you follow"]
    assert bars[0] == ("look", 0.0, 62.0)
    assert bars[-1][1] + bars[-1][2] == pytest.approx(100)


def test_a_waveform_is_every_second_bar_of_its_height_around_the_middle() -> None:
    peaks = [100, 40, 0, 7]
    assert formats.bars(peaks, 0) == "M2 0v200M10 99v2"
    assert formats.bars(peaks, 1) == "M6 60v80M14 93v14"


@pytest.mark.parametrize(
    ("width", "height", "rows"), [(None, None, 17), (100, 100, 17), (1600, 900, 10), (900, 1600, 29), (1, 9000, 34)]
)
def test_rows_follow_the_shape(width: int | None, height: int | None, rows: int) -> None:
    assert formats.wall_rows(width, height) == rows


def test_a_tone_stays() -> None:
    assert formats.tone("abc") == formats.tone("abc")
    assert {formats.tone(str(number)) for number in range(100)} == set(range(6))


def test_browsers_have_names() -> None:
    assert formats.browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko Firefox/140.0") == "Firefox on Linux"
    assert formats.browser("curl/8.1") == "curl"
    assert formats.browser("") == "Unknown browser"
