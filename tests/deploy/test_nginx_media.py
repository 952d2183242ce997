"""Media that nginx sends in the web process's stead: really by nginx, and only what the web process has allowed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from tests.deploy.recorder import Recorder
from tests.front_door import Site, running_site, serving
from tests.nginx import Nginx, media_of, running_nginx

from strvsocial.ids import new_id
from strvsocial.settings import Settings
from strvsocial.storage import open_storage

DATA = secrets.token_bytes(400_000)


@dataclass
class Front:
    """nginx, the web process behind it, and the key of a picture that everybody may see."""

    nginx: Nginx
    web: str
    site: Site
    name: str

    @property
    def path(self) -> str:
        return f"/media/avatars/{self.name}"


@pytest_asyncio.fixture(params=["files", "s3"], scope="module")
async def front(
    request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Front]:
    server = request.getfixturevalue("s3_server") if request.param == "s3" else None
    changed = settings.model_copy(update={"media_accel": "nginx", **(server.settings("accel") if server else {})})
    folder, name = tmp_path_factory.mktemp("nginx"), f"{new_id()}.webp"
    async with running_site(changed) as site:
        await site.app.state.storage.put(f"avatars/{name}", DATA, "image/webp")
        with serving(changed) as (web, _), running_nginx(folder, web, more=media_of(changed)) as nginx:
            yield Front(nginx, web, site, name)


def upstreams_of(front: Front, request_id: str) -> list[str]:
    told = front.nginx.find_logged(request_id)["upstream"]
    return [part.strip() for part in str(told).split(":  ")[0].replace(" : ", ",").split(",")]


def test_the_bytes_come_from_nginx(front: Front) -> None:
    direct = httpx.get(front.web + front.path)
    assert (direct.status_code, direct.content) == (200, b"")
    assert direct.headers["x-accel-redirect"].startswith("/-/media/")
    through = httpx.get(front.nginx.address + front.path, headers={"X-Request-ID": "bytes-by-nginx"})
    assert (through.status_code, through.content == DATA) == (200, True)
    assert not {"x-accel-redirect", "x-strv-range", "last-modified"} & set(through.headers)
    asked = upstreams_of(front, "bytes-by-nginx")
    assert asked.count(front.web.removeprefix("http://")) == 1, "the web process had to send the bytes itself"
    assert len(asked) == (2 if front.site.settings.s3_bucket else 1)


def test_the_place_of_the_bytes_cannot_be_asked_for(front: Front) -> None:
    told = httpx.get(front.web + front.path).headers["x-accel-redirect"]
    for place in (told, "/-/media/files/../../../../etc/passwd", "/-/media/bucket/", "/-/media/files/"):
        answer = httpx.get(front.nginx.address + place)
        assert (answer.status_code, DATA in answer.content) == (404, False), place


def test_headers_of_the_visitor_change_nothing(front: Front) -> None:
    etag = httpx.get(front.nginx.address + front.path).headers["etag"]
    sent = {"X-Accel-Redirect": "/-/media/files/x", "X-Strv-Range": "bytes=0-1", "X-Strv-Accel": "off"}
    answer = httpx.get(front.nginx.address + front.path, headers={**sent, "X-Request-ID": "with-odd-headers"})
    assert answer.content == DATA
    assert upstreams_of(front, "with-odd-headers").count(front.web.removeprefix("http://")) == 1
    asked = {"If-Modified-Since": "Sat, 01 Jan 2100 00:00:00 GMT", "If-Range": etag, "Range": "bytes=10-19"}
    assert httpx.get(front.nginx.address + front.path, headers=asked).content == DATA[10:20]
    for condition in ({"If-Match": etag}, {"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}):
        assert httpx.get(front.nginx.address + front.path, headers=condition).content == DATA


def test_several_ranges_are_answered_as_the_web_process_does(front: Front) -> None:
    answer = httpx.get(front.nginx.address + front.path, headers={"Range": "bytes=0-9,20-29"})
    assert (answer.status_code, answer.content == DATA) == (200, True)


async def test_what_is_lost_is_told_by_the_web_process(front: Front) -> None:
    lost = f"avatars/{new_id()}.webp"
    await front.site.app.state.storage.put(lost, DATA, "image/webp")
    async with httpx.AsyncClient(base_url=front.nginx.address) as client:
        assert (await client.get(f"/media/{lost}")).status_code == 200
        await front.site.app.state.storage.delete([lost])
        answer = await client.get(f"/media/{lost}", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    names = [name for name, _ in answer.headers.multi_items()]
    assert sorted(names) == sorted(set(names)), "two answers were mixed"


async def test_a_bucket_that_is_down_is_503(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The web process signs without asking anybody; nginx finds nobody there, and the web process says so."""
    from tests.s3 import S3Server

    nobody = S3Server("http://127.0.0.1:9", "key", "secret").settings("gone")
    changed = settings.model_copy(update={"media_accel": "nginx", **nobody})
    async with open_storage(changed) as storage:
        address = await storage.internal_address("avatars/abcdefgh.webp")
    hostile = Recorder({"X-Accel-Redirect": address})
    async with hostile.listening() as web:
        with running_nginx(tmp_path_factory.mktemp("nginx"), web, more=media_of(changed)) as nginx:
            async with httpx.AsyncClient() as client:
                await client.get(f"{nginx.address}/media/avatars/abcdefgh.webp?v=1")
    asked = [(request.path, request.headers.get("x-strv-accel")) for request in hostile.requests]
    assert asked == [("/media/avatars/abcdefgh.webp?v=1", accel) for accel in (None, "off")]


@pytest.mark.parametrize(
    "place", ["//evil.example/x", "/@evil.example/x", "/../other/key", "/%2e%2e/other/key", "/a b"]
)
async def test_nginx_asks_no_other_place_than_the_bucket(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, place: str
) -> None:
    """Even where somebody could make the web process say something else."""
    bucket = Recorder({})
    async with (
        bucket.listening() as address,
        Recorder({"X-Accel-Redirect": f"/-/media/bucket{place}"}).listening() as web,
    ):
        server = {"s3_bucket": "ours", "s3_endpoint_url": address}
        more = media_of(settings.model_copy(update=server))
        with running_nginx(tmp_path_factory.mktemp("nginx"), web, more=more) as nginx:
            async with asyncio.timeout(20), httpx.AsyncClient() as client:
                await client.get(f"{nginx.address}/media/avatars/abcdefgh.webp", headers={"Cookie": "secret=1"})
    assert all(request.path.startswith("/ours/") for request in bucket.requests)
    assert all(request.headers["host"] == address.removeprefix("http://") for request in bucket.requests)
    assert not any("cookie" in request.headers for request in bucket.requests)
