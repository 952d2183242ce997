"""What bad input gets: the contract's statuses, every bad field by its name, nothing lost, nothing stuck, never a 5xx."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from tests.contract.conftest import Worker
from tests.front_door import Member, Site, running_site

TUS = {"Tus-Resumable": "1.0.0"}
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
HTML = b"<!doctype html><html><script>alert(1)</script></html>"
REFUSED = {
    "playlist.mp4": PLAYLIST,
    "drawing.png": SVG,
    "page.jpg": HTML,
    "paper.png": b"%PDF-1.7\n" + bytes(500),
    "archive.mp3": b"PK\x03\x04" + bytes(500),
    "program.gif": b"\x7fELF" + bytes(500),
    "words.mp4": b"Nothing but words. " * 50,
    "blanks.wav": b" " * 2000,
    "zeros.webm": bytes(2000),
    "list.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "script.jpg": b"#!/bin/sh\ntouch /tmp/x\n",
}
NAMES = [
    *("../../../etc/passwd", "..\\..\\windows\\system.ini", "/etc/passwd", "a\x00b.png", "-i", "@file", "a;b|c`d$(e)", "%2e%2e%2f"),
    *("x" * 255 + ".png", "ж" * 300, "\u202egnp.exe", "a\r\nX-Evil: 1", 'a"; filename="b', "", ".", "con.png", "<img src=x onerror=alert(1)>"),
]  # fmt: skip


def check_error(answer: httpx.Response, status: int, *fields: str) -> dict[str, Any]:
    """The shape of an error, and every bad field at once."""
    assert answer.status_code == status, (answer.status_code, answer.text[:500])
    error: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert {"status", "code", "message"} <= set(error) <= {"status", "code", "message", "fields"}
    assert error["status"] == status
    assert error["code"].replace("_", "").isalnum()
    assert error["message"].endswith((".", "!", "?", "…"))
    if fields:
        assert set(error["fields"]) == set(fields), error
        assert all(said.strip() for said in error["fields"].values())
    return error


def bomb(width: int, height: int) -> bytes:
    """A small PNG of very many pixels, all of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    squeeze = zlib.compressobj(9)
    line = b"\0" + bytes((width + 7) // 8)
    packed = b"".join([*(squeeze.compress(line * 100) for _ in range(height // 100)), squeeze.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


async def count_posts(site: Site, member: Member) -> int:
    async with site.database.read() as reader:
        statement = text("select count(*) from posts where author_id = :id")
        return int(await reader.scalar(statement, {"id": member.id}) or 0)


def originals(site: Site) -> set[str]:
    return {str(path) for path in site.settings.data_dir.rglob("*") if path.is_file() and "originals" in path.parts}


@pytest.mark.parametrize("name", list(REFUSED))
async def test_what_is_no_medium_is_refused_by_its_content(site: Site, name: str) -> None:
    """As a form, as an upload and as a picture of oneself; nothing of it stays."""
    alice = await site.member("alice")
    before = originals(site)
    content = REFUSED[name]
    kind = {"png": "image/png", "jpg": "image/jpeg", "mp4": "video/mp4"}.get(name[-3:], "audio/mpeg")
    answer = await alice.api("POST", "/posts", data={"title": "x"}, files={"file": (name, content, kind)})
    check_error(answer, 415)
    check_error(await alice.api("PUT", "/me/avatar", files={"file": (name, content, kind)}), 415)
    made = await alice.api("POST", "/uploads", headers={**TUS, "Upload-Length": str(len(content))})
    chunk = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    check_error(await alice.client.patch(made.headers["location"], headers=chunk, content=content), 415)
    assert await count_posts(site, alice) == 0
    assert originals(site) == before
    page = await alice.browser.post("/create", data={"title": "Kept words"}, files={"file": (name, content, kind)})
    assert page.status_code == 415
    assert "Kept words" in page.text


async def test_nothing_at_all_is_told_as_that(site: Site) -> None:
    alice = await site.member("alice")
    check_error(await alice.api("POST", "/posts", data={"title": "x"}, files={"file": ("a.png", b"")}), 422, "file")
    check_error(await alice.api("PUT", "/me/avatar", files={"file": ("a.png", b"")}), 422, "file")
    check_error(await alice.api("POST", "/uploads", headers={**TUS, "Upload-Length": "0"}), 422, "file")
    check_error(await alice.api("POST", "/posts", json={}), 422, "title")
    check_error(await alice.api("POST", "/posts", data={"title": " \u2003 "}), 422, "title")


async def test_files_above_their_limits(site: Site, media_files: dict[str, bytes]) -> None:
    """With a declared length and without, for each kind; limits come from the settings."""
    limits = {f"max_{kind}_bytes": 2_000 for kind in ("image", "gif", "audio", "video", "avatar")}
    small = site.settings.model_copy(update={**limits, "upload_part_bytes": 1_000})
    async with running_site(small) as strict:
        alice = await strict.member("alice")
        for kind, content in media_files.items():
            large = content + bytes(max(0, 4_000 - len(content)))
            answer = await alice.api("POST", "/posts", data={"title": "x"}, files={"file": ("a", large)})
            assert "too large" in check_error(answer, 413)["message"], kind
            answer = await alice.api("POST", "/posts", headers=FORM_HEADERS, content=undeclared(large))
            assert "too large" in check_error(answer, 413)["message"], kind
        answer = await alice.api("PUT", "/me/avatar", files={"file": ("a.png", media_files["image"] + bytes(4_000))})
        check_error(answer, 413)
        check_error(await alice.api("POST", "/uploads", headers={**TUS, "Upload-Length": "2001"}), 413)
        check_error(await alice.api("POST", "/posts", headers={**FORM_HEADERS, "Content-Length": "9" * 15}), 413)
        assert await count_posts(strict, alice) == 0


FORM_HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}


async def undeclared(content: bytes) -> AsyncIterator[bytes]:
    """A form of unknown length."""
    yield b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nLong\r\n'
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for start in range(0, len(content), 500):
        yield content[start : start + 500]
    yield b"\r\n--x--\r\n"


async def test_files_that_cannot_be_decoded_end_as_failed(
    site: Site, working: Worker, media_files: dict[str, bytes]
) -> None:
    """With a reason for people, a retry that works, and the text kept; nothing stays in processing."""
    alice = await site.member("alice")
    broken = {
        "cut.png": media_files["image"][:300],
        "cut.gif": media_files["gif"][:200],
        "cut.wav": media_files["audio"][:30],
        "cut.mp4": media_files["video"][: len(media_files["video"]) // 2],
        "bomb.png": bomb(13_000, 13_000),
        "flat.png": bomb(100, 65_500 * 100),
        "head.jpg": b"\xff\xd8\xff\xe0" + bytes(400),
        "page-behind.jpg": b"\xff\xd8\xff\xe0" + HTML * 9,
        "page-behind.mp4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + HTML * 9,
        "gifar.gif": b"GIF89a" + b"PK\x03\x04" + bytes(300),
        "noise.mp3": b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(range(256)) * 4,
    }
    made: dict[str, dict[str, Any]] = {}
    async with working.news_for(alice) as queue:
        for name, content in broken.items():
            words = {"title": name, "text": f"The words of {name} stay"}
            answer = await alice.api("POST", "/posts", data=words, files={"file": (name, content)})
            assert answer.status_code in (201, 413, 415), (name, answer.text)
            if answer.status_code == 201:
                made[answer.json()["id"]] = {"name": name, **words}
        news = await working.settle(alice, queue, len(made))
        assert {(one.kind, one.data["id"]) for one in news} == {("post.failed", post) for post in made}
        for post_id, words in made.items():
            post = (await alice.api("GET", f"/posts/{post_id}")).json()
            assert (post["status"], post["title"], post["text"]) == ("failed", words["title"], words["text"])
            assert post["pending"] == []
            assert post["failure"].endswith(".")
            assert not {"traceback", "error:", "/tmp", "ffmpeg", "errno"} & set(post["failure"].lower().split())
            page = await alice.browser.get(f"/p/{post_id}")
            assert f'action="/p/{post_id}/retry"' in page.text
            assert words["text"] in page.text
            assert (await site.anonymous.get("/api/v1/feeds/latest?limit=100")).text.count(post_id) == 0
        again = next(iter(made))
        answer = await alice.api("POST", f"/posts/{again}/retry")
        assert (answer.status_code, answer.json()["status"]) == (200, "processing")
        [one] = await working.settle(alice, queue)
        assert (one.kind, one.data["id"]) == ("post.failed", again)
    assert len(made) >= 8
    sizes = [post for post, words in made.items() if words["name"] == "bomb.png"]
    shown = (await alice.api("GET", f"/posts/{sizes[0]}")).json()
    assert "169 megapixels" in shown["failure"]
    async with site.database.read() as reader:
        stuck = text(
            "select count(*) from attachments as a join posts as p on p.id = post_id where p.author_id = :id and a.status = 'processing'"
        )
        assert await reader.scalar(stuck, {"id": alice.id}) == 0


async def test_what_is_hidden_behind_good_media_is_not_served(
    site: Site, working: Worker, media_files: dict[str, bytes]
) -> None:
    alice = await site.member("alice")
    tail = b"PK\x03\x04" + HTML
    for kind in ("image", "gif", "video"):
        post = await working.publish(alice, [(f"{kind}.html", media_files[kind] + tail)])
        assert (post["status"], post["media_type"]) == ("ready", kind)
        for medium in post["media"]:
            for url in {medium["url"], *(variant["url"] for variant in medium["variants"])}:
                answer = await site.anonymous.get(url)
                assert answer.status_code == 200
                assert b"<script" not in answer.content
                assert answer.headers["content-type"].split("/")[0] in ("image", "video")
                assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", NAMES)
async def test_hostile_file_names_are_only_words(site: Site, media_files: dict[str, bytes], name: str) -> None:
    alice = await site.cast("alice")
    before = originals(site)
    raw = name.encode().replace(b'"', b"%22")
    if "\r" not in name:
        head = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nNamed\r\n'
        head += b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + raw + b'"\r\n\r\n'
        body = head + media_files["image"] + b"\r\n--x--\r\n"
        answer = await alice.api("POST", "/posts", headers=FORM_HEADERS, content=body)
        assert answer.status_code in (201, 422), answer.text
        if answer.status_code == 201 and name:
            assert len(answer.json()["media"]) == 1
        [*new] = originals(site) - before
        assert all(path.rsplit("/", 1)[1].isalnum() for path in new)
    metadata = f"filename {b64encode(name.encode()).decode()}"
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": metadata}
    made = await alice.api("POST", "/uploads", headers=headers)
    assert made.status_code == 201
    assert made.headers["location"].rsplit("/", 1)[1].isalnum()
    assert (await alice.client.delete(made.headers["location"], headers=TUS)).status_code == 204


WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/accounts", {"username": "someone.new", "email": "someone@example.org", "password": "a long enough one"}),
    ("POST", "/tokens", {"email": "someone@example.org", "password": "a long enough one"}),
    ("PATCH", "/me", {"username": "someone.else", "display_name": "S", "bio": "B", "theme": "light"}),
    ("PUT", "/me/password", {"password": "a long enough one", "new_password": "a long enough two"}),
    ("PUT", "/me/email", {"password": "a long enough one", "email": "new@example.org"}),
    ("DELETE", "/me", {"password": "a long enough one"}),
    ("POST", "/posts", {"title": "T", "text": "x", "tags": ["a"], "visibility": "public", "idempotency_key": "k"}),
    ("PATCH", "/posts/{post}", {"title": "T", "text": "x", "tags": ["a"], "visibility": "public"}),
    ("POST", "/interactions", {"items": []}),
]
PRIVILEGED = {
    "id": "1",
    "role": "admin",
    "is_admin": "true",
    "author_id": "1",
    "created_at": "2020-01-01",
    "status": "ready",
    "suspended_at": "x",
}


async def send(member: Member, method: str, path: str, post: str, **options: Any) -> httpx.Response:
    return await member.api(method, path.format(post=post), **options)


@pytest.fixture(scope="module")
async def writer(site: Site) -> tuple[Member, str]:
    member = await site.member("writer")
    return member, (await member.api("POST", "/posts", json={"title": "To be edited"})).json()["id"]


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda value: value if isinstance(value, str) else "")
class TestWrites:
    """Every route that takes a body."""

    async def test_unknown_fields_are_named(
        self, writer: tuple[Member, str], method: str, path: str, body: dict[str, Any]
    ) -> None:
        member, post = writer
        before = (await member.api("GET", "/me")).json(), (await member.api("GET", f"/posts/{post}")).json()
        answer = await send(member, method, path, post, json={**body, **PRIVILEGED})
        assert set(check_error(answer, 422)["fields"]) >= set(PRIVILEGED)
        form = {name: value for name, value in body.items() if name != "items"}
        answer = await send(member, method, path, post, data={**form, **PRIVILEGED})
        assert set(check_error(answer, 422)["fields"]) >= set(PRIVILEGED)
        after = (await member.api("GET", "/me")).json(), (await member.api("GET", f"/posts/{post}")).json()
        assert before == after

    async def test_every_field_at_once_of_a_wrong_type(
        self, writer: tuple[Member, str], method: str, path: str, body: dict[str, Any]
    ) -> None:
        member, post = writer
        for wrong in (5, {"a": 1}, True, [[1]], 1.5e300):
            answer = await send(member, method, path, post, json=dict.fromkeys(body, wrong))
            check_error(answer, 422, *body)

    async def test_text_that_cannot_be_kept(
        self, writer: tuple[Member, str], method: str, path: str, body: dict[str, Any]
    ) -> None:
        member, post = writer
        fields = [name for name in body if name not in ("items", "idempotency_key")]
        for evil in ("a\x00b", "x" * 100_000):
            sent = {name: [evil] if name == "tags" else evil for name in fields}
            if fields:
                answer = await send(member, method, path, post, json=sent)
                check_error(answer, 422, *fields)
        raw = json.dumps(dict.fromkeys(fields, "LONE")).replace("LONE", "a\\ud800b").encode()
        headers = {"Content-Type": "application/json"}
        answer = await send(member, method, path, post, content=raw, headers=headers)
        check_error(answer, 422)

    async def test_bodies_that_are_no_object(
        self, writer: tuple[Member, str], method: str, path: str, body: dict[str, Any]
    ) -> None:
        member, post = writer
        bodies = [
            b"[]",
            b"5",
            b'"x"',
            b"null",
            b"{",
            b"{'a': 1}",
            b"\xff\xfe{}",
            b'{"a": "\xff"}',
            b"[" * 200_000,
            b'{"a":' * 100_000,
            b"NaN",
            b"{}x",
        ]
        for content in bodies:
            headers = {"Content-Type": "application/json"}
            check_error(await send(member, method, path, post, content=content, headers=headers), 422)
        for kind in (
            "text/plain",
            "application/xml",
            "application/octet-stream",
            "image/png",
            "x" * 300,
            "application/json5",
        ):
            answer = await send(member, method, path, post, content=b"{}", headers={"Content-Type": kind})
            check_error(answer, 415)
        for kind in (
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=" + "x" * 500,
        ):
            answer = await send(member, method, path, post, content=b"--x\r\n", headers={"Content-Type": kind})
            assert answer.status_code in (415, 422), (kind, answer.text)
            check_error(answer, answer.status_code)
        huge = b'{"title": "' + b"x" * 2_000_000 + b'"}'
        answer = await send(member, method, path, post, content=huge, headers={"Content-Type": "application/json"})
        check_error(answer, 413)


async def test_characters_that_turn_words_around_are_taken_out_or_refused(site: Site) -> None:
    alice = await site.member("alice")
    turned = "a\u202eb\u2066c\u202ad"
    for name in ("username", "display_name", "bio"):
        check_error(await alice.api("PATCH", "/me", json={name: turned}), 422, name)
    body = {"title": turned, "text": turned, "tags": [turned]}
    check_error(await alice.api("POST", "/posts", json=body), 422, "tags")
    post = (await alice.api("POST", "/posts", json={"title": turned, "text": turned})).json()
    assert (post["title"], post["text"]) == ("abcd", "abcd")
    changed = (await alice.api("PATCH", f"/posts/{post['id']}", json={"title": "\u2067x", "text": "\u202dy"})).json()
    assert (changed["title"], changed["text"]) == ("x", "y")


LISTS = [
    *("/feeds/latest", "/feeds/following", "/feeds/for-you", "/users", "/search?q=a", "/suggestions/users"),
    *("/users/{username}/posts", "/users/{username}/followers", "/users/{username}/following", "/posts/{post}/similar"),
]
CURSORS = [
    "x", "=", "..", "%00", "é", "W10", "bnVsbA", "WzFd", "WzEsMl0", "eyJhIjoxfQ", "A" * 513,
    "WyI5OTk5LTEyLTMxVDIzOjU5OjU5WiIsMV0", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwxXQ", "WzFlMzA4LDFd",
    "WzkyMjMzNzIwMzY4NTQ3NzU4MDgsOTIyMzM3MjAzNjg1NDc3NTgwOF0", "Wy05MjIzMzcyMDM2ODU0Nzc1ODA5LDBd", "WyJhXHUwMDAwIiwxXQ",
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
async def test_limits_and_cursors_that_make_no_sense(site: Site, writer: tuple[Member, str], path: str) -> None:
    member, post = writer
    path = path.format(username=member.username, post=post)
    glue = "&" if "?" in path else "?"
    for limit in ("0", "-1", "101", "99999999999999999999", "x", "1.5", "", "NaN"):
        check_error(await member.api("GET", f"{path}{glue}limit={limit}"), 422, "limit")
    assert (await member.api("GET", f"{path}{glue}limit=100")).status_code == 200
    if "suggestions" in path:
        return
    for cursor in CURSORS:
        answer = await member.api("GET", f"{path}{glue}cursor={cursor}")
        if answer.status_code != 200:
            check_error(answer, 422)
    check_error(await member.api("GET", f"{path}{glue}limit=0&cursor=" + "A" * 513), 422, "limit", "cursor")


async def test_twenty_equal_submits_with_a_file_and_one_of_another_person(
    site: Site, media_files: dict[str, bytes]
) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    headers = {"Idempotency-Key": "the same for all"}

    async def submit(member: Member) -> httpx.Response:
        files = {"file": ("a.png", media_files["image"])}
        return await member.api("POST", "/posts", data={"title": "Once"}, files=files, headers=headers)

    answers = await asyncio.gather(*(submit(alice) for _ in range(20)), submit(bob))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers[:20]}) == 1
    assert answers[20].json()["id"] != answers[0].json()["id"]
    assert (await count_posts(site, alice), await count_posts(site, bob)) == (1, 1)
    again = await alice.api("POST", "/posts", json={"title": "Changed"}, headers=headers)
    assert (again.status_code, again.json()["title"]) == (201, "Once")
    for key in ("", "k" * 201):
        answer = await alice.api("POST", "/posts", json={"title": ""}, headers={"Idempotency-Key": key})
        check_error(answer, 422, "Idempotency-Key", "title")


async def test_signing_up_twice_at_once_makes_one_account(site: Site) -> None:
    body = {"username": "twice.at.once", "email": "twice@example.org", "password": "a long enough one"}
    answers = await asyncio.gather(*(site.anonymous.post("/api/v1/accounts", json=body) for _ in range(10)))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [201] + [409] * 9
    for answer in answers:
        if answer.status_code == 409:
            check_error(answer, 409)


async def test_addresses_that_name_nothing(site: Site) -> None:
    alice = await site.cast("alice")
    hostile = [
        "%00",
        "..%2f..%2fetc",
        "a" * 5_000,
        "%ff%fe",
        "%F0%9F%92%A9",
        "';drop table posts;--",
        "%E2%80%AE",
        "1",
        "-1",
        "%25",
        "%0d%0a",
    ]
    templates = [
        *("/api/v1/posts/{}", "/api/v1/posts/{}/similar", "/api/v1/posts/{}/embeddings", "/api/v1/users/{}", "/api/v1/users/{}/posts"),
        *("/api/v1/users/{}/followers", "/p/{}", "/p/{}/card", "/u/{}", "/u/{}/following", "/media/{}/play.mp4", "/media/avatars/{}"),
    ]  # fmt: skip
    for template in templates:
        for name in hostile:
            answer = await alice.client.get(template.format(name))
            assert answer.status_code == 404, (template, name, answer.status_code)
    for name in hostile:
        assert (await alice.client.get(f"/t/{name}")).status_code in (200, 404)
        for method, path in (
            ("PUT", f"/users/{name}/follow"),
            ("DELETE", f"/posts/{name}"),
            ("PATCH", f"/posts/{name}"),
            ("POST", f"/posts/{name}/retry"),
        ):
            answer = await alice.api(method, path, **({"json": {}} if method == "PATCH" else {}))
            check_error(answer, 404)
        assert (await alice.client.head(f"/api/v1/uploads/{name}", headers=TUS)).status_code == 404


async def test_headers_of_uploads_that_make_no_sense(site: Site) -> None:
    alice = await site.cast("alice")
    for length in ("", "-1", "x", "1.5", "9" * 30, "０１", " "):
        assert (await alice.api("POST", "/uploads", headers={**TUS, "Upload-Length": length.encode()})).status_code in (
            413,
            422,
        )
    for metadata in ("filename !!!", "filename", "a b c", "filename w", "x" * 5_000):
        headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": metadata}
        assert (await alice.api("POST", "/uploads", headers=headers)).status_code in (201, 422)
    check_error(await alice.api("POST", "/uploads", headers={"Upload-Length": "5"}), 412)
    check_error(await alice.api("POST", "/uploads", headers={"Upload-Length": "5", "Tus-Resumable": "0.2"}), 412)
