"""Resumable uploads through the front door, on either kind of storage."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.front_door import Member, Site, running_site
from tests.media_uploads.conftest import JPEG_HEAD, MP4_HEAD, PART
from tests.media_uploads.tus import CHUNK, TUS, Sending, create, offset_of, send
from tests.s3 import S3Server

from strvsocial.errors import BadInput
from strvsocial.media import uploads
from strvsocial.media.incoming import StoredFile
from strvsocial.media.uploads import Bookkeeping, claim_uploads
from strvsocial.settings import Settings
from strvsocial.storage import Storage


def film(size: int) -> bytes:
    return MP4_HEAD + secrets.token_bytes(size - len(MP4_HEAD))


@pytest_asyncio.fixture(params=["files", "s3"], scope="module")
async def site(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Site]:
    changed: dict[str, Any] = {"upload_part_bytes": PART, "upload_part_slots": 6}
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        changed |= server.settings("tus")
    async with running_site(settings.model_copy(update=changed)) as site:
        yield site


@pytest_asyncio.fixture
async def alice(site: Site) -> Member:
    return await site.member("alice")


def storage_of(site: Site) -> Storage:
    storage: Storage = site.app.state.storage
    return storage


def books(site: Site) -> Bookkeeping:
    return Bookkeeping(site.database)


async def claim(site: Site, member: Member, *ids: str) -> list[StoredFile]:
    async with site.database.transaction() as db:
        return await claim_uploads(db, member.id, ids)


async def check(site: Site, member: Member, upload: str, content: bytes, media_type: str = "video") -> None:
    """The upload is finished, and storage holds exactly these bytes and nothing else of it."""
    (file,) = await claim(site, member, upload)
    stored = b"".join([piece async for piece in storage_of(site).read(file.key)])
    assert stored == content
    assert (file.byte_size, file.sha256) == (len(content), hashlib.sha256(content).digest())
    assert file.media_type == media_type
    assert await storage_of(site).stat(uploads.tail_key(upload)) is None
    assert [item async for item in storage_of(site).list_multiparts()] == []
    assert site.app.state.part_slots.taken == 0


@pytest.mark.parametrize("size", [40, 300_000, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 77])
async def test_one_request_carries_a_whole_file(site: Site, alice: Member, size: int) -> None:
    content = film(size)
    upload = await create(alice, size)
    assert await offset_of(alice, upload) == 0
    answer = await send(alice, upload, 0, content)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(size))
    assert "upload-expires" in answer.headers
    assert await offset_of(alice, upload) == size
    await check(site, alice, upload, content)


async def test_small_requests_get_on(site: Site, alice: Member) -> None:
    content = film(PART + 1_500_000)
    upload = await create(alice, len(content))
    for at in range(0, len(content), 700_000):
        answer = await send(alice, upload, at, content[at : at + 700_000])
        assert answer.headers["upload-offset"] == str(min(at + 700_000, len(content)))
    await check(site, alice, upload, content)


async def test_a_file_in_tiny_requests_is_recognised(site: Site, alice: Member) -> None:
    content = JPEG_HEAD + secrets.token_bytes(30)
    upload = await create(alice, len(content))
    for at in range(len(content)):
        assert (await send(alice, upload, at, content[at : at + 1])).status_code == 204
    await check(site, alice, upload, content, "image")


@pytest.mark.parametrize("sent", [10, 70_000, PART - 5, PART + 1_000_000, 2 * PART + 3])
async def test_a_broken_connection_loses_nothing_that_arrived(site: Site, alice: Member, sent: int) -> None:
    content = film(3 * PART + 1000)
    upload = await create(alice, len(content))
    sending = Sending(site, alice, upload, 0)
    sending.give(content[:sent])
    await sending.taken()
    await sending.vanish()
    offset = await offset_of(alice, upload)
    assert offset == sent
    assert (await send(alice, upload, offset, content[offset:])).status_code == 204
    await check(site, alice, upload, content)


@pytest.mark.parametrize("size", [500, 100_000, PART, PART + 1000, 2 * PART])
async def test_a_client_that_vanishes_at_the_very_end_has_sent_it_all(site: Site, alice: Member, size: int) -> None:
    content = film(size)
    upload = await create(alice, size)
    sending = Sending(site, alice, upload, 0)
    sending.give(content)
    await sending.taken()
    await sending.vanish()
    assert await offset_of(alice, upload) == size
    await check(site, alice, upload, content)


@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(cuts=[2 * PART, 2 * PART])
@example(cuts=[PART, PART, 4321])
@given(cuts=st.lists(st.integers(1, 2 * PART), max_size=4))
async def test_any_cut_gives_the_same_file(site: Site, alice: Member, cuts: list[int]) -> None:
    content = film(2 * PART + 4321)
    upload = await create(alice, len(content))
    offset = 0
    for cut in cuts:
        sending = Sending(site, alice, upload, offset)
        sending.give(content[offset : offset + cut])
        await sending.taken()
        await sending.vanish()
        offset = await offset_of(alice, upload)
    if offset < len(content):
        assert (await send(alice, upload, offset, content[offset:])).status_code == 204
    await check(site, alice, upload, content)


async def test_a_second_writer_is_refused_while_the_first_one_sends(site: Site, alice: Member) -> None:
    content = film(PART + 1000)
    upload = await create(alice, len(content))
    first = Sending(site, alice, upload, 0)
    first.give(content[:100_000])
    await first.taken()
    assert (await send(alice, upload, 0, content)).status_code == 423
    first.give(content[100_000:])
    assert await first.end() == 204
    await check(site, alice, upload, content)


async def test_a_silent_writer_is_replaced_within_seconds_and_may_not_come_back(
    site: Site, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr("strvsocial.media.appending.LEASE_SECONDS", 0.5)
    content = film(2 * PART)
    upload = await create(alice, len(content))
    silent = Sending(site, alice, upload, 0)
    silent.give(content[: PART + 100_000])
    await silent.taken()
    async with asyncio.timeout(10):
        while (answer := await send(alice, upload, PART, content[PART:])).status_code == 423:
            await asyncio.sleep(0.05)
    assert answer.status_code == 204
    silent.give(content[PART + 100_000 :])
    assert await silent.end() == 409
    await check(site, alice, upload, content)


async def test_a_lease_of_a_dead_process_runs_out(site: Site, alice: Member) -> None:
    content = film(1000)
    upload = await create(alice, len(content))
    await uploads.take_lease(books(site), alice.id, upload)
    assert (await send(alice, upload, 0, content)).status_code == 423
    async with site.database.transaction() as db:
        await db.execute(
            text("update uploads set locked_until = now() - interval '1 s' where public_id = :id"), {"id": upload}
        )
    assert (await send(alice, upload, 0, content)).status_code == 204
    await check(site, alice, upload, content)


@pytest.mark.parametrize("is_completed", [False, True])
async def test_a_process_that_died_before_the_last_word_is_made_good(
    site: Site, alice: Member, is_completed: bool
) -> None:
    """All parts are stored and counted; the object was perhaps put together, but nobody wrote that down."""
    content = film(2 * PART)
    upload = await create(alice, len(content))
    sending = Sending(site, alice, upload, 0)
    sending.give(content[: 2 * PART - 10])
    await sending.taken()
    await sending.vanish()
    lease = await uploads.take_lease(books(site), alice.id, upload)
    row, storage = lease.upload, storage_of(site)
    etag = await storage.put_part(row.key, row.multipart_id, 2, content[PART:])
    await uploads.add_part(books(site), site.settings, lease, etag=etag, multipart_id=row.multipart_id, offset=2 * PART)
    if is_completed:
        await storage.complete_multipart(row.key, row.multipart_id, row.parts)
    await uploads.end_lease(books(site), lease)
    with pytest.raises(BadInput, match="Some fields"):
        await claim(site, alice, upload)
    assert await offset_of(alice, upload) == 2 * PART
    await storage.delete([uploads.tail_key(upload)])
    await check(site, alice, upload, content)


@pytest.mark.parametrize("offset", [1, PART, PART + 200_001, 10**12])
async def test_another_offset_is_a_conflict(site: Site, alice: Member, offset: int) -> None:
    content = film(2 * PART)
    upload = await create(alice, len(content))
    assert (await send(alice, upload, 0, content[: PART + 200_000])).status_code == 204
    answer = await send(alice, upload, offset, b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "other_offset")
    assert (await send(alice, upload, PART + 200_000, content[PART + 200_000 :])).status_code == 204
    await check(site, alice, upload, content)


async def test_more_than_was_announced_is_too_large_and_harms_nothing(site: Site, alice: Member) -> None:
    content = film(PART + 50)
    upload = await create(alice, len(content))
    headers = {**CHUNK, "Upload-Offset": "0"}
    declared = await alice.api("PATCH", f"/uploads/{upload}", headers=headers, content=content + b"!")
    assert declared.status_code == 413
    assert await offset_of(alice, upload) == 0
    assert (await send(alice, upload, 0, content + b"!")).status_code == 413
    offset = await offset_of(alice, upload)
    assert (await send(alice, upload, offset, content[offset:])).status_code == 204
    await check(site, alice, upload, content)


@pytest.mark.parametrize(
    "content", [b"<svg onload=alert(1)>", b"%PDF-1.7\n" + bytes(100_000), b"#EXTM3U\n" + bytes(PART)]
)
async def test_content_that_we_do_not_take_ends_the_upload(site: Site, alice: Member, content: bytes) -> None:
    upload = await create(alice, len(content), "picture.jpg")
    answer = await send(alice, upload, 0, content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media")
    assert (await alice.api("HEAD", f"/uploads/{upload}", headers=TUS)).status_code == 404
    assert [item async for item in storage_of(site).list_multiparts()] == []
    assert site.app.state.part_slots.taken == 0


async def test_a_kind_above_its_limit_ends_the_upload_at_its_first_bytes(site: Site, alice: Member) -> None:
    upload = await create(alice, site.settings.max_image_bytes + 1)
    answer = await send(alice, upload, 0, JPEG_HEAD + bytes(100_000))
    assert answer.status_code == 413
    assert "a picture may have at most 32 MB" in answer.json()["error"]["message"]
    assert (await alice.api("HEAD", f"/uploads/{upload}", headers=TUS)).status_code == 404


async def test_nobody_else_sees_an_upload(site: Site, alice: Member) -> None:
    bob = await site.member("bob")
    content = film(1000)
    upload = await create(alice, len(content))
    missing = await bob.api("PATCH", "/uploads/nothing", headers={**CHUNK, "Upload-Offset": "0"}, content=b"x")
    answer = await send(bob, upload, 0, content)
    assert (answer.status_code, answer.json()) == (404, missing.json())
    for method in ("HEAD", "DELETE"):
        assert (await bob.api(method, f"/uploads/{upload}", headers=TUS)).status_code == 404
        assert (await site.anonymous.request(method, f"/api/v1/uploads/{upload}", headers=TUS)).status_code == 401
    assert (await site.anonymous.post("/api/v1/uploads", headers={**TUS, "Upload-Length": "5"})).status_code == 401
    with pytest.raises(BadInput):
        await claim(site, bob, upload)
    await send(alice, upload, 0, content)
    await check(site, alice, upload, content)


async def test_an_upload_can_be_removed_also_while_it_is_sent(site: Site, alice: Member) -> None:
    content = film(3 * PART)
    upload = await create(alice, len(content))
    sending = Sending(site, alice, upload, 0)
    sending.give(content[: PART + 5])
    await sending.taken()
    assert (await alice.api("DELETE", f"/uploads/{upload}", headers=TUS)).status_code == 204
    sending.give(content[PART + 5 :])
    assert await sending.end() in (404, 409)
    assert (await alice.api("HEAD", f"/uploads/{upload}", headers=TUS)).status_code == 404
    assert [item async for item in storage_of(site).list_multiparts()] == []
    assert [item async for item in storage_of(site).list("tails/")] == []
    assert site.app.state.part_slots.taken == 0


async def test_an_upload_is_used_once(site: Site, alice: Member) -> None:
    content = film(1000)
    one, two = await create(alice, 1000), await create(alice, 1000)
    for upload in (one, two):
        await send(alice, upload, 0, content)
    with pytest.raises(BadInput):
        await claim(site, alice, one, one)
    with pytest.raises(BadInput):
        await claim(site, alice, one, "nothing")
    files = await claim(site, alice, two, one)
    assert [file.filename for file in files] == ["film.mp4", "film.mp4"]
    assert len({file.key for file in files}) == 2
    with pytest.raises(BadInput):
        await claim(site, alice, one)
    assert (await alice.api("DELETE", f"/uploads/{one}", headers=TUS)).status_code == 404
    assert await storage_of(site).stat(files[1].key) is not None


async def test_two_posts_that_race_for_an_upload_get_it_once(site: Site, alice: Member) -> None:
    upload = await create(alice, 1000)
    await send(alice, upload, 0, film(1000))
    results = await asyncio.gather(*(claim(site, alice, upload) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, BadInput) for result in results) == 4


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Length": "-1"}, 422),
        ({"Upload-Length": "many"}, 422),
        ({"Upload-Length": "1" * 30}, 422),
        ({"Upload-Length": str(10**13)}, 413),
        ({"Upload-Metadata": "filename ???"}, 422),
        ({"Upload-Metadata": "filename " + "QUFB" * 2000}, 422),
        ({"Tus-Resumable": "0.2.2"}, 412),
    ],
)
async def test_a_bad_announcement_is_refused(site: Site, alice: Member, changes: dict[str, str], status: int) -> None:
    headers = {**TUS, "Upload-Length": "5", **changes}
    assert (await alice.api("POST", "/uploads", headers=headers)).status_code == status


async def test_chunks_must_say_what_they_are(site: Site, alice: Member) -> None:
    upload = await create(alice, 1000)
    path = f"/uploads/{upload}"
    assert (await alice.api("PATCH", path, headers={**TUS, "Upload-Offset": "0"}, content=b"x")).status_code == 415
    assert (await alice.api("PATCH", path, headers=CHUNK, content=b"x")).status_code == 422
    assert (await alice.api("PATCH", path, headers={**CHUNK, "Tus-Resumable": "2"}, content=b"x")).status_code == 412


async def test_options_say_what_the_server_can(site: Site) -> None:
    answer = await site.anonymous.options("/api/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {"creation", "expiration", "termination"}
    assert int(answer.headers["tus-max-size"]) == site.settings.max_video_bytes


async def test_a_browser_uploads_with_its_session(site: Site, alice: Member) -> None:
    answer = await alice.browser.post("/api/v1/uploads", headers={**TUS, "Upload-Length": "1000"})
    assert answer.status_code == 201
    foreign = {**TUS, "Upload-Length": "1000", "Sec-Fetch-Site": "cross-site"}
    assert (await alice.browser.post("/api/v1/uploads", headers=foreign)).status_code == 403


async def test_unused_uploads_are_counted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_UNUSED", 2)
    carol = await site.member("carol")
    first = await create(carol, 10)
    await create(carol, 10)
    answer = await carol.api("POST", "/uploads", headers={**TUS, "Upload-Length": "10"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"]
    await carol.api("DELETE", f"/uploads/{first}", headers=TUS)
    await create(carol, 10)


async def test_no_connection_is_held_while_bytes_stream(site: Site, alice: Member) -> None:
    """More clients than the pool has connections stop in the middle of their files; pages still answer."""
    clients = []
    for _ in range(site.settings.database_pool_size + 3):
        upload = await create(alice, 1_000_000)
        clients.append(Sending(site, alice, upload, 0))
        clients[-1].give(film(100_000))
    for client in clients:
        await client.taken()
    assert (await alice.api("GET", "/me")).status_code == 200
    for client in clients:
        await client.vanish()


async def test_many_uploads_do_not_exhaust_the_pool(settings: Settings, tmp_path: Any) -> None:
    """Eight times as many clients as there are connections store their parts at once; none of them is turned away."""
    changes = {"data_dir": tmp_path, "upload_part_bytes": 65536, "upload_part_slots": 4, "database_pool_size": 3}
    async with running_site(settings.model_copy(update=changes)) as site:
        alice = await site.member("alice")
        content = film(20 * 65536 + 5)
        ids = [await create(alice, len(content)) for _ in range(24)]
        answers = await asyncio.gather(*(send(alice, upload, 0, content) for upload in ids))
        assert {answer.status_code for answer in answers} == {204}
        files = await claim(site, alice, *ids)
        assert {file.sha256 for file in files} == {hashlib.sha256(content).digest()}
