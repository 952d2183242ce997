"""How many requests a web process answered within the last minute, and how fast, out of its Prometheus figures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from strvsocial.web.metrics import Metrics

WINDOW_SECONDS = 60.0


class Totals(NamedTuple):
    """What was counted since the process began. `buckets` are cumulative: answers that took at most so many seconds."""

    requests: float
    errors: float
    buckets: dict[float, float]


class RequestRates:
    """Remembers the totals of the last minute; `describe()` tells what came about since then."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seen: deque[tuple[float, Totals]] = deque([(time.monotonic(), count(metrics))])

    def describe(self) -> dict[str, object]:
        """`requests`, `errors` and `buckets` [[seconds, answers], …] per minute, for the process's sign of life."""
        now, totals = time.monotonic(), count(self._metrics)
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        self._seen.append((now, totals))
        scale = WINDOW_SECONDS / max(now - then, WINDOW_SECONDS)
        return {
            "requests": round((totals.requests - before.requests) * scale, 1),
            "errors": round((totals.errors - before.errors) * scale, 1),
            "buckets": [
                [edge, answers - before.buckets.get(edge, 0)]
                for edge, answers in totals.buckets.items()
                if edge != float("inf")
            ],
        }


def count(metrics: Metrics) -> Totals:
    """The totals over all routes, probes and scrapes left out."""
    requests = errors = 0.0
    buckets: dict[float, float] = {}
    for family in metrics.requests.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and not _is_probe(sample.labels):
                requests += sample.value
                errors += sample.value * sample.labels["status"].startswith("5")
    for family in metrics.seconds.collect():
        for sample in family.samples:
            if sample.name.endswith("_bucket") and not _is_probe(sample.labels):
                edge = float(sample.labels["le"])
                buckets[edge] = buckets.get(edge, 0) + sample.value
    return Totals(requests, errors, buckets)


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """The seconds within which `share` of the answers came, linear within a bucket as Prometheus does; None of nothing.

    `buckets` are cumulative and sorted by their upper edges.
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    wanted = share * buckets[-1][1]
    lower = below = 0.0
    for edge, answers in buckets:
        if answers >= wanted:
            return lower + (edge - lower) * (wanted - below) / (answers - below) if answers > below else edge
        lower, below = edge, answers
    return lower


def _is_probe(labels: dict[str, str]) -> bool:
    return labels["route"] in ("/livez", "/readyz", "/metrics")
