"""A sound in a post: two ways to play it, the smaller first; a long one leaves the quick lane and is heard before all is done."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import pyvips
from sqlalchemy import text
from tests.content.test_ladders import read, run
from tests.front_door import Site

from strvsocial import worker
from strvsocial.content.work import FINISH_FILM, PROCESS_ATTACHMENT, PROCESS_FILM
from strvsocial.media.sandbox import find_ffmpeg


@pytest_asyncio.fixture
async def context(site: Site) -> AsyncIterator[worker.Context]:
    async with AsyncExitStack() as stack:
        yield await worker.open_context(stack, site.settings)


def _rain(folder: Path, seed: int) -> bytes:
    """Each test has a rain of its own: equal bytes are made ready once."""
    path = folder / "rain.flac"
    cover = folder / "cover.png"
    pyvips.Image.black(64, 48, bands=3).pngsave(str(cover))
    noise = ("-f", "lavfi", "-i", f"anoisesrc=color=pink:seed={seed}:duration=3:amplitude=0.1")
    attached = ("-i", str(cover), "-c:v", "copy", "-disposition:v", "attached_pic", "-map", "0:a", "-map", "1:v")
    subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", *noise, *attached, str(path)], check=True, timeout=60)
    return path.read_bytes()


async def _kinds(context: worker.Context, medium: dict[str, Any]) -> set[str]:
    statement = text(
        "select kind from jobs where payload ->> 'attachment_id' = (select id::text from attachments where public_id = :id)"
    )
    async with context.database.read() as reader:
        return set((await reader.scalars(statement, {"id": medium["id"]})).all())


async def test_a_page_offers_the_smaller_file_first(site: Site, context: worker.Context, tmp_path: Path) -> None:
    rain = _rain(tmp_path, 1)
    alice = await site.member("alice")
    made = await alice.api("POST", "/posts", data={"title": "Rain"}, files={"file": ("rain.flac", rain)})
    await run(context, PROCESS_ATTACHMENT)
    post = await read(alice, made.json()["id"])
    [medium] = post["media"]
    base = f"/media/{medium['id']}"
    assert medium["url"] == f"{base}/play.m4a"
    sizes = {variant["mime"]: variant["bitrate"] for variant in medium["variants"]}
    assert sizes["audio/webm; codecs=opus"] < sizes["audio/mp4"]
    assert medium["loudness"]["integrated"] == pytest.approx(-33, abs=6)
    assert medium["loudness"]["gain"] == pytest.approx(min(20, -16 - medium["loudness"]["integrated"]), abs=0.11)
    page = (await site.anonymous.get(post["url"])).text
    first = f'<source src="{base}/play.webm" type="audio/webm; codecs=opus">'
    second = f'<source src="{base}/play.m4a" type="audio/mp4">'
    assert page.index(first) < page.index(second)
    cover = f'<img src="{base}/poster.webp" alt="" width="64" height="48"'
    assert cover in page
    part = await site.anonymous.get(f"{base}/play.webm", headers={"Range": "bytes=100-199"})
    assert (part.status_code, len(part.content)) == (206, 100)


async def test_a_long_sound_is_heard_before_all_is_done(
    site: Site, context: worker.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rain = _rain(tmp_path, 2)
    monkeypatch.setattr("strvsocial.media.audio.LONG_SECONDS", 2)
    alice = await site.member("alice")
    made = await alice.api("POST", "/posts", data={"title": "A night of rain"}, files={"file": ("rain.flac", rain)})
    [medium] = made.json()["media"]
    assert await _kinds(context, medium) == {PROCESS_ATTACHMENT}
    await run(context, PROCESS_ATTACHMENT)
    assert (await read(alice, made.json()["id"]))["status"] == "processing"
    assert await _kinds(context, medium) == {PROCESS_FILM}
    await run(context, PROCESS_FILM)
    heard = await read(alice, made.json()["id"])
    assert (heard["status"], heard["pending"][0]) == ("ready", "rendition")
    assert [variant["mime"] for variant in heard["media"][0]["variants"]] == ["audio/mp4"]
    await run(context, FINISH_FILM)
    whole = await read(alice, made.json()["id"])
    assert "rendition" not in whole["pending"]
    variants = {variant["mime"]: variant["url"] for variant in whole["media"][0]["variants"]}
    assert set(variants) == {"audio/mp4", "audio/webm; codecs=opus"}
    served = await site.anonymous.get(variants["audio/webm; codecs=opus"])
    assert (served.status_code, served.headers["content-type"]) == (200, "audio/webm; codecs=opus")
    assert await _kinds(context, medium) == set()
