"""The OpenAPI document says all that the site takes and answers, and the site keeps to it under generated requests."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.front_door import PASSWORD, Site

EXAMPLES = 12
"""Generated requests of each operation, half of them wrong on purpose."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
WRITING = ("post", "put", "patch", "delete")
SIGNED_IN: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
PUBLIC = {"/api/v1/accounts", "/api/v1/tokens"}
SELDOM = {
    *("POST /api/v1/accounts", "POST /api/v1/tokens", "DELETE /api/v1/me", "PUT /api/v1/me/password"),
    *("PUT /api/v1/me/email", "POST /api/v1/posts/{post_id}/retry", "PUT /api/v1/me/avatar"),
    *(f"{method} /api/v1/posts/{{post_id}}/captions" for method in ("GET", "PATCH", "DELETE")),
}
"""What needs a right password, a good name, a failed post or one with sound: generated requests rarely succeed."""
FOR_ALL = {"/api/v1/interactions"}


@pytest.fixture(scope="module")
def document(web_address: str) -> dict[str, Any]:
    return dict(httpx.get(f"{web_address}/schema/openapi.json").json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_every_route_of_the_api_is_documented(site: Site, document: dict[str, Any]) -> None:
    served = {
        (str(method).lower(), route.path_format)
        for route in site.app.routes
        if route.path.startswith(("/api/", "/events", "/livez", "/readyz", "/metrics"))
        for handler in route.route_handlers  # type: ignore[union-attr]
        for method in handler.http_methods
        if str(method) != "OPTIONS"
    }
    documented = {(method, path) for method, path, _ in operations(document) if method != "options"}
    assert served == documented


def test_every_operation_is_complete(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for method, path, operation in operations(document):
        where = (method, path)
        assert operation["summary"], where
        assert operation["description"], where
        assert "security" in operation, where
        good = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
        assert len(good) == 1, where
        if not path.startswith("/api/"):
            continue
        for status, answer in good.items():
            if not answer.get("headers") and status != "204":
                assert answer["content"]["application/json"]["schema"]["$ref"], where
        errors = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
        assert _expected_errors(method, path, operation) <= set(errors), where
        contents = [answer["content"]["application/json"]["schema"] for answer in errors.values() if method != "head"]
        assert all(schema == {"$ref": "#/components/schemas/ErrorAnswer"} for schema in contents), where


def _expected_errors(method: str, path: str, operation: dict[str, Any]) -> set[str]:
    expected = {"401", "422", "429", "503"}
    if "{" in path:
        expected.add("404")
    if method in WRITING:
        expected |= {"403", "409"}
    if "requestBody" in operation:
        expected |= {"413", "415"}
    return expected


def test_the_document_says_who_may_ask(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        allowed = operation["security"]
        assert allowed in ([], SIGNED_IN, [{}, *SIGNED_IN]), (method, path)
        if method in WRITING:
            expected = [] if path in PUBLIC else [{}, *SIGNED_IN] if path in FOR_ALL else SIGNED_IN
            assert allowed == expected, (method, path)


def _unbounded(node: Any, where: str) -> Iterator[str]:
    """Where text or a list may be sent that has no bound."""
    if isinstance(node, dict):
        kinds = node.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "string" in kinds and not {"maxLength", "enum", "const"} & set(node) and node.get("format") != "binary":
            yield where
        if "array" in kinds and "maxItems" not in node:
            yield where
        for key, value in node.items():
            yield from _unbounded(value, f"{where}/{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _unbounded(value, f"{where}/{number}")


def _resolve(document: dict[str, Any], node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _resolve(document, document["components"]["schemas"][node["$ref"].rsplit("/", 1)[1]])
        return {key: _resolve(document, value) for key, value in node.items()}
    return [_resolve(document, value) for value in node] if isinstance(node, list) else node


def test_all_that_may_be_sent_has_a_bound(document: dict[str, Any]) -> None:
    found = [
        place
        for method, path, operation in operations(document)
        for part in ("parameters", "requestBody")
        for place in _unbounded(_resolve(document, operation.get(part, {})), f"{method} {path} {part}")
    ]
    assert found == []


def _token(address: str) -> dict[str, str]:
    name = f"fuzz.{time.monotonic_ns()}"[:30]
    account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    made = httpx.post(f"{address}/api/v1/accounts", json=account)
    assert made.status_code == 201, made.text
    answer = httpx.post(f"{address}/api/v1/tokens", json={"email": account["email"], "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


@schemathesis.serializer("application/offset+octet-stream")
def _as_bytes(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def _check(operation: Any, headers: dict[str, str], real: dict[str, str], answered: dict[str, set[int]]) -> int:
    """Sends generated requests, the fitting ones about what is really there. Returns how many."""
    asked = 0
    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or list(operation.iter_parameters()):
        cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: Any) -> None:
        nonlocal asked
        asked += 1
        if case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE:
            case.path_parameters = {name: real.get(name, value) for name, value in case.path_parameters.items()}
        answer = case.call_and_validate(headers=headers, checks=CHECKS, timeout=10)
        answered[operation.label].add(answer.status_code)

    check()
    return asked


def test_generated_requests_get_what_is_documented(web_address: str) -> None:
    """Every operation, signed in, with requests that fit the document and with ones that do not."""
    schema = schemathesis.openapi.from_url(f"{web_address}/schema/openapi.json")
    headers, failures, asked = _token(web_address), [], 0
    answered: dict[str, set[int]] = defaultdict(set)
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        if operation.path == "/events":  # A stream that does not end: tests of its own.
            continue
        own = _token(web_address) if operation.path.endswith("/tokens/current") else headers
        try:
            asked += _check(operation, own, _real(web_address, headers), answered)
        except Exception as error:
            failures.append(f"{operation.label}: {error!r} {error}")
    assert not failures, "\n\n".join(failures)
    assert asked > 400
    assert {label for label, statuses in answered.items() if not statuses & {200, 201, 204}} <= SELDOM


def _real(address: str, headers: dict[str, str]) -> dict[str, str]:
    """Ids of a post, a person and an upload."""
    api = httpx.Client(base_url=f"{address}/api/v1", headers=headers)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}
    return {
        "post_id": api.post("/posts", json={"title": "Something to ask for"}).json()["id"],
        "username": api.get("/users?limit=1").json()["items"][0]["username"],
        "upload_id": api.post("/uploads", headers=tus).headers["location"].rsplit("/", 1)[1],
    }
