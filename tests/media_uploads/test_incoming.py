"""Forms with files: what is stored, what is refused, and that nothing is left of what was refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media_uploads.conftest import (
    BOUNDARY,
    JPEG_HEAD,
    MP4_HEAD,
    PART,
    FormSite,
    encode,
    make_app,
    upload_settings,
)

from strvsocial.media import bodies, parts
from strvsocial.media.incoming import FormRules, clean_filename


def film(size: int) -> bytes:
    return MP4_HEAD + secrets.token_bytes(size - len(MP4_HEAD))


def picture(size: int) -> bytes:
    return JPEG_HEAD + secrets.token_bytes(size - len(JPEG_HEAD))


async def stored(site: FormSite, key: str) -> bytes:
    return b"".join([piece async for piece in site.storage.read(key)])


@pytest.mark.parametrize("size", [5, 70_000, PART - 1, PART, PART + 1, 3 * PART + 12345])
async def test_a_file_is_stored_as_it_was_sent(form_site: FormSite, size: int) -> None:
    content = film(max(size, 24)) if size > 5 else b"\xff\xd8\xff\xe0!"
    status, answer = await form_site.post_form([("title", None, "Wörter".encode()), ("file", "a.mp4", content)])
    assert status == 201
    assert answer["fields"] == {"title": ["Wörter"]}
    (file,) = answer["files"]
    assert file["byte_size"] == len(content)
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert await stored(form_site, file["key"]) == content
    assert [item async for item in form_site.storage.list_multiparts()] == []
    assert form_site.slots.taken == 0


async def test_many_files_keep_their_order_and_their_types(form_site: FormSite) -> None:
    contents = [picture(1000), b"GIF89a" + bytes(100), film(PART + 10), picture(5)]
    status, answer = await form_site.post_form([("file", f"{n}.bin", content) for n, content in enumerate(contents)])
    assert status == 201
    assert [file["media_type"] for file in answer["files"]] == ["image", "gif", "video", "image"]
    assert [await stored(form_site, file["key"]) for file in answer["files"]] == contents
    assert all(file["key"].startswith("originals/") for file in answer["files"])


@pytest.mark.parametrize("cut", [100, 70_000, PART + 1000, 2 * PART + 300_000])
async def test_a_client_that_vanishes_leaves_nothing(form_site: FormSite, cut: int) -> None:
    form = [("file", "first.jpg", picture(50_000)), ("file", "a.mp4", film(3 * PART))]
    status, answer = await form_site.post_form(form, cut=cut)
    assert (status, answer.get("code")) == (408, "broken_off"), answer
    assert await form_site.is_clean()


@pytest.mark.parametrize(
    "content", [b"<svg onload=alert(1)>", b"<!doctype html>", b"%PDF-1.7", b"PK\x03\x04", b"#EXTM3U\n", b"x" * 200_000]
)
async def test_what_we_do_not_take_is_refused_with_all_that_came_before(form_site: FormSite, content: bytes) -> None:
    status, _ = await form_site.post_form([("file", "good.jpg", picture(9000)), ("file", "bad.jpg", content)])
    assert status == 415
    assert await form_site.is_clean()


async def test_an_empty_file_is_a_bad_field(form_site: FormSite) -> None:
    status, answer = await form_site.post_form([("file", "good.jpg", picture(9000)), ("file", "empty.jpg", b"")])
    assert (status, answer["fields"]) == (422, {"file": "This file is empty."})
    assert await form_site.is_clean()


async def test_a_browser_that_chose_no_file_sent_none(local_site: FormSite) -> None:
    status, answer = await local_site.post_form([("title", None, b"Only words"), ("file", "", b"")])
    assert (status, answer) == (201, {"fields": {"title": ["Only words"]}, "files": []})


@pytest.mark.parametrize(
    ("head", "limit"), [(JPEG_HEAD, "IMAGE"), (b"GIF89a", "GIF"), (MP4_HEAD, "VIDEO"), (b"fLaC", "AUDIO")]
)
async def test_each_kind_has_its_limit_while_it_streams(
    local_site: FormSite, tmp_path: Any, head: bytes, limit: str
) -> None:
    settings = upload_settings(tmp_path, **{f"STRV_MAX_{limit}_BYTES": 2 * PART})
    site = FormSite(settings, local_site.storage, make_app(settings, local_site.storage, local_site.rules))
    fits, too_large = head + bytes(2 * PART - len(head)), head + bytes(2 * PART - len(head) + 1)
    assert (await site.post_form([("file", "a", too_large)]))[0] == 413
    assert await site.is_clean()
    assert (await site.post_form([("file", "a", fits)]))[0] == 201


async def test_only_the_wanted_kinds_and_sizes_for_avatars(local_site: FormSite) -> None:
    rules = FormRules(fields={}, most_files=1, media_types=frozenset({"image"}), max_file_bytes=100_000)
    site = FormSite(local_site.settings, local_site.storage, make_app(local_site.settings, local_site.storage, rules))
    assert (await site.post_form([("file", "a.gif", b"GIF89a" + bytes(100))]))[0] == 415
    assert (await site.post_form([("file", "a.jpg", picture(100_001))]))[0] == 413
    status, answer = await site.post_form([("file", "a.jpg", picture(10)), ("file", "b.jpg", picture(10))])
    assert (status, answer["fields"]) == (422, {"file": "Please send at most 1 files."})
    assert await site.is_clean()
    assert (await site.post_form([("file", "a.jpg", picture(100_000))]))[0] == 201


async def test_eleven_files_are_too_many(local_site: FormSite) -> None:
    status, answer = await local_site.post_form([("file", f"{n}.jpg", picture(100)) for n in range(11)])
    assert (status, list(answer["fields"])) == (422, ["file"])
    assert await local_site.is_clean()


async def test_every_bad_field_is_named(local_site: FormSite) -> None:
    form = [("title", None, b"x" * 256), ("nonsense", None, b"1"), ("alt", None, b"\xff\xfe"), ("file", None, b"text")]
    status, answer = await local_site.post_form(form)
    assert status == 422
    assert set(answer["fields"]) == {"title", "nonsense", "alt", "file"}


async def test_a_file_in_an_unknown_field_is_refused(local_site: FormSite) -> None:
    status, answer = await local_site.post_form([("attachment", "a.jpg", picture(9000))])
    assert (status, list(answer["fields"])) == (422, ["attachment"])
    assert await local_site.is_clean()


async def test_endless_text_is_cut_off(local_site: FormSite) -> None:
    assert (await local_site.post_form([("title", None, b"x" * 3_000_000)]))[0] == 413
    assert (await local_site.post_form([("alt", None, b"x")] * 101))[0] == 422


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"nothing of the kind", f"multipart/form-data; boundary={BOUNDARY}", 422),
        (b"", f"multipart/form-data; boundary={BOUNDARY}", 422),
        (encode([("file", "a.jpg", picture(90_000))])[:-30], f"multipart/form-data; boundary={BOUNDARY}", 422),
        (f"--{BOUNDARY}\r\nX: {'y' * 9000}\r\n\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}", 422),
        (f"--{BOUNDARY}\nbad".encode(), f"multipart/form-data; boundary={BOUNDARY}", 422),
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (b"", "multipart/form-data", 415),
    ],
)
async def test_a_broken_form_is_refused_and_leaves_nothing(
    local_site: FormSite, body: bytes, content_type: str, status: int
) -> None:
    assert (await local_site.send([body], content_type))[0] == status
    assert await local_site.is_clean()


async def test_a_form_without_files_may_be_urlencoded(local_site: FormSite) -> None:
    form = "application/x-www-form-urlencoded"
    assert await local_site.send([b"title=W%C3%B6rter&alt=1&al", b"t=2"], form) == (
        201,
        {"fields": {"title": ["Wörter"], "alt": ["1", "2"]}, "files": []},
    )
    assert (await local_site.send([b"title=%FF"], form))[0] == 422
    assert (await local_site.send([b"file=x"], form))[1]["fields"] == {"file": "Please choose a file."}
    assert (await local_site.send([b"title=" + b"x" * 2_000_000], form))[0] == 413


async def test_a_declared_length_beyond_all_limits_is_refused_unread(local_site: FormSite) -> None:
    from litestar.testing import AsyncTestClient

    async with AsyncTestClient(local_site.app) as client:
        answer = await client.post(
            "/form",
            content=b"x",
            headers={"content-length": str(10**13), "content-type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\cat.jpg", "cat.jpg"),
        ("cat\x00.jpg", "cat.jpg"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("x" * 300, "x" * 255),
        ("..", ""),
        ("-i", "-i"),
        ("e\u0301.jpg", "é.jpg"),
    ],
)
def test_a_name_is_only_for_people(sent: str, shown: str) -> None:
    assert clean_filename(sent) == shown


@given(st.text(max_size=400))
def test_no_name_has_a_path_or_control_characters(name: str) -> None:
    shown = clean_filename(name)
    assert not set(shown) & {"/", "\\", "\x00", "\n", "\r"}
    shown.encode()


async def test_hostile_names_never_reach_a_key(local_site: FormSite) -> None:
    for name in ("../../x", "/etc/x", "-i", "@file", "a;b", "x" * 2000):
        status, answer = await local_site.post_form([("file", name, picture(100))])
        assert status == 201
        assert answer["files"][0]["key"].startswith("originals/")
        assert len(answer["files"][0]["key"]) == 26


async def test_more_uploads_than_slots_all_arrive(local_site: FormSite) -> None:
    contents = [film(2 * PART + n) for n in range(9)]
    answers = await asyncio.gather(*(local_site.post_form([("file", "a.mp4", content)]) for content in contents))
    assert [status for status, _ in answers] == [201] * 9
    for content, (_, answer) in zip(contents, answers, strict=True):
        assert answer["files"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert local_site.slots.taken == 0


async def test_slow_clients_keep_nobody_waiting(local_site: FormSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many clients as slots stop in the middle of a part; another one gets through, and then they do."""
    monkeypatch.setattr(parts, "PATIENCE_SECONDS", 0.05)
    slow = [film(PART + 1000) for _ in range(8)]
    gate = asyncio.Event()

    async def send_slowly(content: bytes) -> tuple[int, Any]:
        writer = parts.PartWriter(
            local_site.storage, local_site.slots, f"originals/{secrets.token_hex(8)}", "video/mp4"
        )
        await writer.write(content[:100_000])
        await gate.wait()
        await writer.write(content[100_000:])
        await writer.finish()
        return len(content), writer

    sending = [asyncio.create_task(send_slowly(content)) for content in slow]
    async with asyncio.timeout(20):
        status, _ = await local_site.post_form([("file", "fast.mp4", film(2 * PART))])
    assert status == 201
    gate.set()
    for content, (_, writer) in zip(slow, await asyncio.gather(*sending), strict=True):
        assert writer.digest.digest() == hashlib.sha256(content).digest()
        assert await stored(local_site, writer.key) == content
    assert local_site.slots.taken == 0


async def test_a_silent_client_is_given_up(local_site: FormSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALL_SECONDS", 0.1)
    begun = encode([("file", "a.mp4", film(2 * PART))])[: PART + 100_000]
    status, answer = await local_site.send([begun], f"multipart/form-data; boundary={BOUNDARY}", silent=True)
    assert (status, answer.get("code")) == (408, "broken_off"), answer
    assert await local_site.is_clean()


async def test_nothing_is_left_when_storage_is_full(local_site: FormSite) -> None:
    """The folder of multiparts turns read-only in the middle: 503, and no slot is lost."""
    folder = local_site.settings.data_dir / "media" / "multiparts"
    folder.rmdir()
    folder.write_text("in the way")
    status, answer = await local_site.post_form([("file", "a.mp4", film(2 * PART))])
    assert (status, answer["code"]) == (503, "unavailable")
    assert local_site.slots.taken == 0
    assert not os.listdir(local_site.settings.data_dir / "media" / "objects")
