"""A film that can be watched while its other sizes are still made: the post, its stream, and what happens on failure."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site

from strvsocial import worker
from strvsocial.content.jobs import HANDLERS
from strvsocial.content.work import FINISH_FILM, PREVIEW_FILM, PROCESS_FILM
from strvsocial.jobs import OUT_OF_TIME, Claimed
from strvsocial.live import Listener, News
from strvsocial.media import sandbox
from strvsocial.media.sandbox import Crashed, find_ffmpeg


@pytest_asyncio.fixture
async def context(site: Site) -> AsyncIterator[worker.Context]:
    """A worker with nothing left to do from other tests."""
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        async with context.database.transaction() as db:
            await db.execute(text("delete from jobs"))
        yield context


def make_film(folder: Path, seconds: int = 11) -> bytes:
    path = folder / "film.webm"
    source = ["-f", "lavfi", "-i", f"testsrc2=size=640x480:rate=10:duration={seconds}"]
    source += ["-f", "lavfi", "-i", f"sine=duration={seconds}"]
    codecs = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"]
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *source, *codecs, str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


async def publish(context: worker.Context, author: Member, film: bytes, **fields: str) -> dict[str, Any]:
    """Publishes a film and does the first job of it."""
    answer = await author.api("POST", "/posts", data={"title": "A film", **fields}, files={"file": ("film.webm", film)})
    assert answer.status_code == 201, answer.text
    await run(context, PROCESS_FILM)
    return await read(author, answer.json()["id"])


async def read(member: Member, post_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await member.api("GET", f"/posts/{post_id}")).json()
    return shown


async def run(context: worker.Context, kind: str) -> Claimed:
    """Does the only job of a kind, as its lane would."""
    job = await take(context, kind)
    await HANDLERS[kind].run(context, [job])
    return job


async def take(context: worker.Context, kind: str, attempts: int = 1) -> Claimed:
    """The only job of a kind, away from all lanes."""
    async with context.database.transaction() as db:
        statement = text("delete from jobs where kind = :kind returning id, kind, payload, priority")
        row = (await db.execute(statement, {"kind": kind})).one()
    return Claimed(row.id, row.kind, row.payload, attempts, row.priority, 0)


async def playlist(member: Member, url: str) -> httpx.Response:
    return await member.client.get(url)


async def test_sizes_follow_while_the_film_is_watched(site: Site, context: worker.Context, tmp_path: Path) -> None:
    author, other = await site.member("author"), await site.member("other")
    post = await publish(context, author, make_film(tmp_path))
    assert (post["status"], post["pending"]) == ("ready", ["rendition", "captions", "embedding"])
    [medium] = post["media"]
    assert (medium["url"], medium["mime"]) == (f"/media/{medium['id']}/h240.mp4", "video/mp4")
    assert (medium["width"], medium["height"]) == (640, 480)
    assert (await playlist(author, medium["hls_url"])).text.count("#EXT-X-STREAM-INF") == 1
    assert (medium["storyboard"], medium["preview_url"]) == (None, None)
    for name in ("h480.mp4", "play.mp4", "storyboard.webp", "preview.mp4"):
        assert (await author.client.get(f"/media/{medium['id']}/{name}")).status_code == 404
    waiting = {one["name"]: (one["role"], one["state"], one["progress"]) for one in medium["unfinished"]}
    assert waiting["h480.mp4"] == ("rung", "waiting", 0)
    assert waiting["play.mp4"] == ("playback", "waiting", 0)
    first = (await author.client.get(medium["url"])).content

    await run(context, FINISH_FILM)
    post = await read(author, post["id"])
    assert post["pending"] == ["captions", "embedding"]
    [medium] = post["media"]
    assert medium["unfinished"] == []
    assert medium["url"] == f"/media/{medium['id']}/play.mp4"
    assert {variant["url"].rpartition("/")[2] for variant in medium["variants"]} == {"h240.mp4", "h480.mp4", "play.mp4"}
    assert medium["storyboard"] == {
        "url": f"/media/{medium['id']}/storyboard.webp", "columns": 10, "rows": 2, "tile_width": 160,
        "tile_height": 120, "interval": pytest.approx(1, abs=0.05), "count": 11,
    }  # fmt: skip
    assert medium["preview_url"] == f"/media/{medium['id']}/preview.mp4"
    master = await playlist(author, medium["hls_url"])
    assert master.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    names = [line for line in master.text.splitlines() if not line.startswith("#")]
    assert sorted(names[:2]) == ["h240.m3u8", "h480.m3u8"]
    assert names[2:] == ["sound.m3u8"]
    assert master.text.splitlines()[-2].endswith(',CODECS="mp4a.40.2"')
    assert "RESOLUTION" not in master.text.splitlines()[-2]
    heard = await author.client.get(f"/media/{medium['id']}/sound.mp4")
    assert (heard.status_code, heard.headers["content-type"]) == (200, "audio/mp4")
    for name in names:
        answer = await author.client.get(f"/media/{medium['id']}/{name}")
        assert answer.headers["content-type"].startswith("application/vnd.apple.mpegurl")
        assert answer.text.endswith("#EXT-X-ENDLIST\n")
    assert (await author.client.get(f"/media/{medium['id']}/h240.mp4")).content == first

    async with site.database.read() as reader:
        jobs = await reader.scalar(text("select count(*) from jobs where kind = :kind"), {"kind": FINISH_FILM})
        assert jobs == 0
    assert (await author.api("PATCH", f"/posts/{post['id']}", json={"visibility": "private"})).status_code == 200
    for name in ("master.m3u8", "h240.m3u8", "h480.mp4", "storyboard.webp", "preview.mp4", "sound.mp4"):
        assert (await author.client.get(f"/media/{medium['id']}/{name}")).status_code == 200
        assert (await other.client.get(f"/media/{medium['id']}/{name}")).status_code == 404
        assert (await site.anonymous.get(f"/media/{medium['id']}/{name}")).status_code == 404


async def test_a_preview_whose_decoder_is_killed_is_made_when_the_job_is_tried_again(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    author = await site.member("author")
    post = await publish(context, author, make_film(tmp_path))
    job = await take(context, FINISH_FILM)

    async def finish() -> None:
        await HANDLERS[FINISH_FILM].run(context, [job])

    finishing = asyncio.create_task(finish())
    await kill_decoder("file:preview.mp4", finishing)
    with pytest.raises(Crashed):
        await finishing
    waiting = {one["name"]: one["state"] for one in (await read(author, post["id"]))["media"][0]["unfinished"]}
    assert waiting == {"preview.mp4": "waiting"}
    await finish()
    [medium] = (await read(author, post["id"]))["media"]
    assert (medium["unfinished"], medium["preview_url"]) == ([], f"/media/{medium['id']}/preview.mp4")


async def kill_decoder(argument: str, task: asyncio.Task[None]) -> None:
    """Kills the first decoder that is started with this argument while the task runs."""
    while not task.done():
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if argument in process.cmdline()[-1:]:
                    process.kill()
                    return
        await asyncio.sleep(0.005)
    await task
    raise AssertionError(f"no decoder with {argument}")


async def test_a_film_whose_other_sizes_fail_stays_as_it_is(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    author, other = await site.member("author"), await site.member("other")
    post = await publish(context, author, make_film(tmp_path))
    job = await take(context, FINISH_FILM, attempts=3)
    gave_up = HANDLERS[FINISH_FILM].gave_up
    assert gave_up is not None
    await gave_up(context, job, OUT_OF_TIME)
    post = await read(author, post["id"])
    assert (post["status"], post["pending"], post["failure"]) == ("ready", ["captions", "embedding"], None)
    assert post["media"][0]["url"].endswith("h240.mp4")
    failed = {one["name"]: (one["state"], one["failure"]) for one in post["media"][0]["unfinished"]}
    assert failed["h480.mp4"][0] == "failed"
    assert "longer than we allow" in failed["h480.mp4"][1]
    for path in ("/?feed=latest", f"/p/{post['id']}"):
        shown = (await author.browser.get(path)).text
        assert (
            "480p, the sound alone, the file for downloads, the preview and the pictures on the timeline could not be made."
            in shown
        )
        assert f'action="/p/{post["id"]}/retry"' in shown
        assert "could not be made" not in (await other.browser.get(path)).text

    assert (await other.api("POST", f"/posts/{post['id']}/retry")).status_code == 403
    again = await author.api("POST", f"/posts/{post['id']}/retry")
    assert (again.status_code, again.json()["status"]) == (200, "ready")
    assert again.json()["pending"] == ["rendition", "captions", "embedding"]
    assert {one["state"] for one in again.json()["media"][0]["unfinished"]} == {"waiting"}
    assert (await author.api("POST", f"/posts/{post['id']}/retry")).status_code == 409
    await run(context, FINISH_FILM)
    post = await read(author, post["id"])
    assert (post["pending"], post["media"][0]["unfinished"]) == (["captions", "embedding"], [])


async def test_sizes_that_failed_are_made_when_an_admin_tries_their_job_again(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    author = await site.member("author")
    post = await publish(context, author, make_film(tmp_path))
    job = await take(context, FINISH_FILM, attempts=3)
    gave_up = HANDLERS[FINISH_FILM].gave_up
    assert gave_up is not None
    await gave_up(context, job, "out of memory")
    await HANDLERS[FINISH_FILM].run(context, [job])  # An admin tries it again.
    assert (await read(author, post["id"]))["media"][0]["url"].endswith("play.mp4")


async def test_sizes_that_were_made_are_not_made_again(site: Site, context: worker.Context, tmp_path: Path) -> None:
    author = await site.member("author")
    post = await publish(context, author, make_film(tmp_path))
    job = await run(context, FINISH_FILM)
    statement = text("select name, id, created_at from renditions where attachment_id = :id order by name")
    async with context.database.read() as reader:
        before = (await reader.execute(statement, {"id": job.payload["attachment_id"]})).all()
    await HANDLERS[FINISH_FILM].run(context, [job])
    await HANDLERS[PROCESS_FILM].run(context, [Claimed(0, PROCESS_FILM, job.payload, 1, 0, 0)])
    async with context.database.read() as reader:
        after = (await reader.execute(statement, {"id": job.payload["attachment_id"]})).all()
    assert before == after
    assert len(before) == 12
    assert (await read(author, post["id"]))["pending"] == ["captions", "embedding"]


async def test_a_short_film_gets_its_preview_where_short_work_is(
    site: Site, context: worker.Context, tmp_path: Path
) -> None:
    author = await site.member("author")
    post = await publish(context, author, make_film(tmp_path, 2))
    assert (post["status"], post["pending"]) == ("ready", ["rendition", "captions", "embedding"])
    async with context.database.read() as reader:
        queue = await reader.scalar(text("select queue from jobs where kind = :kind"), {"kind": PREVIEW_FILM})
    assert queue == HANDLERS[PREVIEW_FILM].queue == "quick"
    await run(context, PREVIEW_FILM)
    post = await read(author, post["id"])
    [medium] = post["media"]
    assert post["pending"] == ["captions", "embedding"]
    assert (medium["storyboard"], medium["hls_url"]) == (None, None)
    preview = await author.client.get(medium["preview_url"])
    assert (preview.status_code, preview.headers["content-type"]) == (200, "video/mp4")
    assert medium["preview_url"] not in {medium["url"], *(variant["url"] for variant in medium["variants"])}


async def test_a_storyboard_that_fails_takes_nothing_along(
    site: Site, context: worker.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = await site.member("author")
    post = await publish(context, author, make_film(tmp_path))
    children = tmp_path / "children"
    children.mkdir()
    for child in sandbox.CHILDREN.glob("*.py"):
        (children / child.name).write_bytes(child.read_bytes())
    (children / "film.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "CHILDREN", children)
        await run(context, FINISH_FILM)
    post = await read(author, post["id"])
    [medium] = post["media"]
    assert (post["status"], post["pending"], post["failure"]) == ("ready", ["captions", "embedding"], None)
    assert (medium["url"], medium["storyboard"]) == (f"/media/{medium['id']}/play.mp4", None)
    assert medium["preview_url"]
    async with context.database.read() as reader:
        state = text("select state from renditions as r join attachments as a on a.id = r.attachment_id"
                     " where a.public_id = :id and r.name = 'storyboard.webp'")  # fmt: skip
        assert await reader.scalar(state, {"id": medium["id"]}) == "failed"


async def test_the_author_hears_how_far_the_sizes_are(site: Site, context: worker.Context, tmp_path: Path) -> None:
    """Real news of a real run: it is let begin, told of, and read from its rows, before it may end."""
    author = await site.member("author")
    post = await publish(context, author, make_film(tmp_path, 60))
    slow = replace(context, settings=context.settings.model_copy(update={"ffmpeg_threads": 1, "decoder_niceness": 19}))
    heard: list[dict[str, Any]] = []
    async with listening(site, author) as news:
        running = asyncio.create_task(run(slow, FINISH_FILM))
        async with asyncio.timeout(60):
            while (one := await news.get()).kind == "post.progress":
                heard.append(one.data)
        await running
    assert (one.kind, one.data["pending"]) == ("post.ready", ["captions", "embedding"])
    assert heard
    assert all((data["id"], data["percent"]) == (post["id"], 100) for data in heard)
    percents = [data["sizes"]["h480.mp4"] for data in heard]
    assert percents == sorted(percents)
    assert 1 <= percents[0] < 100


@asynccontextmanager
async def listening(site: Site, member: Member) -> AsyncIterator[asyncio.Queue[News]]:
    listener = Listener(site.settings.direct_url)
    connected = asyncio.Event()
    listener.on_vectors = connected.set
    listener.start()
    try:
        await connected.wait()
        async with listener.subscribe(member.id) as news:
            yield news
    finally:
        await listener.aclose()
