"""One trace from the request through its job to the decoder, at a real receiver; and nothing at all when it is off."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from PIL import Image
from sqlalchemy import text
from tests.front_door import serving
from tests.watching.processes import lines_of, working
from tests.watching.receivers import Receiver, receiving

from strvsocial.db import Database
from strvsocial.settings import ROOT, Settings

PASSWORD = "three geese over water"
OFF = (
    "import sys, strvsocial.app as app, strvsocial.worker as worker; from strvsocial.operations.watching import watched;"
    "from strvsocial.settings import get_settings;"
    "app.create_app();"
    "watched(get_settings(), 'web').__enter__();"
    # Litestar looks for a plugin of its own, and meets the names of HTTP's attributes on its way.
    "found = [name for name in sys.modules if name.startswith(('opentelemetry.', 'sentry_sdk', 'google.protobuf'))];"
    "print([name for name in found if not name.startswith('opentelemetry.semconv')])"
)
WITHOUT = "import sys; sys.modules['opentelemetry'] = sys.modules['sentry_sdk'] = None;" + OFF


def spans_at(receiver: Receiver) -> list[tuple[str, Any]]:
    """Every span that arrived, with the name of the service that sent it."""
    found = []
    for path, body in receiver.bodies:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            found += [(service, span) for scope in resource.scope_spans for span in scope.spans]
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


async def test_one_trace_from_the_request_to_the_decoder(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(picture, "png")
    with receiving() as receiver:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with (
            serving(settings, log=None, **told) as (address, _),
            working("worker", tmp_path / "log", **told),
        ):
            async with httpx.AsyncClient(base_url=address, timeout=30) as client:
                who = {"username": "otto", "email": "otto@example.com", "password": PASSWORD}
                await client.post("/api/v1/accounts", json=who)
                given = await client.post("/api/v1/tokens", json={"email": who["email"], "password": PASSWORD})
                token = given.json()["token"]
                await client.post(
                    "/api/v1/posts",
                    data={"title": "A secret title"},
                    files={"file": ("a.png", picture.getvalue(), "image/png")},
                    headers={"authorization": f"Bearer {token}", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
                )
            async with asyncio.timeout(30):
                while not any(span.name == "job content.process_attachment" for _, span in spans_at(receiver)):
                    await asyncio.sleep(0.05)
    spans = spans_at(receiver)
    ((_, request),) = [(s, o) for s, o in spans if attributes(o).get("http.route") == "/api/v1/posts"]
    ((job_service, job),) = [(s, o) for s, o in spans if o.name == "job content.process_attachment"]
    decoders = [o for _, o in spans if o.name == "decoder picture"]
    assert (job_service, attributes(job)["strv.outcome"]) == ("strvsocial-worker", "done")
    assert attributes(request)["http.response.status_code"] == 201
    assert (job.trace_id, job.parent_span_id) == (request.trace_id, request.span_id)
    assert decoders
    for decoder in decoders:
        assert (decoder.trace_id, decoder.parent_span_id) == (request.trace_id, job.span_id)
        assert attributes(decoder)["process.exit.code"] == 0
        assert attributes(decoder)["strv.peak_bytes"] > 1_000_000
    # A stranger's trace is not continued, and nothing that a person wrote leaves the machine.
    assert request.trace_id.hex() != "a" * 32
    sent = b"".join(body for _, body in receiver.bodies)
    for private in ("otto", PASSWORD, token, "secret title", "a.png"):
        assert private.encode() not in sent
    async with database.read() as reader:
        carried = await reader.scalar(text("select traceparent from jobs where kind = 'content.embed_post'"))
    assert carried is not None
    assert carried.split("-")[1] == request.trace_id.hex()


async def test_a_collector_that_is_away_holds_nobody_up(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "STRV_LOG_FORMAT": "json"}
    with log.open("wb") as stderr, serving(settings, log=stderr, **told) as (address, process):
        async with httpx.AsyncClient(base_url=address) as client:
            assert (await client.get("/explore")).status_code == 200
        started = time.monotonic()
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        assert time.monotonic() - started < 8
    assert not [line for line in lines_of(log) if line["level"] == "critical"]


def test_off_means_that_nothing_is_imported(settings: Settings) -> None:
    found = subprocess.run([sys.executable, "-c", OFF], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_missing_package_is_told_and_no_crash(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("SENTRY_DSN", "http://key@127.0.0.1:1/1")
    found = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=True)
    for told in ("traces.not_installed", "strvsocial[tracing]", "incidents.not_installed", "strvsocial[sentry]"):
        assert told in found.stderr
