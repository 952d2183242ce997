"""Requests made to hurt: bodies that should not be read, lines that should not be logged, text that should not run."""

from __future__ import annotations

import json
import tempfile
import time
from typing import Any

import httpx
import pytest
from tests.front_door import PASSWORD, Site, serving

from strvsocial.settings import Settings


async def _send_slowly(site: Site, path: str, headers: dict[str, str], pieces: int) -> tuple[int, int]:
    """The status, and how many of `pieces` 64 KiB pieces of the body the application took before it answered."""
    taken, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": taken < pieces}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    raw = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost:8000", **headers}.items()]
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": raw,
        "client": ("127.0.0.1", 1), "server": ("localhost", 8000), "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    application: Any = site.app
    await application(scope, receive, send)
    return status, taken


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/posts", {**FORM, "Sec-Fetch-Site": "cross-site", "Cookie": "strv=x"}, 403),
        ("/api/v1/posts", {**FORM, "Origin": "https://evil.example"}, 403),
        ("/api/v1/posts", FORM, 401),
        ("/api/v1/posts", {**FORM, "Authorization": "Bearer wrong"}, 401),
        ("/create", FORM, 303),
        ("/nowhere", FORM, 404),
    ],
)
async def test_a_body_is_not_read_before_it_is_welcome(
    site: Site, path: str, headers: dict[str, str], status: int
) -> None:
    assert await _send_slowly(site, path, headers, 100) == (status, 0)


async def test_a_long_body_of_an_ordinary_route_is_cut_off(site: Site) -> None:
    status, taken = await _send_slowly(site, "/api/v1/accounts", {"Content-Type": "application/json"}, 1000)
    assert status == 413
    assert taken < 20


async def test_logs_are_one_object_a_line_and_hold_no_secrets(site: Site, settings: Settings) -> None:
    alice = await site.member("alice")
    hostile = 'x\x1b[31m"}\x07{"level": "forged"}'
    with tempfile.TemporaryFile() as log, serving(settings, log=log, STRV_LOG_FORMAT="json") as (address, process):
        async with httpx.AsyncClient(base_url=address) as client:
            headers = {"User-Agent": hostile.replace("\x1b", "").replace("\x07", ""), "X-Request-ID": 'a"b,{}[]'}
            await client.get("/%1b%5b31m%0a%7b%22level%22:1%7d?password=hunter22hunter22", headers=headers)
            await client.post(
                "/api/v1/tokens", json={"email": alice.email, "password": PASSWORD + hostile}, headers=headers
            )
            await client.post(
                "/api/v1/accounts", json={"username": hostile, "email": "a@b.c", "password": "hunter22hunter22"}
            )
            signed_in = await client.post("/api/v1/tokens", json={"email": alice.email, "password": PASSWORD})
            token = signed_in.json()["token"]
            await client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        process.terminate()
        process.wait(20)
        log.seek(0)
        lines = log.read().decode().splitlines()
    for line in lines:
        assert isinstance(json.loads(line), dict), line
        assert json.loads(line)["level"] != "forged"
        for secret in (PASSWORD, "hunter22", token, alice.token):
            assert secret not in line


@pytest.mark.parametrize("size", [1_000, 100_000])
async def test_checking_long_text_takes_no_time(client: httpx.AsyncClient, site: Site, size: int) -> None:
    alice = await site.cast("alice")
    for text in ("a" * size, " " * size, "\u200d" * size, "é" * size, "\n\r" * (size // 2), "😀\u200d" * (size // 2)):
        started = time.process_time()
        answer = await alice.api("PATCH", "/me", json={"username": text, "display_name": text, "bio": text})
        assert answer.status_code in (413, 422)
        assert time.process_time() - started < 1
        found = await client.get("/api/v1/users", params={"q": text[:90]})
        assert found.status_code in (200, 422)


async def test_text_is_shown_as_text(site: Site, client: httpx.AsyncClient) -> None:
    alice = await site.member("alice")
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'
    await alice.api("PATCH", "/me", json={"display_name": evil[:80], "bio": evil})
    page = await client.get(f"/u/{alice.username}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "{{7*7}}" in page.text
    assert page.headers["vary"] == "HX-Request, Cookie"
