"""One id from the page through the job to ffmpeg, in lines that hold whatever strangers send."""

from __future__ import annotations

import asyncio
import io
import math
import socket
import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import pytest
from sqlalchemy import select
from tests.front_door import serving
from tests.watching.processes import lines_of, working

from strvsocial.db import Database
from strvsocial.jobs import Job
from strvsocial.settings import Settings

PASSWORD = "three geese over water"
HOSTILE = '\r\n{"event":"forged"}\x1b[2J\x1b]0;owned\x07\u2028'


class Watched(NamedTuple):
    address: str
    web: Path
    worker: Path


@pytest.fixture(scope="module")
def watched(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("logs")
    web, worker = folder / "web.log", folder / "worker.log"
    with (
        web.open("wb") as log,
        serving(settings, log=log, STRV_LOG_FORMAT="json") as (address, _),
        working("worker", worker),
    ):
        yield Watched(address, web, worker)


def tone() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(b"".join(struct.pack("<h", int(9_000 * math.sin(n / 5))) for n in range(8_000)))
    return file.getvalue()


async def sign_up(client: httpx.AsyncClient, name: str) -> str:
    who = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    assert (await client.post("/api/v1/accounts", json=who)).status_code == 201
    answer = await client.post("/api/v1/tokens", json={"email": who["email"], "password": PASSWORD})
    return str(answer.json()["token"])


async def until_ready(client: httpx.AsyncClient, post_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            post: dict[str, Any] = (await client.get(f"/api/v1/posts/{post_id}")).json()
            if post["status"] != "processing":
                return post
            await asyncio.sleep(0.1)


async def test_one_id_from_the_page_to_ffmpeg(watched: Watched, database: Database, settings: Settings) -> None:
    request_id = "from-the-page.0001"
    async with httpx.AsyncClient(base_url=watched.address, timeout=30) as client:
        token = await sign_up(client, "iris")
        client.headers["authorization"] = f"Bearer {token}"
        sent = await client.post(
            "/api/v1/posts",
            data={"title": "A tone"},
            files={"file": (f"a{HOSTILE}.wav", tone(), "audio/wav")},
            headers={"x-request-id": request_id},
        )
        assert (sent.status_code, sent.headers["x-request-id"]) == (201, request_id)
        assert (await until_ready(client, sent.json()["id"]))["status"] == "ready"

    page = [line for line in lines_of(watched.web) if line.get("request_id") == request_id]
    assert [(line["event"], line["route"], line["status"]) for line in page] == [
        ("request.answered", "/api/v1/posts", 201)
    ]
    async with asyncio.timeout(10):  # The post is ready a moment before its job has ended.
        while not any(line["event"] == "job.ended" for line in lines_of(watched.worker)):
            await asyncio.sleep(0.05)
    work = [line for line in lines_of(watched.worker) if line.get("request_id") == request_id]
    (job,) = [line for line in work if line["event"] == "job.ended"]
    assert (job["kind"], job["outcome"], job["process"]) == ("content.process_attachment", "done", "worker")
    decoders = {line["program"]: line for line in work if line["event"] == "decoder.ended"}
    assert {"ffmpeg", "probe"} <= decoders.keys()
    assert decoders["ffmpeg"]["job"] == job["job"]
    assert decoders["ffmpeg"]["exit"] == 0
    assert 1_000_000 < decoders["ffmpeg"]["peak"] < 4 << 30
    async with database.read() as reader:
        followed = await reader.scalars(select(Job.request_id).where(Job.kind == "content.embed_post"))
        assert followed.all() == [request_id]

    secrets = {token, PASSWORD, "iris@example.com", urlsplit(settings.database_url).password}
    for log in (watched.web, watched.worker):
        assert not [secret for secret in secrets if secret and secret in log.read_text()]


async def test_what_strangers_send_stays_in_its_line(watched: Watched) -> None:
    async with httpx.AsyncClient(base_url=watched.address) as client:
        await client.get("/nobody/" + quote(HOSTILE))
        unfit = await client.get("/explore?q=secret-question", headers={"x-request-id": "x" * 65})
        assert unfit.headers["x-request-id"] != "x" * 65
    port = urlsplit(watched.address).port
    for header in (b"user-agent: a\rb\x1b[2J", b"x-request-id: 12345678\x1b[2J", b"cookie: \xff\xfe\x00"):
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(
                b"GET /no/%0d%0a%1b%5b2J%e2%80%a8 HTTP/1.1\r\nhost: a\r\n" + header + b"\r\nconnection: close\r\n\r\n"
            )
            while raw.recv(65_536):
                pass
    lines = lines_of(watched.web)
    assert not [line for line in lines if line["event"] == "forged"]
    assert any('{"event":"forged"}' in line.get("path", "") for line in lines)
    written = watched.web.read_bytes()
    for part in (b"\x1b", b"\r", b"\x07", b"\xe2\x80\xa8", b"secret-question"):
        assert part not in written


async def test_the_log_is_sparing(watched: Watched) -> None:
    """A page with its assets and probes around it: one line."""
    before = len(lines_of(watched.web))
    async with httpx.AsyncClient(base_url=watched.address) as client:
        for path in ("/livez", "/readyz", "/metrics", "/static/avatar.svg", "/explore"):
            await client.get(path)
    news = lines_of(watched.web)[before:]
    assert [line["path"] for line in news if line["event"] == "request.answered"] == ["/explore"]
