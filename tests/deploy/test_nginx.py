"""The nginx that we ship, for real: what it sends itself, what it hands on and how, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.deploy.recorder import Recorder
from tests.front_door import Site, running_site, serving
from tests.nginx import Nginx, running_nginx

from strvsocial.settings import Settings
from strvsocial.web.headers import CONTENT_SECURITY_POLICY

MP4_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    (folder / "dist").mkdir()
    (folder / "dist" / "app-1A2B3C4D.js").write_text("let a = 1\n" * 400)
    (folder / "manifest.webmanifest").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def nginx(settings: Settings, static: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with (
        serving(settings, STRV_TRUSTED_PROXIES="127.0.0.1") as (web, _),
        running_nginx(folder, web, static=static) as nginx,
    ):
        yield nginx


@pytest_asyncio.fixture(scope="module")
async def people(nginx: Nginx, settings: Settings) -> AsyncIterator[Site]:
    """The site whose people go through nginx."""
    async with running_site(settings) as site:
        site.address = nginx.address
        yield site


def test_pages_come_through_with_one_request_id(nginx: Nginx) -> None:
    answer = httpx.get(f"{nginx.address}/explore", headers={"X-Request-ID": "from-the-outside"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "from-the-outside"
    assert nginx.find_logged("from-the-outside")["path"] == "/explore"
    made_up = httpx.get(f"{nginx.address}/explore", headers={"X-Request-ID": 'no"good'}).headers["x-request-id"]
    assert len(made_up) == 32
    assert nginx.find_logged(made_up)["status"] == 200


def test_hashed_files_are_kept_for_good_and_ask_no_web_process(nginx: Nginx) -> None:
    sent = {"X-Request-ID": "a-hashed-file", "Accept-Encoding": "gzip"}
    answer = httpx.get(f"{nginx.address}/static/dist/app-1A2B3C4D.js", headers=sent)
    assert (answer.status_code, len(answer.text)) == (200, 4000)
    assert nginx.find_logged("a-hashed-file")["upstream"] == ""
    expected = {
        "cache-control": "public, max-age=31536000, immutable",
        "content-type": "text/javascript; charset=utf-8",
        "content-encoding": "gzip",
        "vary": "Accept-Encoding",
    }
    assert {name: answer.headers[name] for name in expected} == expected
    again = {"If-None-Match": answer.headers["etag"]}
    assert httpx.get(f"{nginx.address}/static/dist/app-1A2B3C4D.js", headers=again).status_code == 304


def test_files_of_nginx_are_as_safe_as_those_of_the_web_process(nginx: Nginx) -> None:
    ours = httpx.get(f"{nginx.address}/static/manifest.webmanifest")
    theirs = httpx.get(f"{nginx.address}/livez")
    assert ours.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert (ours.headers["content-type"], ours.headers["cache-control"]) == (
        "application/manifest+json",
        "public, max-age=3600",
    )
    safety = {
        name: value
        for name, value in theirs.headers.items()
        if name.startswith(("content-security", "x-content", "referrer", "cross-origin", "permissions"))
    }
    assert len(safety) == 6
    assert {name: ours.headers.get(name) for name in safety} == safety


def test_files_that_nginx_lacks_are_asked_of_the_web_process(nginx: Nginx) -> None:
    """During an upgrade a page of the other version may name them."""
    assert httpx.get(f"{nginx.address}/static/avatar.svg").status_code == 200
    assert httpx.get(f"{nginx.address}/static/dist/app-OLD.js").status_code == 404
    for way_out in ("/static/dist../manifest.webmanifest", "/static/dist/%2e%2e/%2e%2e/%2e%2e/etc/passwd"):
        assert httpx.get(nginx.address + way_out).status_code in (400, 404), way_out


async def test_who_asks_is_told_by_nginx_alone(tmp_path: Path) -> None:
    web = Recorder({})
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Strv-Accel": "off",
    }
    async with web.listening() as address:
        with running_nginx(tmp_path, address) as nginx:
            async with httpx.AsyncClient(headers={**forged, "X-Forwarded-For": "6.6.6.6"}) as client:
                for path in ("/", "/api/v1/me", "/api/v1/uploads", "/events", "/media/a/b", "/metrics"):
                    await client.get(nginx.address + path)
    assert len(web.requests) == 6
    for request in web.requests:
        assert "6.6.6.6" not in str(request.headers), request.path
        assert "evil.example" not in str(request.headers), request.path
        assert "x-strv-accel" not in request.headers, request.path
        assert request.headers["x-forwarded-for"] == "127.0.0.1", request.path
        assert request.headers["x-forwarded-proto"] == "http", request.path


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1)])
@pytest.mark.parametrize("path", ["/p/x/like", "/api/v1/posts"])
async def test_only_what_may_be_repeated_is_repeated(tmp_path: Path, method: str, times: int, path: str) -> None:
    """Web processes that take a request and vanish: was it done? A POST is never sent to the other one."""
    gone = Recorder({}, silent=True)
    async with gone.listening() as one, gone.listening() as two:
        with running_nginx(tmp_path, one, two) as nginx:
            async with httpx.AsyncClient() as client:
                answer = await client.request(method, nginx.address + path)
    assert answer.status_code == 503
    assert len(gone.requests) == times


async def test_a_process_that_is_down_is_passed_over(tmp_path: Path) -> None:
    web = Recorder({})
    async with web.listening() as address:
        with running_nginx(tmp_path, "http://127.0.0.1:9", address) as nginx:
            async with httpx.AsyncClient() as client:
                answers = [await client.post(f"{nginx.address}/login", content=b"x") for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(web.requests) == 6


def test_no_web_process_is_503_in_the_visitors_language(tmp_path: Path) -> None:
    with running_nginx(tmp_path, "http://127.0.0.1:9") as nginx:
        page = httpx.get(f"{nginx.address}/")
        calls = [httpx.post(f"{nginx.address}/api/v1/{path}") for path in ("accounts", "posts")]
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")
    assert page.headers["content-type"] == "text/html"
    for call in calls:
        assert (call.status_code, call.headers["retry-after"]) == (503, "5")
        assert call.headers["content-type"] == "application/json"
        assert call.json()["error"]["code"] == "unavailable"


async def test_an_upload_streams_into_storage(people: Site, settings: Settings) -> None:
    """Half a film is on the disk while the other half has not been sent."""
    alice, length = await people.member("alice"), 24 * 1024 * 1024
    name = base64.b64encode(b"film.mp4").decode()
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": f"filename {name}"}
    created = await alice.api("POST", "/uploads", headers=headers)
    assert created.status_code == 201, created.text
    halfway, seen = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield MP4_HEAD.ljust(1024 * 1024, b"\0")
        for _ in range(11):
            yield b"\0" * 1024 * 1024
        halfway.set()
        await seen.wait()
        for _ in range(12):
            yield b"\0" * 1024 * 1024

    path = created.headers["location"].removeprefix("/api/v1")
    chunk = {
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "Content-Length": str(length),
    }
    sending = asyncio.create_task(alice.api("PATCH", path, headers=chunk, content=body(), timeout=60))
    await halfway.wait()
    async with asyncio.timeout(20):
        while sum(found.stat().st_size for found in settings.data_dir.rglob("*.body")) < 8 * 1024 * 1024:
            await asyncio.sleep(0.05)
    assert not sending.done()
    seen.set()
    answer = await sending
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(length))
    assert (await alice.api("DELETE", path, headers=TUS)).status_code == 204


async def test_bodies_are_refused_in_words(people: Site) -> None:
    """A large body that nobody may send gets its answer, not a broken line; ordinary bodies stay small."""
    large = b"x" * 3_000_000
    answer = await people.anonymous.post(
        "/api/v1/posts", content=large, headers={"Content-Type": "multipart/form-data"}
    )
    assert answer.status_code == 401
    assert (await people.anonymous.post("/login", content=large)).status_code == 413


async def test_events_come_at_once(people: Site, settings: Settings) -> None:
    bob = await people.member("bob")
    async with asyncio.timeout(10), bob.browser.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line == ": welcome":  # It came although the stream goes on.
                break


def test_tls_is_modern_and_says_so(settings: Settings, static: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tls")
    with (
        serving(settings, STRV_PUBLIC_URL="https://localhost") as (web, _),
        running_nginx(folder, web, static=static, tls=True) as nginx,
    ):
        trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
        with httpx.Client(base_url=nginx.address, verify=trust) as client:
            for path in ("/explore", "/static/manifest.webmanifest"):
                answer = client.get(path)
                assert answer.status_code == 200
                assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"], path
        old = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(httpx.ConnectError), httpx.Client(base_url=nginx.address, verify=old) as client:
            client.get("/")
