"""What any process counts, for Prometheus: jobs, media, decoders, storage, the database's pool.

The figures of one process since it began, in one registry: a web process shows them at /metrics among its own
(`web.metrics`), the worker and the embedder on STRV_METRICS_PORT (`operations.exposition`). Labels come from lists in the code: kinds
of jobs, operations, outcomes; never ids, paths or what people send.
"""

from __future__ import annotations

import platform
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

from strvsocial import __version__

disable_created_metrics()  # type: ignore[no-untyped-call]  # They double the series and tell nothing that is not known.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_JOB_BUCKETS = (0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_CALL_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10)

build = Gauge("strv_build_info", "Always 1; the labels say what runs.", ["version", "python"], registry=REGISTRY)
build.labels(__version__, platform.python_version()).set(1)

job_results = Counter(
    "strv_job_results",
    "Jobs by how they ended: done, failed (tried again), dead (given up), postponed, stopped, taken_over, died (with its worker), split (a batch).",
    ["kind", "outcome"],
    registry=REGISTRY,
)
job_seconds = Histogram(
    "strv_job_seconds", "Seconds that a job, or a batch, ran.", ["kind"], buckets=_JOB_BUCKETS, registry=REGISTRY
)

media_files = Counter(
    "strv_media_files",
    "Files processed: done, refused (damaged or not ours), failed.",
    ["kind", "outcome"],
    registry=REGISTRY,
)
media_seconds = Counter("strv_media_seconds", "Seconds of sound and film processed.", ["kind"], registry=REGISTRY)
media_processing = Counter(
    "strv_media_processing_seconds", "Seconds that processing took.", ["kind"], registry=REGISTRY
)
decoder_runs = Counter(
    "strv_decoder_runs", "Sandboxed programs by how they ended.", ["program", "outcome"], registry=REGISTRY
)
decoder_seconds = Histogram(
    "strv_decoder_seconds", "Seconds that they ran.", ["program"], buckets=_JOB_BUCKETS, registry=REGISTRY
)

storage_calls = Counter(
    "strv_storage_operations",
    "Calls to the storage by how they ended: ok, missing, failed.",
    ["operation", "outcome"],
    registry=REGISTRY,
)
storage_seconds = Histogram(
    "strv_storage_seconds", "Seconds that they took.", ["operation"], buckets=_CALL_BUCKETS, registry=REGISTRY
)

pool_connections = Gauge(
    "strv_database_connections", "Of the pool, by state: in_use, idle, most.", ["state"], registry=REGISTRY
)
pool_waits = Counter("strv_database_pool_waits", "Times that all connections were in use.", registry=REGISTRY)
pool_wait_seconds = Counter("strv_database_pool_wait_seconds", "Seconds waited for one.", registry=REGISTRY)
pool_timeouts = Counter("strv_database_pool_timeouts", "Times that none came free in time.", registry=REGISTRY)

limited = Counter("strv_limited", "Requests refused by a rate limit.", ["limit"], registry=REGISTRY)


def note_pool(pool: Any) -> None:
    """Notes the state of SQLAlchemy's `pool`."""
    for state, count in (("in_use", pool.checkedout()), ("idle", pool.checkedin()), ("most", pool.size())):
        pool_connections.labels(state).set(count)


def show() -> bytes:
    """The figures in Prometheus' text format."""
    return generate_latest(REGISTRY)
