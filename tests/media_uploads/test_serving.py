"""Bytes through the front door: to whom, which of them, and with which headers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site, running_site, serving
from tests.nginx import media_of, running_nginx
from tests.s3 import S3Server

from strvsocial.content.models import Post
from strvsocial.ids import new_id
from strvsocial.media.models import Attachment, Rendition
from strvsocial.settings import Settings

DATA = secrets.token_bytes(700_000)


@pytest_asyncio.fixture(params=["files", "s3", "nginx and files", "nginx and s3"], scope="module")
async def site(
    request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """The same promises hold of the web process alone, and of the nginx that sends the bytes in its stead."""
    server: S3Server | None = request.getfixturevalue("s3_server") if "s3" in request.param else None
    accel = "nginx" if "nginx" in request.param else "off"
    changed = settings.model_copy(update={"media_accel": accel, **(server.settings("served") if server else {})})
    async with running_site(changed) as site:
        if accel == "off":
            yield site
            return
        with (
            serving(changed) as (web, _),
            running_nginx(tmp_path_factory.mktemp("nginx"), web, more=media_of(changed)) as nginx,
        ):
            site.address = nginx.address
            yield site


class Film(NamedTuple):
    """A post with a film in it, and where its parts are served."""

    author: Member
    post_id: int
    folder: str
    key: str

    @property
    def url(self) -> str:
        return f"{self.folder}/play.mp4"


async def make_film(site: Site, visibility: str) -> Film:
    author = await site.member("author")
    public_id, now = new_id(), datetime.now(UTC)
    async with site.database.transaction() as db:
        post = Post(
            public_id=new_id(),
            author_id=author.id,
            title="A film",
            media_type="video",
            status="ready",
            visibility=visibility,
            created_at=now,
            updated_at=now,
        )
        db.add(post)
        await db.flush()
        attachment = Attachment(
            public_id=public_id,
            post_id=post.id,
            kind="video",
            status="ready",
            source_key=f"originals/{new_id()}",
            source_mime="video/mp4",
            byte_size=5,
            sha256=bytes(32),
        )
        db.add(attachment)
        await db.flush()
        for name, role, mime in (
            ("play.mp4", "playback", "video/mp4"),
            ("poster.webp", "poster", "image/webp"),
            ("pcm", "pcm", "application/octet-stream"),
            ("frames", "frames", "application/octet-stream"),
        ):
            key = f"media/{public_id}/{name}"
            db.add(
                Rendition(attachment_id=attachment.id, name=name, role=role, key=key, mime=mime, byte_size=len(DATA))
            )
            await site.app.state.storage.put(key, DATA, mime)
    return Film(author, post.id, f"/media/{public_id}", f"media/{public_id}/play.mp4")


@pytest_asyncio.fixture
async def film(site: Site) -> Film:
    return await make_film(site, "public")


async def fetch(site: Site, url: str, **headers: str) -> httpx.Response:
    return await site.anonymous.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_a_film_is_sent_whole_with_its_headers(site: Site, film: Film) -> None:
    answer = await fetch(site, film.url)
    assert (answer.status_code, answer.content == DATA) == (200, True)
    expected = {
        "content-type": "video/mp4",
        "content-length": str(len(DATA)),
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=86400, immutable",
        "content-disposition": 'inline; filename="play.mp4"',
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
    }
    assert {name: answer.headers[name] for name in expected} == expected
    assert answer.headers["etag"].startswith('"')


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-", 0, None),
        ("bytes=100-199", 100, 200),
        ("bytes=-500", -500, None),
        ("bytes=262140-262150", 262140, 262151),
    ],
)
async def test_a_range_is_sent_exactly(site: Site, film: Film, wanted: str, start: int, end: int | None) -> None:
    answer = await fetch(site, film.url, range=wanted)
    assert (answer.status_code, answer.content == DATA[start:end]) == (206, True)
    first = start % len(DATA)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(DATA)}"
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_a_range_behind_the_end_is_416(site: Site, film: Film) -> None:
    answer = await fetch(site, film.url, range=f"bytes={len(DATA)}-")
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


async def test_what_the_client_has_is_not_sent_again(site: Site, film: Film) -> None:
    etag = (await fetch(site, film.url)).headers["etag"]
    answer = await fetch(site, film.url, if_none_match=etag)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await fetch(site, film.url, if_none_match='"other"')).status_code == 200
    assert (await fetch(site, film.url, range="bytes=0-9", if_range=etag)).status_code == 206
    assert (await fetch(site, film.url, range="bytes=0-9", if_range='"other"')).status_code == 200


async def test_head_tells_the_same_without_the_bytes(site: Site, film: Film) -> None:
    whole = await fetch(site, film.url)
    answer = await site.anonymous.head(film.url, headers={"Range": "bytes=0-5"})
    assert (answer.status_code, answer.content) == (200, b"")
    ignored = {"x-request-id", "date"}
    assert {k: v for k, v in answer.headers.items() if k not in ignored} == {
        k: v for k, v in whole.headers.items() if k not in ignored
    }


@pytest.mark.parametrize("visibility", ["public", "followers", "private"])
async def test_bytes_are_seen_by_whom_the_post_is_seen(site: Site, visibility: str) -> None:
    film = await make_film(site, visibility)
    follower, stranger = await site.member("follower"), await site.member("stranger")
    assert (await follower.api("PUT", f"/users/{film.author.username}/follow")).status_code == 204
    seen = {
        "public": {"author", "follower", "stranger", "nobody"},
        "followers": {"author", "follower"},
        "private": {"author"},
    }[visibility]
    people = {"author": film.author, "follower": follower, "stranger": stranger}
    missing = await site.anonymous.get(f"/media/{new_id()}/play.mp4", headers={"Accept": "application/json"})
    for name in ("author", "follower", "stranger", "nobody"):
        clients = [people[name].client, people[name].browser] if name in people else [site.anonymous]
        for client in clients:
            for method in ("GET", "HEAD"):
                for headers in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
                    answer = await client.request(method, film.url, headers={"Accept": "application/json", **headers})
                    assert (answer.status_code < 400) is (name in seen), (name, method, headers)
                    if name not in seen:
                        assert answer.status_code == 404
                        assert answer.content in (missing.content, b"")
                        assert "etag" not in answer.headers


async def test_originals_and_raw_material_are_never_served(site: Site, film: Film) -> None:
    for name in ("pcm", "frames", "original", "..%2fpcm", "play.mp4%00", "%2e%2e"):
        answer = await film.author.client.get(f"{film.folder}/{name}")
        assert answer.status_code == (400 if site.address and "%00" in name else 404), name  # nginx takes no NUL.
    assert (await film.author.client.get(f"/{film.key.replace('media', 'originals')}")).status_code == 404
    assert (await film.author.client.get("/media/avatars/..%2f..%2fx.webp")).status_code == 404


async def test_lost_bytes_are_not_found_instead_of_half_an_answer(site: Site, film: Film) -> None:
    await site.app.state.storage.delete([film.key])
    assert (await fetch(site, film.url)).status_code == 404
    assert (await fetch(site, f"{film.folder}/poster.webp")).status_code == 200


async def test_a_suspended_authors_bytes_are_gone(site: Site, film: Film) -> None:
    async with site.database.transaction() as db:
        await db.execute(text("update users set suspended_at = now() where id = :id"), {"id": film.author.id})
    assert (await fetch(site, film.url)).status_code == 404


async def test_pictures_of_people_are_public(site: Site) -> None:
    name = f"{new_id()}.webp"
    await site.app.state.storage.put(f"avatars/{name}", b"RIFF....WEBP", "image/webp")
    answer = await fetch(site, f"/media/avatars/{name}")
    assert (answer.status_code, answer.content) == (200, b"RIFF....WEBP")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "image/webp"
    assert (await fetch(site, f"/media/avatars/{name}", if_none_match=answer.headers["etag"])).status_code == 304
    assert (await fetch(site, f"/media/avatars/{new_id()}.webp")).status_code == 404
