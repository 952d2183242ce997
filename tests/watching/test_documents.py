"""What the operators' page says about figures is what there is."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry

from strvsocial.meters import REGISTRY
from strvsocial.settings import ROOT
from strvsocial.web.metrics import Metrics

PAGE = (ROOT / "docs" / "operating" / "watching.md").read_text()


def _names(registry: CollectorRegistry) -> set[str]:
    """Names of families, as queries name them."""
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
        if family.name.startswith("strv_")
    }


def test_the_page_names_every_figure_and_no_other() -> None:
    there = _names(REGISTRY) | _names(Metrics().registry)
    named = {name.removesuffix("_bucket") for name in re.findall(r"\bstrv_[a-z_]+[a-z]", PAGE)}
    assert named == there


def test_the_page_names_every_setting_of_watching() -> None:
    for name in ("STRV_METRICS_PORT", "STRV_METRICS_HOST", "STRV_METRICS_TOKEN", "STRV_LOG_FORMAT", "SENTRY_DSN"):
        assert name in PAGE


def test_every_event_and_command_on_the_page_is_in_the_code() -> None:
    code = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for event in re.findall(r"`((?:request|job|decoder|traces|incidents)\.[a-z_]+)`", PAGE):
        assert f'"{event}"' in code, event
