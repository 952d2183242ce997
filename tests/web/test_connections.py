"""What a web process does with clients that only hold connections, without any proxy in front of it."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from tests.front_door import serving

from strvsocial.settings import Settings

MOST = 40


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    with serving(settings, STRV_MAX_CONNECTIONS=str(MOST)) as (address, _):
        yield address


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = address.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def _answer(reader: asyncio.StreamReader, seconds: float) -> bytes:
    async with asyncio.timeout(seconds):
        return await reader.read()


async def test_a_head_that_does_not_come_ends_the_connection_within_ten_seconds(address: str) -> None:
    began = time.monotonic()
    silent, dripping, later = [await _connect(address) for _ in range(3)]
    later[1].write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await later[0].readuntil(b"ok")
    later[1].write(b"GET /livez HTTP/1.1\r\n")  # Its second request stays unfinished.

    async def drip() -> None:
        for n in range(100):
            dripping[1].write(f"GET / HTTP/1.1\r\nX-{n}: y\r\n".encode() if n == 0 else f"X-{n}: y\r\n".encode())
            await asyncio.sleep(0.5)

    task = asyncio.create_task(drip())
    answers = await asyncio.gather(*(_answer(reader, 14) for reader, _ in (silent, dripping, later)))
    task.cancel()
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 408"] * 3
    assert 9 < time.monotonic() - began < 13


async def test_a_head_of_a_megabyte_is_refused_early(address: str) -> None:
    reader, writer = await _connect(address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
    sent = 0
    try:
        while sent < 1_000_000:
            writer.write(b"y" * 10_000)
            await writer.drain()
            await asyncio.sleep(0)
            sent += 10_000
    except ConnectionError:
        pass
    else:
        with suppress(ConnectionResetError):
            assert (await _answer(reader, 5)).startswith(b"HTTP/1.1 431")
    async with httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/login")).status_code == 200


async def test_connections_beyond_the_most_are_refused_and_the_others_served(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=5) as client:
        assert (await client.get("/livez")).status_code == 200  # Its connection is kept.
        held = [await _connect(address) for _ in range(MOST - 1)]
        refused = [await _connect(address) for _ in range(5)]
        answers = await asyncio.gather(*(_answer(reader, 3) for reader, _ in refused))
        assert all(answer.startswith(b"HTTP/1.1 503") and b"Retry-After: 5" in answer for answer in answers)
        assert (await client.get("/livez")).status_code == 200
        for _, writer in [*held, *refused]:
            writer.close()
        await asyncio.sleep(0.2)
    async with httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/login")).status_code == 200


async def test_few_file_descriptors_are_no_end(settings: Settings) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # A child inherits it.
    try:
        serving_few = serving(settings)
        few, process = serving_few.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        held = [await _connect(few) for _ in range(300)]
        await asyncio.sleep(0.3)
        for _, writer in held[150:]:
            writer.close()
        async with httpx.AsyncClient(base_url=few, timeout=15) as client:
            statuses = {(await client.get("/explore")).status_code for _ in range(5)}
        assert statuses <= {200, 503}
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.3)
        async with httpx.AsyncClient(base_url=few, timeout=15) as client:
            assert (await client.get("/explore")).status_code == 200
        assert process.poll() is None
    finally:
        serving_few.__exit__(None, None, None)
