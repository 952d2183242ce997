"""What operators' probes and tools see."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from tests.front_door import Site, running

from strvsocial.app import create_app
from strvsocial.embeddings.spaces import decide_profile, report_trouble
from strvsocial.jobs import enqueue
from strvsocial.settings import ROOT, Settings


async def test_alive_and_ready(client: httpx.AsyncClient) -> None:
    alive = await client.get("/livez")
    assert (alive.status_code, alive.text) == (200, "ok")
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["parts"].keys() >= {"database", "redis", "storage", "index"}
    assert (
        ready.json()["parts"]["database"] == ready.json()["parts"]["redis"] == ready.json()["parts"]["storage"] == "ok"
    )


async def test_missing_weights_degrade_the_site_and_no_more(site: Site, client: httpx.AsyncClient) -> None:
    async with site.database.transaction() as db:
        await decide_profile(db, "packaged")
        await report_trouble(db, "The text encoder's weights are not here.")
    site.app.state.probes.forget()
    try:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["parts"]["models"] == "ModelsMissing"
    finally:
        async with site.database.transaction() as db:
            await report_trouble(db, None)
    assert (await client.get("/readyz")).json()["parts"]["models"] == "ModelsMissing"  # Believed for two seconds.
    site.app.state.probes.forget()
    assert (await client.get("/readyz")).json()["parts"]["models"] == "ok"


async def test_without_the_database_the_process_lives_and_says_so(settings: Settings, site: Site) -> None:
    alice = await site.cast("alice")
    dead = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    app = create_app(dead)
    async with running(app), site.client(app=app) as client:
        assert (await client.get("/livez")).status_code == 200
        started = time.monotonic()
        ready = await client.get("/readyz")
        assert time.monotonic() - started < 2
        assert (ready.status_code, ready.json()["status"]) == (503, "down")
        for answer in (
            await client.get("/api/v1/users"),
            await client.get("/api/v1/me", headers={"Authorization": f"Bearer {alice.token}"}),
            await client.post("/api/v1/tokens", json={"email": alice.email, "password": alice.password}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        figures = await client.get("/metrics")
        assert figures.status_code == 200
        assert "strv_database_up 0.0" in figures.text


async def test_metrics_know_routes_and_queues(site: Site, client: httpx.AsyncClient) -> None:
    async with site.database.transaction() as db:
        await enqueue(db, "tests.nothing", {}, queue="long")
    for n in range(3):
        await client.get(f"/api/v1/users/nobody-{n}")
        await client.get(f"/no/such/page/{n}")
    await client.request("BREW", "/livez")
    families = {family.name: family for family in text_string_to_metric_families((await client.get("/metrics")).text)}
    routes = {sample.labels["route"] for sample in families["strv_requests"].samples}
    assert "/api/v1/users/{username}" in routes
    assert not any("nobody" in route or "/no/such" in route for route in routes)
    assert {sample.labels["method"] for sample in families["strv_requests"].samples} <= {
        "GET", "POST", "PUT", "PATCH", "DELETE", "OTHER", "HEAD", "OPTIONS",
    }  # fmt: skip
    waiting = {sample.labels["queue"]: sample.value for sample in families["strv_jobs_waiting"].samples}
    assert waiting["long"] >= 1
    assert set(waiting) == {"quick", "long", "feature", "ladder", "embed"}
    assert families["strv_jobs_oldest_seconds"].samples[0].value >= 0
    async with site.database.transaction() as db:
        await db.execute(text("delete from jobs where kind = 'tests.nothing'"))


async def test_the_openapi_document_is_complete(site: Site, client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/schema/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    routes = [route for route in site.app.routes if isinstance(route, HTTPRoute) and route.path.startswith("/api/v1")]
    assert len(routes) > 8
    for route in routes:
        for handler in route.route_handlers:
            for method in set(handler.http_methods) - {"OPTIONS", "HEAD"}:
                if not handler.resolve_include_in_schema():
                    continue
                operation = document["paths"][route.path_format][str(method).lower()]
                where = f"{method} {route.path_format}"
                assert operation["tags"], where
                assert operation["summary"], where
                assert {"401", "422", "429", "503"} <= operation["responses"].keys(), where
                assert any(status.startswith("2") for status in operation["responses"]), where
                assert "security" in operation, where
    sign_up = document["paths"]["/api/v1/accounts"]["post"]
    body = sign_up["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert set(schemas[body]["required"]) == {"username", "email", "password"}


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in _references(value)]
    if isinstance(part, list):
        return [found for value in part for found in _references(value)]
    return []


@pytest.mark.parametrize("path", ["/schema/swagger", "/schema/redoc", "/schema/elements", "/docs"])
async def test_there_is_no_documentation_page(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


def test_the_web_process_loads_no_model_library() -> None:
    script = (
        "import sys, strvsocial.app as app; app.create_app();"
        "print([name for name in ('torch', 'torchvision', 'transformers', 'faster_whisper', 'librosa', 'zxcvbn',"
        " 'confusable_homoglyphs.confusables') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
