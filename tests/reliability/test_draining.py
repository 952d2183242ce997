"""SIGTERM to a web process with 200 open streams and 20 requests in flight: nothing fails, and it ends in time."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from tests.front_door import Member, Site, serving
from tests.media_uploads.test_serving import make_film
from tests.media_uploads.tus import CHUNK, create, offset_of, send

from strvsocial.db import plain_url
from strvsocial.settings import Settings

pytestmark = pytest.mark.timeout(120)

STREAMS_EACH, PEOPLE = 20, 10
FILM = secrets.token_bytes(1_000_000) * 24
LOCKED_SECONDS = 0.3
"""How long before the signal the posts are locked, and after it: nobody waits for a lock for longer than 1.5 s."""


class Stream:
    """An open stream of news, read to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.text = ""

    async def until(self, words: str) -> None:
        async with asyncio.timeout(20):
            while words not in self.text:
                piece = await self.reader.read(4096)
                assert piece, f"the stream ended without {words!r}: {self.text}"
                self.text += piece.decode()

    async def until_the_end(self) -> str:
        async with asyncio.timeout(20):
            self.text += (await self.reader.read()).decode()
        return self.text


async def open_stream(address: str, member: Member, last: str = "") -> Stream:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    told = f"Last-Event-ID: {last}\r\n" if last else ""
    writer.write(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {member.token}\r\n{told}\r\n".encode())
    stream = Stream(reader, writer)
    await stream.until(": welcome")
    return stream


@asynccontextmanager
async def locked_posts(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(plain_url(settings.database_url))
    try:
        await connection.execute("begin; lock table posts in access exclusive mode")
        yield connection
    finally:
        await connection.close()


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """The exit code, and when it came."""
    return process.wait(20), time.monotonic()


async def download_slowly(client: httpx.AsyncClient, path: str) -> int:
    """The bytes that came of 24 MB, at some 10 MB a second."""
    got = 0
    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        async for piece in answer.aiter_raw(500_000):
            got += len(piece)
            await asyncio.sleep(0.05)
    return got


async def upload_slowly(
    client: httpx.AsyncClient, member: Member, upload: str, data: bytes, pause: float
) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 50_000):
            yield data[at : at + 50_000]
            await asyncio.sleep(pause)

    headers = {**CHUNK, "Upload-Offset": "0", "Authorization": f"Bearer {member.token}"}
    return await client.patch(f"/api/v1/uploads/{upload}", headers=headers, content=body())


async def test_nothing_fails_when_a_web_process_is_told_to_end(site: Site, settings: Settings) -> None:
    people = [await site.member("reader") for _ in range(PEOPLE)]
    alice = people[0]
    film = await make_film(site, "public")
    await site.app.state.storage.put(film.key, FILM, "video/mp4")
    async with site.database.transaction() as db:
        await db.execute(
            text("update renditions set byte_size = :size where key = :key"), {"size": len(FILM), "key": film.key}
        )
    short, endless = [await create(alice, 2_000_000) for _ in range(2)]
    data = b"\x00\x00\x00\x18ftypmp42" + secrets.token_bytes(1_999_988)
    with serving(settings, STRV_DRAIN_SECONDS="1", STRV_DATABASE_POOL_SIZE="24") as (address, process):
        async with AsyncExitStack() as stack:
            streams = [
                stream
                for member in people
                for stream in await asyncio.gather(*(open_stream(address, member) for _ in range(STREAMS_EACH)))
            ]
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=30))
            idle = await stack.enter_async_context(httpx.AsyncClient(base_url=address))
            token = {"Authorization": f"Bearer {alice.token}"}
            assert (await idle.get("/livez")).status_code == 200
            download = asyncio.create_task(download_slowly(client, film.url))
            sending = asyncio.create_task(upload_slowly(client, alice, short, data, 0.03))
            never = asyncio.create_task(upload_slowly(client, alice, endless, data, 0.5))
            locked = await stack.enter_async_context(locked_posts(settings))
            pages = [asyncio.create_task(client.get("/explore")) for _ in range(6)]
            pages += [asyncio.create_task(client.get("/api/v1/feeds/latest")) for _ in range(6)]
            posts = [
                asyncio.create_task(client.post("/api/v1/posts", json={"title": f"In flight {n}"}, headers=token))
                for n in range(5)
            ]
            await asyncio.sleep(LOCKED_SECONDS)
            assert not any(task.done() for task in [*pages, *posts])

            began = time.monotonic()
            process.terminate()
            exiting = asyncio.create_task(asyncio.to_thread(_wait, process))
            await asyncio.sleep(LOCKED_SECONDS)
            await locked.execute("rollback")
            ready = await idle.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (503, "draining")
            assert ready.headers["connection"] == "close"
            async with httpx.AsyncClient(base_url=address) as newcomer:
                assert (await newcomer.get("/login")).status_code == 200

            assert {answer.status_code for answer in await asyncio.gather(*pages)} == {200}
            assert {answer.status_code for answer in await asyncio.gather(*posts)} == {201}
            assert await download == len(FILM)
            assert (await sending).status_code == 204
            with suppress(httpx.TransportError):  # The answer may drown in what the client still sends.
                stopped = await never
                assert (stopped.status_code, stopped.json()["error"]["code"]) == (503, "restarting")
            ends = await asyncio.gather(*(stream.until_the_end() for stream in streams))
            hints = {end.rpartition("retry: ")[2].split("\n")[0] for end in ends}
            assert all(end.count("retry: ") == 2 for end in ends), "each is told when to come back"
            assert len(hints) > 100, "not all at the same moment"
            code, at = await exiting
            ended = at - began
            print(f"ended after {ended:.1f} s")
            assert ended < 10
            assert code in (0, -15)
    kept = await offset_of(alice, endless)
    assert 0 < kept < len(data)
    assert (await send(alice, endless, kept, data[kept:])).status_code == 204
    async with site.database.read() as reader:
        titles = list(await reader.scalars(text("select title from posts where title like 'In flight%'")))
    assert sorted(titles) == [f"In flight {n}" for n in range(5)]
