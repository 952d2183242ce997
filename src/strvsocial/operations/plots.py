"""Plots as geometry: what `templates/operations/_plot.html` draws as SVG, with no style of its own but classes.

Across, everything is a share of the width, so that a plot fills a phone as well as a desk and its letters keep their size;
the curves lie in a box of WIDTH x HEIGHT that is stretched, their strokes are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

WIDTH, HEIGHT = 1000.0, 120.0
TABLE_ROWS = 12


class Range(Struct, frozen=True):
    """A stretch of time that is shown, in steps; `tick` is from one label of the axis to the next.

    `pause`: seconds before which it is not worth looking again.
    """

    name: str
    title: str
    length: timedelta
    step: timedelta
    tick: timedelta
    label: str
    pause: int


RANGES = {
    span.name: span
    for span in (
        Range("hour", "1 hour", timedelta(hours=1), timedelta(minutes=1), timedelta(minutes=15), "%H:%M", 10),
        Range("day", "24 hours", timedelta(hours=24), timedelta(minutes=10), timedelta(hours=6), "%H:%M", 30),
        Range("fortnight", "14 days", timedelta(days=14), timedelta(hours=2), timedelta(days=3), "%-d %b", 120),
    )
}


class Value(NamedTuple):
    at: datetime
    value: float


class Series(Struct, frozen=True):
    """A named curve. `tone` is the class of its colour and dashes."""

    title: str
    tone: str
    values: Sequence[Value]


class Curve(Struct, frozen=True):
    """A series as SVG paths: its line, the area below it, and dots for values without a neighbour.

    `latest` is in words, empty when nothing is known of now.
    """

    title: str
    tone: str
    line: str
    area: str
    dots: str
    latest: str


class Tick(Struct, frozen=True):
    """A label of an axis: at a share of the width in percent, or a height."""

    place: float
    label: str
    anchor: str = "middle"


class Plot(Struct, frozen=True):
    """All that the template needs. `rows` are the table for who does not see the picture: a time, and a word for each curve."""

    name: str
    title: str
    about: str
    curves: list[Curve]
    across: list[Tick]
    up: list[Tick]
    rows: list[tuple[datetime, list[str]]]
    is_stacked: bool

    @property
    def is_empty(self) -> bool:
        return not self.rows


def draw(
    name: str,
    title: str,
    series: Sequence[Series],
    span: Range,
    now: datetime,
    say: Callable[[float], str],
    *,
    ladder: Sequence[float] = (),
    is_stacked: bool = False,
    every: timedelta = timedelta(minutes=1),
) -> Plot:
    """A plot of `series` over the `span` that ends `now`; `every` says how often they are measured.

    `say` puts a value into words; `ladder` are the round numbers of its unit where 1, 2, 5, 10 are not round (times).
    Stacked series are drawn on top of each other, the first at the bottom; they must have the same times.
    """
    since = now - span.length
    shown = [_within(one, since) for one in series]
    longest = 2.5 * max(span.step, every)
    levels = _stack(shown) if is_stacked else [list(one.values) for one in shown]
    top = _round_up(max((value for level in levels for _, value in level), default=0), ladder)
    curves = []
    floor: list[Value] = []
    for one, level in zip(shown, levels, strict=True):
        runs = _runs(level, longest)
        line, dots = _path(runs, since, span, top), _dots(runs, since, span, top)
        area = _area(runs, floor if is_stacked else [], since, span, top)
        is_known = bool(one.values) and now - one.values[-1].at <= longest
        curves.append(Curve(one.title, one.tone, line, area, dots, say(one.values[-1].value) if is_known else ""))
        floor = level
    return Plot(
        name=name,
        title=title,
        about=_describe(title, shown, span, say),
        curves=curves,
        across=_ticks_across(since, now, span),
        up=[Tick(round(HEIGHT - HEIGHT * share, 2), say(top * share)) for share in (0.5, 1.0)] if top else [],
        rows=_rows(shown, say),
        is_stacked=is_stacked,
    )


def _within(series: Series, since: datetime) -> Series:
    return Series(series.title, series.tone, [value for value in series.values if value.at >= since])


def _stack(series: Sequence[Series]) -> list[list[Value]]:
    below: dict[datetime, float] = {}
    levels = []
    for one in series:
        level = [Value(at, value + below.get(at, 0)) for at, value in one.values]
        below |= dict(level)
        levels.append(level)
    return levels


def _round_up(most: float, ladder: Sequence[float]) -> float:
    """The end of the axis: the next round number, of which the half is round as well."""
    if most <= 0:
        return 1.0 if not ladder else ladder[0]
    for rung in ladder:
        if most <= rung:
            return rung
    power = 10.0 ** math.floor(math.log10(most))
    return next(float(step * power) for step in (1, 2, 4, 6, 10) if most <= step * power * (1 + 1e-9))


def _runs(values: Sequence[Value], longest: timedelta) -> list[list[Value]]:
    """The values between gaps: stretches longer than `longest` in which nothing was measured."""
    runs: list[list[Value]] = []
    for value in values:
        if runs and value.at - runs[-1][-1].at <= longest:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs


def _spot(value: Value, since: datetime, span: Range, top: float) -> str:
    across = WIDTH * ((value.at - since) / span.length)
    return f"{max(0.0, min(WIDTH, across)):.1f} {HEIGHT - HEIGHT * value.value / top:.1f}"


def _path(runs: Sequence[Sequence[Value]], since: datetime, span: Range, top: float) -> str:
    """A line through the values."""
    spots = [[_spot(value, since, span, top) for value in run] for run in runs if len(run) > 1]
    return "".join("M" + "L".join(run) for run in spots)


def _dots(runs: Sequence[Sequence[Value]], since: datetime, span: Range, top: float) -> str:
    """Lines of no length, which their round ends make dots of, where a value has no neighbour."""
    spots = [_spot(run[0], since, span, top) for run in runs if len(run) == 1]
    return "".join(f"M{spot}h0" for spot in spots)


def _area(runs: Sequence[Sequence[Value]], floor: Sequence[Value], since: datetime, span: Range, top: float) -> str:
    """The area between the values and what they stand on."""
    under = {value.at: value.value for value in floor}
    parts = []
    for run in runs:
        if len(run) > 1:
            way = [_spot(value, since, span, top) for value in run]
            back = [_spot(Value(value.at, under.get(value.at, 0)), since, span, top) for value in reversed(run)]
            parts.append("M" + "L".join([*way, *back]) + "Z")
    return "".join(parts)


def _ticks_across(since: datetime, now: datetime, span: Range) -> list[Tick]:
    """Labels at round times. Those near an edge are left out: they would be cut."""
    day = datetime(2000, 1, 1, tzinfo=UTC)
    first = day + span.tick * math.ceil((since - day) / span.tick)
    ticks = []
    while first <= now:
        place = 100 * ((first - since) / span.length)
        if 5 <= place <= 95:
            ticks.append(Tick(round(place, 2), first.strftime(span.label)))
        first += span.tick
    return ticks


def _describe(title: str, series: Sequence[Series], span: Range, say: Callable[[float], str]) -> str:
    told = [
        f"{one.title}: now {say(one.values[-1].value)}, at most {say(max(value for _, value in one.values))}"
        for one in series
        if one.values
    ]
    return f"{title}, {span.title}. " + ("; ".join(told) + "." if told else "Nothing was measured yet.")


def _rows(series: Sequence[Series], say: Callable[[float], str]) -> list[tuple[datetime, list[str]]]:
    """A dozen times spread over the stretch, the latest first, with the values at those times."""
    times = sorted({value.at for one in series for value in one.values}, reverse=True)
    chosen = times[:: max(1, math.ceil(len(times) / TABLE_ROWS))]
    found = [dict(one.values) for one in series]
    return [(at, [say(values[at]) if at in values else "–" for values in found]) for at in chosen]
