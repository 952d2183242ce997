"""Plots are well-formed SVG that says in words what it shows, with gaps where nothing was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from strvsocial.operations.plots import RANGES, Plot, Series, Value, draw
from strvsocial.web.formats import duration
from strvsocial.web.rendering import create_template_engine

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = RANGES["hour"]


def _values(*pairs: tuple[int, float]) -> list[Value]:
    return [Value(NOW - timedelta(minutes=ago), value) for ago, value in pairs]


def _draw(*series: list[Value], stacked: bool = False) -> Plot:
    named = [Series(f"Series <{n}>", f"tone-{n}", values) for n, values in enumerate(series, 1)]
    return draw("test", "A & B", named, HOUR, NOW, lambda value: f"{value:g}", is_stacked=stacked)


def _render(plot: Plot) -> ElementTree.Element:
    template = create_template_engine().engine.from_string(
        '{% from "operations/_plot.html" import plot %}{{ plot(one) }}'
    )
    return ElementTree.fromstring(template.render(one=plot))


def test_a_line_runs_from_left_to_right_and_breaks_at_gaps() -> None:
    plot = _draw(_values((60, 0), (59, 10), (30, 5), (29, 5), (1, 10)))
    [curve] = plot.curves
    assert curve.line == "M0.0 120.0L16.7 0.0M500.0 60.0L516.7 60.0"
    assert curve.dots == "M983.3 0.0h0"
    assert curve.latest == "10"
    assert [tick.label for tick in plot.up] == ["5", "10"]
    assert [tick.label for tick in plot.across] == ["11:15", "11:30", "11:45"]
    assert "at most 10" in plot.about


def test_what_was_last_measured_long_ago_is_not_now() -> None:
    assert _draw(_values((30, 5))).curves[0].latest == ""


def test_stacked_series_stand_on_each_other() -> None:
    plot = _draw(_values((10, 4), (9, 4)), _values((10, 6), (9, 0)), stacked=True)
    assert plot.curves[1].line == "M833.3 0.0L850.0 72.0"
    assert plot.curves[1].area == "M833.3 0.0L850.0 72.0L850.0 72.0L833.3 72.0Z"


@pytest.mark.parametrize(
    ("most", "top"), [(0, "1"), (0.3, "0.4"), (1, "1"), (7, "10"), (11, "20"), (61, "100"), (350, "400")]
)
def test_the_axis_ends_at_a_round_number(most: float, top: str) -> None:
    assert _draw(_values((1, most))).up[-1].label == top


def test_times_have_round_numbers_of_their_own() -> None:
    plot = draw(
        "t", "T", [Series("S", "tone-1", _values((1, 700)))], HOUR, NOW, duration, ladder=(1, 60, 600, 1200, 3600)
    )
    assert [tick.label for tick in plot.up] == ["10 min", "20 min"]


def test_the_svg_is_named_described_and_has_a_table() -> None:
    figure = _render(_draw(_values((3, 1), (2, 2), (1, 3)), _values((3, 0), (2, 0), (1, 4))))
    svg = figure.find("svg[@role='img']")
    assert svg is not None
    ids = {element.get("id"): element.text for element in svg.iter() if element.get("id")}
    told = [ids[name] for name in (svg.get("aria-labelledby") or "").split()]
    assert told[0] == "A & B"
    assert "Series <2>: now 4, at most 4" in (told[1] or "")
    rows = [[cell.text for cell in row] for row in figure.iter("tr")]
    assert rows[0] == ["UTC", "Series <1>", "Series <2>"]
    assert rows[1] == ["4 Mar, 11:59", "3", "4"]
    styled = [element.tag for element in figure.iter() if "style" in element.attrib or element.tag == "style"]
    assert styled == []


def test_the_table_is_a_dozen_rows_at_most() -> None:
    assert len(_draw(_values(*((minute, minute) for minute in range(59, 0, -1)))).rows) <= 12


def test_nothing_yet_is_said() -> None:
    plot = _draw([], [])
    assert plot.is_empty
    figure = _render(plot)
    assert "Nothing yet" in "".join(figure.itertext())
    assert figure.find("svg[@role='img']") is None
