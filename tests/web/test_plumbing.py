"""Every answer carries its headers, every failure says what is wrong, and a transaction is whole or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from tests.front_door import Site, running

from strvsocial.app import create_app
from strvsocial.errors import Conflict
from strvsocial.web.input import read_input
from strvsocial.web.rendering import PageResponse, page


class Sample(msgspec.Struct, kw_only=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=10)]
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    tags: Annotated[list[str], msgspec.Meta(max_length=2)] = []
    public: bool = False
    note: str | msgspec.UnsetType | None = msgspec.UNSET


@post("/try/input")
async def try_input(request: Request[Any, Any, Any]) -> Sample:
    return await read_input(request, Sample)


@post("/try/commit/{name:str}")
async def try_commit(db: NamedDependency[AsyncSession], name: FromPath[str]) -> dict[str, str]:
    await db.execute(text("insert into site_facts (name, value) values (:name, '1')"), {"name": name})
    if name == "late":  # A deferred constraint fails at the commit, after the handler is done.
        await db.execute(text("create temp table late (n int unique deferrable initially deferred) on commit drop"))
        await db.execute(text("insert into late values (1), (1)"))
    if name == "refused":
        raise Conflict
    return {"name": name}


@get("/try/broken")
async def try_broken() -> None:
    raise RuntimeError("select secret from /etc/passwd")


@get("/try/both")
async def try_both(db: NamedDependency[AsyncSession], reader: NamedDependency[AsyncConnection]) -> int:
    await db.execute(text("create temp table twice (n int unique deferrable initially deferred) on commit drop"))
    await db.execute(text("insert into twice values (1), (1)"))
    return int(await reader.scalar(text("select 1")))


@get("/try/page")
async def try_page() -> PageResponse:
    return page("no/such/template.html")


@pytest_asyncio.fixture(scope="module")
async def bench(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """The site's application with a few routes more."""
    app = create_app(site.settings)
    for handler in (try_input, try_commit, try_broken, try_both, try_page):
        app.register(handler)
    async with running(app), site.client(app=app) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/v1/nowhere", "/static/nothing.js", "/try/broken", "/schema/openapi.json"]
)
async def test_every_answer_has_security_headers_and_a_request_id(bench: httpx.AsyncClient, path: str) -> None:
    answer = await bench.get(path, headers={"X-Request-ID": "abc-123_DEF"})
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert answer.headers["x-request-id"] == "abc-123_DEF"


async def test_a_strange_request_id_is_replaced(bench: httpx.AsyncClient) -> None:
    answer = await bench.get("/nowhere", headers={"X-Request-ID": 'x"; drop\tx'})
    assert len(answer.headers["x-request-id"]) == 24


async def test_unknown_addresses_are_404_as_page_fragment_and_json(bench: httpx.AsyncClient) -> None:
    as_json = await bench.get("/api/v1/nowhere")
    assert (as_json.status_code, as_json.json()["error"]["code"]) == (404, "not_found")
    as_page = await bench.get("/nowhere", headers={"Accept": "text/html"})
    assert as_page.status_code == 404
    assert as_page.headers["content-type"].startswith("text/html")
    assert "<h1" in as_page.text
    assert as_page.headers["vary"] == "HX-Request, Cookie"
    fragment = await bench.get("/nowhere", headers={"HX-Request": "true"})
    assert fragment.status_code == 404
    wrong_method = await bench.delete("/try/page")
    assert wrong_method.status_code == 405
    assert "GET" in wrong_method.headers["allow"]


async def test_an_unknown_error_tells_nothing_of_the_inside(bench: httpx.AsyncClient) -> None:
    answer = await bench.get("/try/broken", headers={"Accept": "application/json"})
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    page = await bench.get("/try/broken")
    assert page.status_code == 500
    assert "secret" not in page.text
    assert page.headers["x-request-id"] in page.text


async def _facts(site: Site) -> set[str]:
    async with site.database.read() as reader:
        return set((await reader.scalars(text("select name from site_facts"))).all())


async def test_a_request_is_one_transaction(bench: httpx.AsyncClient, site: Site) -> None:
    kept = await bench.post("/try/commit/kept")
    assert kept.status_code == 201
    refused = await bench.post("/try/commit/refused", headers={"Accept": "application/json"})
    assert refused.status_code == 409
    late = await bench.post("/try/commit/late", headers={"Accept": "application/json"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
    assert {"kept", "refused", "late"} & await _facts(site) == {"kept"}
    both = await bench.get("/try/both", headers={"Accept": "application/json"})
    assert both.status_code == 409


async def test_every_bad_field_is_named_at_once(bench: httpx.AsyncClient) -> None:
    answer = await bench.post(
        "/try/input",
        json={"title": "x" * 11, "size": 99, "tags": ["a", "b", "c"], "public": "maybe", "role": "admin"},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == {
        "role": "There is no such field.",
        "title": "At most 10 characters, please.",
        "size": "This must be at most 9.",
        "tags": "At most 2 of these, please.",
        "public": "This must be true or false, not text.",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"title": "a\\u0000b"}', "title"),
        (b'{"title": "a\\ud800b"}', None),
        (b'{"title": ["x"]}', "title"),
        (b'{"title": "x", "tags": ["a\\u0000"]}', "tags"),
        (b"{}", "title"),
        (b"", "title"),
        (b"[]", None),
        (b"{", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"title": "x", "\\u0000\\u202e": 1}', "??"),
    ],
)
async def test_bad_json_is_bad_input(bench: httpx.AsyncClient, body: bytes, field: str | None) -> None:
    answer = await bench.post(
        "/try/input", content=body, headers={"Content-Type": "application/json", "Accept": "application/json"}
    )
    assert answer.status_code == 422
    if field is not None:
        assert field in answer.json()["error"]["fields"]


async def test_forms_are_read_like_json(bench: httpx.AsyncClient) -> None:
    urlencoded = await bench.post("/try/input", data={"title": "hi", "size": "3", "tags": ["a", "b"], "public": "on"})
    assert urlencoded.json() == {"title": "hi", "size": 3, "tags": ["a", "b"], "public": True}
    multipart = await bench.post("/try/input", files={"title": (None, "hi"), "note": (None, "")})
    assert multipart.json()["note"] == ""
    file = await bench.post("/try/input", files={"title": ("x.txt", b"hi")}, headers={"Accept": "application/json"})
    assert file.json()["error"]["fields"] == {"title": "No file belongs here."}
    xml = await bench.post("/try/input", content=b"<a/>", headers={"Content-Type": "text/xml"})
    assert xml.status_code == 415
    large = await bench.post("/try/input", json={"title": "x" * 1_100_000})
    assert large.status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Origin": "http://localhost:8000"}, 201),
        ({}, 201),
    ],
)
async def test_other_sites_cannot_send_on_a_persons_behalf(
    bench: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await bench.post("/try/input", json={"title": "x"}, headers={"Accept": "application/json", **headers})
    assert answer.status_code == status
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/users?q=a%00b", 422), ("/p/a%00b", 404), ("/u/%ff", 404), ("/api/v1/users?q=%ff", 422)],
)
async def test_addresses_with_nul_or_broken_bytes_are_refused(bench: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await bench.get(path)).status_code == status


async def test_a_body_that_breaks_off_is_no_failure_of_ours(site: Site) -> None:
    """A page that closes while it sends: the server sees the line go, not the end of the body."""
    answers: list[dict[str, Any]] = []
    pieces = iter([{"type": "http.request", "body": b'{"ti', "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(pieces)

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(b"host", b"localhost:8000"), (b"content-type", b"application/json"), (b"content-length", b"99")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/accounts",
        "raw_path": b"/api/v1/accounts",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 8000),
    }
    await site.app(scope, receive, send)  # type: ignore[arg-type]
    assert answers[0]["status"] == 422
