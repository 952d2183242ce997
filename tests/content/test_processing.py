"""From a file that somebody sends to a post that others see: real files, a real worker, real news."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site, outcome

from strvsocial import worker
from strvsocial.content.jobs import HANDLERS
from strvsocial.content.work import PROCESS_ATTACHMENT
from strvsocial.jobs import Claimed
from strvsocial.live import Listener, News
from strvsocial.media.sandbox import find_ffmpeg

SOURCES = {
    "image": ("picture.png", ["-f", "lavfi", "-i", "testsrc=size=320x240", "-frames:v", "1"]),
    "gif": ("loop.gif", ["-f", "lavfi", "-i", "testsrc=size=160x120:duration=1:rate=5"]),
    "audio": ("tone.wav", ["-f", "lavfi", "-i", "sine=duration=1"]),
    "video": (
        "film.mp4",
        ["-f", "lavfi", "-i", "testsrc=size=160x120:duration=1:rate=10", "-f", "lavfi", "-i", "sine=duration=1"],
    ),
}
SHOWN = {"image": "image/webp", "gif": "video/mp4", "audio": "audio/", "video": "video/mp4"}


def make(folder: Path, kind: str) -> bytes:
    name, arguments = SOURCES[kind]
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(folder / name)]
    subprocess.run(command, check=True, timeout=60)
    return (folder / name).read_bytes()


@pytest_asyncio.fixture
async def context(site: Site) -> AsyncIterator[worker.Context]:
    """A worker with nothing left to do from other tests."""
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        async with context.database.transaction() as db:
            await db.execute(text("delete from jobs"))
        yield context


async def news_of(context: worker.Context, member: Member, act: Any) -> tuple[dict[str, Any], News]:
    """Does `act`, lets the worker work, and returns what it answered and what its author then hears."""
    listener = Listener(context.settings.direct_url)
    listening = asyncio.Event()
    listener.on_vectors = listening.set
    listener.start()
    try:
        await listening.wait()
        async with listener.subscribe(member.id) as queue, AsyncExitStack() as lanes:
            answer = await act()
            worker.start_lanes(lanes, context, {"quick": 2, "long": 1}, worker.WORKER_HANDLERS)
            async with asyncio.timeout(60):
                return answer.json(), await outcome(queue)
    finally:
        await listener.aclose()


@pytest.mark.parametrize("kind", list(SOURCES))
async def test_each_kind_becomes_ready(site: Site, context: worker.Context, tmp_path: Path, kind: str) -> None:
    alice = await site.member("alice")
    files = {"file": ("misleading.txt", make(tmp_path, kind))}
    data = {"title": "Real", "alt": "A test"}
    made, news = await news_of(context, alice, lambda: alice.api("POST", "/posts", data=data, files=files))
    assert made["status"] == "processing"
    assert (news.kind, news.data) == ("post.ready", {"id": made["id"], "url": made["url"]})
    post = (await site.anonymous.get(f"/api/v1/posts/{made['id']}")).json()
    pending = ["captions", "embedding"] if kind in ("audio", "video") else ["embedding"]
    assert (post["status"], post["media_type"]) == ("ready", kind)
    assert [name for name in post["pending"] if name != "rendition"] == pending  # A preview may still be made.
    [medium] = post["media"]
    assert medium["mime"].startswith(SHOWN[kind])
    assert medium["url"].startswith(f"/media/{medium['id']}/")
    assert (medium["alt"], medium["status"]) == ("A test", "ready")
    if kind != "image":
        assert 0.5 < medium["duration"] < 2
    if kind != "audio":
        assert (medium["width"], medium["placeholder"] is not None) == (320 if kind == "image" else 160, True)
    if kind == "image":
        assert {variant["mime"] for variant in medium["variants"]} == {"image/webp", "image/avif"}
    async with context.database.read() as reader:
        query = (
            "select count(*) from jobs where kind = 'content.embed_post' and dedupe_key = 'embed:' ||"
            " (select id from posts where public_id = :id)"
        )
        assert (await reader.execute(text(query), {"id": post["id"]})).scalar() == 1


async def test_a_broken_file_fails_with_a_reason_and_keeps_its_text(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    alice = await site.member("alice")
    good, broken = make(tmp_path, "image"), make(tmp_path, "image")[:200]
    files = [("file", ("a.png", good)), ("file", ("b.png", broken))]
    data = {"title": "Half", "text": "Still here"}
    made, news = await news_of(context, alice, lambda: alice.api("POST", "/posts", data=data, files=files))
    assert news.kind == "post.failed"
    path = f"/posts/{made['id']}"
    post = (await alice.api("GET", path)).json()
    assert (post["status"], post["text"], post["pending"]) == ("failed", "Still here", [])
    assert post["failure"].startswith("File 2 of 2: This file is damaged")
    assert [medium["status"] for medium in post["media"]] == ["ready", "failed"]
    made, news = await news_of(context, alice, lambda: alice.api("POST", f"{path}/retry"))
    assert (made["status"], news.kind) == ("processing", "post.failed")
    bad = post["media"][1]["id"]
    made, news = await news_of(context, alice, lambda: alice.api("PATCH", path, json={"remove": [bad]}))
    assert (made["status"], news.kind) == ("ready", "post.ready")


async def test_a_lost_original_never_leaves_a_post_processing(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    alice = await site.member("alice")
    files = {"file": ("a.png", make(tmp_path, "image"))}
    made = (await alice.api("POST", "/posts", data={"title": "x"}, files=files)).json()
    async with context.database.read() as reader:
        query = "select id, source_key from attachments where public_id = :id"
        medium = (await reader.execute(text(query), {"id": made["media"][0]["id"]})).one()
    job = Claimed(1, PROCESS_ATTACHMENT, {"attachment_id": medium.id}, 3, 0, 1)
    handler = HANDLERS[PROCESS_ATTACHMENT]
    assert handler.gave_up is not None
    await handler.gave_up(context, job, "the worker died during this job")
    post = (await alice.api("GET", f"/posts/{made['id']}")).json()
    assert (post["status"], "try again" in post["failure"]) == ("failed", True)
    await alice.api("DELETE", f"/posts/{made['id']}")
    await handler.run(context, [job])
    await handler.gave_up(context, job, "late")


async def test_an_account_takes_everything_along(site: Site, context: worker.Context, tmp_path: Path) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    await bob.api("POST", "/posts", json={"title": "Stays"})
    for number in range(3):
        await alice.api("POST", "/posts", json={"title": str(number)})
    await alice.api("POST", "/posts", data={"title": "x"}, files={"file": ("a.png", make(tmp_path, "image"))})
    assert (await alice.api("DELETE", "/me", json={"password": alice.password})).status_code == 204
    assert (await site.anonymous.get(f"/api/v1/users/{alice.username}/posts")).status_code == 404
    async with context.database.read() as reader:
        row = (await reader.execute(text("select * from jobs where kind = 'content.delete_account'"))).one()
        key = await reader.scalar(
            text("select source_key from attachments join posts on posts.id = post_id where author_id = :id"),
            {"id": alice.id},
        )
        job = Claimed(row.id, row.kind, row.payload, 1, 0, 1)
        await HANDLERS[row.kind].run(context, [job])
        left = text(
            "select (select count(*) from users where id = :id) + (select count(*) from posts where author_id = :id)"
        )
        assert await reader.scalar(left, {"id": alice.id}) == 0
        assert await reader.scalar(left, {"id": bob.id}) == 2
        keys = text("select count(*) from jobs where kind = 'media.delete_objects' and payload -> 'keys' ? :key")
        assert await reader.scalar(keys, {"key": key}) == 1
        await HANDLERS[row.kind].run(context, [job])
