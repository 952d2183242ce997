"""Two hundred senders at a kilobyte a second, forms and files: they cost nobody else anything."""

from __future__ import annotations

import asyncio
import re
import time

import httpx
from tests.front_door import Member, Site, serving
from tests.media_uploads.tus import create

from strvsocial.settings import Settings

EACH, PEOPLE = 100, 4
HEAD = b"\x00\x00\x00\x18ftypmp42"


def _form(member: Member) -> bytes:
    lines = [
        "POST /api/v1/posts HTTP/1.1", "Host: x", f"Authorization: Bearer {member.token}", "Content-Length: 500000",
        "Content-Type: multipart/form-data; boundary=b",
    ]  # fmt: skip
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + HEAD
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + part


def _patch(member: Member, upload: str) -> bytes:
    lines = [
        f"PATCH /api/v1/uploads/{upload} HTTP/1.1", "Host: x", f"Authorization: Bearer {member.token}",
        "Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Length: 500000",
        "Content-Type: application/offset+octet-stream",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + HEAD


async def _drip(address: str, beginning: bytes) -> None:
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(beginning)
    try:
        while True:
            await asyncio.sleep(1)
            writer.write(bytes(1000))
            await writer.drain()
    finally:
        writer.close()


async def test_slow_senders_hold_no_connection_to_the_database(site: Site, settings: Settings) -> None:
    people = [await site.member("sender") for _ in range(PEOPLE)]
    owners = [member for member in people for _ in range(EACH // PEOPLE)]
    uploads = await asyncio.gather(*(create(member, 500_000) for member in owners))
    with serving(settings, STRV_MAX_REQUESTS="32") as (address, _):
        beginnings = [_patch(member, upload) for member, upload in zip(owners, uploads, strict=True)]
        beginnings += [_form(member) for member in owners]
        slow = [asyncio.create_task(_drip(address, beginning)) for beginning in beginnings]
        await asyncio.sleep(4)
        used, times = [], []
        async with httpx.AsyncClient(base_url=address, timeout=10) as client:
            for _ in range(20):
                figures = (await client.get("/metrics")).text
                used.append(int(float(re.findall(r'connections\{state="in_use"\} ([\d.]+)', figures)[0])))
                began = time.monotonic()
                assert (await client.get("/")).status_code == 200
                times.append(time.monotonic() - began)
                await asyncio.sleep(0.1)
        assert [task for task in slow if task.done()] == []
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    assert sorted(used)[len(used) * 9 // 10] <= 2, used
    assert sorted(times)[len(times) * 9 // 10] < 1, "a third of it on a machine with nothing else to do"
