"""One suite for both kinds of storage: local files, and a real S3 server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from tests.s3 import S3Server

from strvsocial.errors import NotFound, Unavailable
from strvsocial.settings import Settings
from strvsocial.storage import Storage, open_storage

PART = 5 * 1024 * 1024
"""The smallest part that S3 takes when another follows."""


@pytest_asyncio.fixture(params=["files", "s3"], scope="module")
async def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
    settings = Settings(STRV_DATA_DIR=tmp_path_factory.mktemp("storage"), STRV_UPLOAD_PART_BYTES=PART)
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        settings = settings.model_copy(update=server.settings("suite"))
    async with open_storage(settings) as opened:
        yield opened


def new_key(prefix: str = "media") -> str:
    return f"{prefix}/{secrets.token_hex(8)}/w640.webp"


async def content(storage: Storage, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in storage.read(key, start, end)])


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_an_object_comes_back_as_it_was_put(storage: Storage, size: int) -> None:
    key, data = new_key(), secrets.token_bytes(size)
    await storage.put(key, data, "image/webp")
    assert await content(storage, key) == data
    found = await storage.stat(key)
    assert found is not None
    assert (found.key, found.byte_size) == (key, size)
    assert found.etag


async def test_putting_again_replaces_the_whole_object(storage: Storage) -> None:
    key = new_key()
    await storage.put(key, b"a longer first text", "text/plain")
    first = await storage.stat(key)
    await storage.put(key, b"second", "text/plain")
    second = await storage.stat(key)
    assert await content(storage, key) == b"second"
    assert first
    assert second
    assert first.etag != second.etag


@pytest.mark.parametrize(("start", "end"), [(0, 10), (5, 6), (999_990, None), (262_140, 262_150), (0, None), (7, 7)])
async def test_a_range_is_read_exactly(storage: Storage, start: int, end: int | None) -> None:
    key, data = new_key(), secrets.token_bytes(1_000_000)
    await storage.put(key, data, "video/mp4")
    assert await content(storage, key, start, end) == data[start:end]


async def test_pieces_are_small(storage: Storage) -> None:
    key = new_key()
    await storage.put(key, bytes(1_000_000), "video/mp4")
    assert max([len(piece) async for piece in storage.read(key)]) <= 256 * 1024


async def test_a_missing_key_is_not_found(storage: Storage, tmp_path: Path) -> None:
    key = new_key()
    assert await storage.stat(key) is None
    with pytest.raises(NotFound):
        await content(storage, key)
    with pytest.raises(NotFound):
        await storage.get_file(key, tmp_path / "copy")
    await storage.delete([key])


async def test_files_go_in_and_out(storage: Storage, tmp_path: Path) -> None:
    key, source, target = new_key(), tmp_path / "in", tmp_path / "out"
    source.write_bytes(secrets.token_bytes(40_000_000))
    await storage.put_file(key, source, "video/mp4")
    await storage.get_file(key, target)
    assert target.read_bytes() == source.read_bytes()


async def test_deleting_takes_away_many_at_once(storage: Storage) -> None:
    keys = [new_key("work") for _ in range(30)]
    for key in keys:
        await storage.put(key, b"x", "text/plain")
    await storage.delete(keys[:29])
    assert [await storage.stat(key) is None for key in keys] == [True] * 29 + [False]
    await storage.delete([])


async def test_a_listing_has_what_lies_under_the_prefix(storage: Storage) -> None:
    prefix = f"originals/{secrets.token_hex(4)}"
    inside = sorted(f"{prefix}{n:04}" for n in range(620 if "File" in type(storage).__name__ else 12))
    for key in [*inside, new_key()]:
        await storage.put(key, b"12345", "text/plain")
    found = [item async for item in storage.list(prefix)]
    assert sorted(item.key for item in found) == inside
    assert {item.byte_size for item in found} == {5}
    assert [item async for item in storage.list(prefix + "-nothing")] == []


async def test_parts_make_one_object_in_the_order_of_their_numbers(storage: Storage) -> None:
    key, parts = new_key("originals"), [secrets.token_bytes(PART), secrets.token_bytes(PART), b"the rest"]
    multipart_id = await storage.start_multipart(key, "video/mp4")
    etags = dict.fromkeys(range(1, 4), "")
    for number in (3, 1, 2):
        etags[number] = await storage.put_part(key, multipart_id, number, bytearray(parts[number - 1]))
    assert await storage.stat(key) is None
    await storage.complete_multipart(key, multipart_id, [etags[1], etags[2], etags[3]])
    assert await content(storage, key) == b"".join(parts)
    assert multipart_id not in [item.multipart_id async for item in storage.list_multiparts()]


async def test_a_part_may_be_sent_again(storage: Storage) -> None:
    key, last = new_key("originals"), b"a shorter end"
    multipart_id = await storage.start_multipart(key, "video/mp4")
    first = await storage.put_part(key, multipart_id, 1, bytes(PART))
    await storage.put_part(key, multipart_id, 2, bytes(PART))
    second = await storage.put_part(key, multipart_id, 2, last)
    await storage.complete_multipart(key, multipart_id, [first, second])
    found = await storage.stat(key)
    assert found is not None
    assert found.byte_size == PART + len(last)
    assert await content(storage, key, PART) == last


async def test_an_aborted_multipart_leaves_nothing(storage: Storage) -> None:
    key = new_key("originals")
    multipart_id = await storage.start_multipart(key, "video/mp4")
    await storage.put_part(key, multipart_id, 1, bytes(PART))
    assert (key, multipart_id) in [(m.key, m.multipart_id) async for m in storage.list_multiparts()]
    await storage.abort_multipart(key, multipart_id)
    await storage.abort_multipart(key, multipart_id)
    assert multipart_id not in [item.multipart_id async for item in storage.list_multiparts()]
    assert await storage.stat(key) is None
    with pytest.raises(NotFound):
        await storage.put_part(key, multipart_id, 2, b"late")


@pytest.mark.parametrize(
    "key",
    ["../x", "/etc/passwd", "a/../b", "a//b", "", "a/", ".hidden", "a/.b", "a\x00b", "a\nb", "ä", "x" * 201, "a\\b"],
)
async def test_a_key_that_leads_elsewhere_is_refused(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.put(key, b"x", "text/plain")
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.stat(key)


async def test_local_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    key, data = new_key(), [bytes([n]) * 2_000_000 for n in range(2)]
    async with open_storage(Settings(STRV_DATA_DIR=tmp_path)) as storage:
        await storage.put(key, data[0], "image/webp")

        async def replace() -> None:
            for n in range(20):
                await storage.put(key, data[n % 2], "image/webp")

        replacing = asyncio.create_task(replace())
        seen = []
        while not replacing.done():
            seen.append(await content(storage, key))
        assert all(one in data for one in seen)
        assert not list((tmp_path / "media" / "incoming").iterdir())


async def test_what_was_being_written_when_a_process_died_goes_with_the_sweep(tmp_path: Path) -> None:
    async with open_storage(Settings(STRV_DATA_DIR=tmp_path)) as storage:
        incoming = tmp_path / "media" / "incoming"
        (incoming / "interrupted").write_bytes(b"half of")
        now = datetime.now(UTC)
        await storage.forget_interrupted(now - timedelta(hours=1))
        assert len(list(incoming.iterdir())) == 1
        await storage.forget_interrupted(now + timedelta(seconds=5))
        assert not list(incoming.iterdir())


async def test_a_server_that_is_away_is_unavailable_and_lets_the_site_start(tmp_path: Path) -> None:
    settings = Settings(
        STRV_DATA_DIR=tmp_path,
        STRV_S3_BUCKET="away",
        STRV_S3_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_ACCESS_KEY_ID="k",
        AWS_SECRET_ACCESS_KEY="s",
    )
    async with open_storage(settings) as storage:
        with pytest.raises(Unavailable):
            await storage.stat(new_key())


async def test_a_wrong_secret_is_unavailable_not_missing(s3_server: S3Server) -> None:
    server = s3_server._replace(secret_access_key="wrong")
    async with open_storage(Settings().model_copy(update=server.settings("suite"))) as storage:
        with pytest.raises(Unavailable):
            await storage.put(new_key(), b"x", "text/plain")
