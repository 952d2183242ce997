"""A picture is taken, made square under a random name, and replaces the old one."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from sqlalchemy import text
from tests.front_door import Member, Site

from strvsocial.db import Database
from strvsocial.lanes import Lane
from strvsocial.settings import Settings
from strvsocial.storage import open_storage
from strvsocial.users.jobs import HANDLERS
from strvsocial.worker import Context


@pytest_asyncio.fixture
async def lane(settings: Settings, database: Database) -> AsyncIterator[Lane]:
    """A worker's lane that makes avatars."""
    async with open_storage(settings) as storage:
        lane = Lane("quick", 2, Context(settings, database, storage), database, HANDLERS)
        lane.start()
        yield lane
        await lane.aclose()


def _picture(kind: str = "PNG", color: str = "teal", size: tuple[int, int] = (300, 200)) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, color).save(made, kind)
    return made.getvalue()


async def _send(member: Member, data: bytes, name: str = "me.png") -> httpx.Response:
    return await member.api("PUT", "/me/avatar", files={"file": (name, data)})


async def _settled(database: Database, lane: Lane) -> None:
    waiting = text("select count(*) from jobs where kind = 'users.process_avatar' and state in ('queued', 'running')")
    async with asyncio.timeout(60):
        while True:
            lane.ring()
            async with database.read() as reader:
                if not await reader.scalar(waiting):
                    return
            await asyncio.sleep(0.05)


async def _avatar(member: Member) -> str:
    return str((await member.api("GET", "/me")).json()["avatar_url"])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_picture_becomes_ones_own(site: Site, database: Database, lane: Lane, kind: str) -> None:
    alice = await site.member("alice")
    sent = await _send(alice, _picture(kind))
    assert sent.status_code == 200
    assert sent.json()["avatar_url"] == "/static/avatar.svg"
    await _settled(database, lane)
    url = await _avatar(alice)
    assert url.startswith("/media/avatars/")
    assert alice.public_id not in url
    async with open_storage(site.settings) as storage:
        made = b"".join([piece async for piece in storage.read(url.removeprefix("/media/"))])
    assert Image.open(io.BytesIO(made)).size == (256, 256)
    assert (await alice.api("DELETE", "/me/avatar")).status_code == 204
    assert await _avatar(alice) == "/static/avatar.svg"


async def test_of_two_pictures_the_later_one_stays(site: Site, database: Database, lane: Lane) -> None:
    alice = await site.member("alice")
    await _send(alice, _picture(color="red", size=(4000, 4000)))
    await _send(alice, _picture(color="blue", size=(10, 10)))
    await _settled(database, lane)
    async with open_storage(site.settings) as storage:
        made = b"".join([piece async for piece in storage.read((await _avatar(alice)).removeprefix("/media/"))])
    red, _, blue = Image.open(io.BytesIO(made)).convert("RGB").getpixel((128, 128))  # type: ignore[misc]
    assert blue > 200 > 50 > red


async def test_what_is_no_picture_is_refused_and_leaves_nothing(site: Site) -> None:
    alice = await site.member("alice")
    for data, status in (
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", 415),
        (b"<html>", 415),
        (b"ID3\x03\x00" + b"\0" * 3000, 415),
        (b"", 422),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (site.settings.max_avatar_bytes + 1), 413),
    ):
        answer = await _send(alice, data)
        assert answer.status_code == status, (status, answer.text)
    assert (await alice.api("PUT", "/me/avatar", json={})).status_code == 415
    none = await alice.api("PUT", "/me/avatar", files={"other": (None, "x")})
    assert (none.status_code, set(none.json()["error"]["fields"])) == (422, {"other"})
    async with site.client() as nobody:
        answer = await nobody.put("/api/v1/me/avatar", files={"file": ("me.png", _picture())})
    assert answer.status_code == 401


async def test_a_bomb_or_a_torn_file_leaves_the_old_picture(site: Site, database: Database, lane: Lane) -> None:
    alice = await site.member("alice")
    await _send(alice, _picture())
    await _settled(database, lane)
    before = await _avatar(alice)
    for data in (_bomb(), _picture()[:60]):
        assert (await _send(alice, data)).status_code in (200, 415, 422)
        await _settled(database, lane)
        assert await _avatar(alice) == before
    dead = text("select count(*) from jobs where kind = 'users.process_avatar' and state = 'dead'")
    async with database.read() as reader:
        assert await reader.scalar(dead) == 0


def _bomb() -> bytes:
    """A PNG that claims 40,000 by 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
