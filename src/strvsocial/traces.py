"""OpenTelemetry, when OTEL_EXPORTER_OTLP_ENDPOINT names a collector; else nothing of it is imported and a span costs nothing.

A span for each request, job and decoder; a job's row carries the place in the trace (`causes.Cause.traceparent`). Traces of
strangers are not continued: a request from outside begins its own. No span holds an address, a name or anything personal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from strvsocial import __version__
from strvsocial.settings import Settings

log = structlog.get_logger()

EXPORT_SECONDS = 3
"""How long one export may take; a collector that hangs must not hold the end of a process up."""
INSTALL = "pip install 'strvsocial[tracing]'"

_tracing: Any = None
"""The `_Tracing` of this process once it is on."""


class _Tracing:
    """OpenTelemetry's pieces that spans need, imported once."""

    def __init__(self, process: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.trace, self.propagator = trace, TraceContextTextMapPropagator()
        resource = Resource.create({"service.name": f"strvsocial-{process}", "service.version": __version__})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
        self.tracer = self.provider.get_tracer("strvsocial", __version__)

    def context_of(self, traceparent: str | None) -> Any:
        return self.propagator.extract({"traceparent": traceparent}) if traceparent else None


def start(settings: Settings, process: str) -> None:
    """Turns tracing on where the settings want it. Without its packages the process runs on and says what is missing."""
    global _tracing
    if settings.otlp_endpoint is None or _tracing is not None:
        return
    try:
        _tracing = _Tracing(process)
    except ImportError as error:
        log.error("traces.not_installed", missing=error.name, hint=INSTALL)


def stop() -> None:
    """Sends what is left, for a few seconds at most, and turns tracing off."""
    global _tracing
    tracing, _tracing = _tracing, None
    if tracing is not None:
        tracing.provider.shutdown()


def current_traceparent() -> str | None:
    """Where in which trace the code that runs now is, to be handed to `span(parents=…)` elsewhere."""
    if _tracing is None:
        return None
    carrier: dict[str, str] = {}
    _tracing.propagator.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(name: str, parents: Sequence[str | None] = (), **attributes: Any) -> Iterator[dict[str, Any]]:
    """A span around the block. Yields a dictionary: what is put into it becomes attributes, `error` its failure.

    `parents` are traceparents: one is continued, several are linked to.
    """
    late: dict[str, Any] = {}
    if _tracing is None:
        yield late
        return
    trace = _tracing.trace
    contexts = [_tracing.context_of(parent) for parent in dict.fromkeys(parents) if parent]
    links = [trace.Link(trace.get_current_span(context).get_span_context()) for context in contexts]
    with _tracing.tracer.start_as_current_span(
        name,
        context=contexts[0] if len(contexts) == 1 else None,
        links=links if len(links) > 1 else None,
        attributes=_fit(attributes),
        record_exception=False,  # Messages of exceptions may quote what people wrote.
        set_status_on_exception=False,
    ) as opened:
        try:
            yield late
        except BaseException as error:
            late.setdefault("error", type(error).__name__)
            raise
        finally:
            if failure := late.pop("error", None):
                opened.set_status(trace.StatusCode.ERROR, str(failure))
            opened.set_attributes(_fit(late))


def _fit(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
