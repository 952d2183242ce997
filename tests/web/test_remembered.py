"""Rendered cards are remembered for equal arguments only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from jinja2 import Environment
from msgspec import Struct

from strvsocial.web import rendering
from strvsocial.web.rendering import create_template_engine, remembered


class Thing(Struct, frozen=True):
    title: str
    is_mine: bool = False


@pytest.fixture
def macro() -> Any:
    environment: Environment = create_template_engine().engine
    source = "{% macro show(thing, place) %}<b>{{ thing.title }}</b>{{ place }}{% if thing.is_mine %} mine{% endif %}{% endmacro %}"
    return environment.from_string(source).module.show  # type: ignore[attr-defined]


def test_equal_arguments_are_rendered_once_and_escaped(macro: Any) -> None:
    first = remembered(macro, Thing("<i>"), place=1)
    assert first == "<b>&lt;i&gt;</b>1"
    assert remembered(macro, Thing("<i>"), place=1) is first
    assert f"{first.__html__()}" == first


def test_anything_that_differs_is_rendered_anew(macro: Any) -> None:
    assert remembered(macro, Thing("a"), place=1) == "<b>a</b>1"
    assert remembered(macro, Thing("b"), place=1) == "<b>b</b>1"
    assert remembered(macro, Thing("a"), place=2) == "<b>a</b>2"
    assert remembered(macro, Thing("a", is_mine=True), place=1) == "<b>a</b>1 mine"


def test_time_makes_it_forget(macro: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = remembered(macro, Thing("a"), place=1)
    monkeypatch.setattr("strvsocial.web.rendering.time.time", lambda: 4e9)
    assert remembered(macro, Thing("a"), place=1) is not first


def test_only_so_much_is_remembered(macro: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_remembered", OrderedDict())
    monkeypatch.setattr(rendering, "MOST_REMEMBERED", 10)
    first = remembered(macro, Thing("a"), place=0)
    for number in range(1, 10):
        remembered(macro, Thing("a"), place=number)
    assert remembered(macro, Thing("a"), place=0) is first
    for number in range(10, 30):
        remembered(macro, Thing("a"), place=number)
    assert len(rendering._remembered) == 10
    assert remembered(macro, Thing("a"), place=0) is not first
