"""What people upload, of every container, codec, turn and oddity: what each becomes, and that a browser shows or plays it.

Films with a ladder are watched in the site's own player: first picture, length, seeking, each size, and captions where
somebody speaks. The table is written to `bench/results/sources.md`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize
from sqlalchemy import text
from tests.browser.conftest import DESK, browser
from tests.browser.test_player import Player
from tests.contract.conftest import Worker
from tests.front_door import Member, Site
from tests.soak.sources import FILMS, REFUSED, SOURCES

from strvsocial import worker
from strvsocial.embeddings.active import ActiveModels
from strvsocial.settings import ROOT

__all__ = ["browser"]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

RESULTS = ROOT / "bench" / "results" / "sources.md"
SPREAD = """
(video) => {
  const canvas = document.createElement('canvas')
  Object.assign(canvas, {width: 64, height: 64})
  const context = canvas.getContext('2d')
  context.drawImage(video, 0, 0, 64, 64)
  const light = context.getImageData(0, 0, 64, 64).data.filter((_, at) => at % 4 < 3)
  return Math.max(...light) - Math.min(...light)
}
"""
"""How far the darkest and the lightest of a film's present picture lie from each other: 0 is one colour."""
PLAY = """
async ({url, kind}) => {
  const media = document.createElement(kind)
  media.muted = true
  media.preload = 'auto'
  const heard = (name) => new Promise((done, fail) => {
    media.addEventListener(name, done, {once: true})
    media.addEventListener('error', () => fail(new Error(`${name}: ${media.error?.message}`)), {once: true})
  })
  const loaded = heard('loadeddata')
  media.src = url
  await loaded
  const sought = heard('seeked')
  media.currentTime = media.duration / 2
  await sought
  const size = kind === 'video' ? [media.videoWidth, media.videoHeight] : []
  return {duration: media.duration, at: media.currentTime, size}
}
"""
SHOW = """
async (url) => {
  const picture = new Image()
  picture.src = url
  await picture.decode()
  return [picture.naturalWidth, picture.naturalHeight]
}
"""


class Theatre:
    """A site whose worker and embedder run, a browser in it, and what became of each source so far."""

    def __init__(self, site: Site, working: Worker, page: Page, author: Member) -> None:
        self.site, self.working, self.page, self.author = site, working, page, author
        self.rows: list[str] = []
        self.problems: list[str] = []

    def note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def add(self, *cells: object) -> None:
        self.rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")

    async def publish(self, name: str, content: bytes) -> dict[str, Any]:
        """The post once all that was wanted of its media is there, captions too where there is sound to listen to."""
        post = await self.working.publish(self.author, [(name, content)])
        for _ in range(900):
            if post["status"] != "ready" or not set(post["pending"]) & {"rendition", "captions"}:
                break
            async with self.site.database.read() as reader:
                await reader.execute(text("select pg_sleep(0.2)"))
            post = (await self.author.client.get(f"/api/v1/posts/{post['id']}")).json()
        return post

    async def became(self, medium_id: str) -> str:
        statement = text(
            "select r.name, r.byte_size, r.state from renditions as r join attachments as a on a.id = r.attachment_id"
            " where a.public_id = :id and r.role not in ('pcm', 'frames') order by r.name"
        )
        async with self.site.database.read() as reader:
            found = (await reader.execute(statement, {"id": medium_id})).all()
        assert {row.state for row in found} == {"ready"}, found
        return ", ".join(f"{row.name} {row.byte_size}" for row in found)


@pytest_asyncio.fixture(scope="module")
async def theatre(site: Site, browser: Browser, web_address: str) -> AsyncIterator[Theatre]:
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        worker.start_lanes(stack, context, {"quick": 2, "long": 1, "ladder": 1}, worker.WORKER_HANDLERS)
        listening = await worker.open_context(stack, site.settings)
        listening.models = ActiveModels(site.settings, listening.database)
        stack.push_async_callback(listening.models.aclose)
        worker.start_lanes(stack, listening, {"embed": 1}, worker.EMBEDDER_HANDLERS)
        opened = await browser.new_context(
            base_url=web_address, viewport=ViewportSize(width=DESK["width"], height=DESK["height"])
        )
        page = await opened.new_page()
        page.set_default_timeout(60_000)
        theatre = Theatre(site, Worker(context), page, await site.cast("uploader"))
        page.on("console", theatre.note)
        page.on("pageerror", lambda error: theatre.problems.append(str(error)))
        yield theatre
        await opened.close()


@pytest.fixture(scope="module", autouse=True)
def table(theatre: Theatre) -> Iterator[None]:
    """Written when the last source is through."""
    yield
    RESULTS.parent.mkdir(exist_ok=True)
    head = "| source | kind | bytes | became | in a browser |\n| --- | --- | ---: | --- | --- |\n"
    RESULTS.write_text(head + "\n".join(theatre.rows) + "\n")


@pytest.mark.parametrize("name", SOURCES)
async def test_a_source_is_shown_or_played(theatre: Theatre, tmp_path: Path, name: str) -> None:
    kind, make = SOURCES[name]
    make(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    post = await theatre.publish(name, content)
    assert (post["status"], post["media_type"]) == ("ready", kind), post["failure"]
    [medium] = post["media"]
    await theatre.page.goto("/explore")
    seen = await (_show(theatre.page, medium) if kind == "image" else _play(theatre.page, medium, kind))
    theatre.add(name, kind, len(content), await theatre.became(medium["id"]), seen)


@pytest.mark.parametrize("name", FILMS)
async def test_a_film_is_watched_in_all_its_sizes(theatre: Theatre, tmp_path: Path, name: str) -> None:
    FILMS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    post = await theatre.publish(name, content)
    assert (post["status"], post["media_type"]) == ("ready", "video"), post["failure"]
    [medium] = post["media"]
    seen = await _watch(theatre.page, post, medium)
    if name.startswith("somebody-speaks"):
        seen += await _read(theatre.page, post)
    assert theatre.problems == []
    theatre.add(name, "video", len(content), await theatre.became(medium["id"]), seen)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_taken_is_refused_in_words(theatre: Theatre, tmp_path: Path, name: str) -> None:
    REFUSED[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    sent = [("file", (name, content))]
    answer = await theatre.author.api("POST", "/posts", data={"title": "A post"}, files=sent)
    if answer.status_code == 201:
        post = await theatre.publish(name, content)
        assert post["status"] == "failed"
        message = post["failure"]
    else:
        assert answer.status_code in (415, 422), answer.text
        message = str(answer.json()["error"]["message"])
    assert message.endswith(".")
    theatre.add(name, "refused", len(content), message, "")


async def _show(page: Page, medium: dict[str, Any]) -> str:
    sizes = []
    for variant in medium["variants"]:
        size = await page.evaluate(SHOW, variant["url"])
        assert size == [variant["width"], variant["height"]], variant
        sizes.append(f"{size[0]}×{size[1]} {variant['mime'].removeprefix('image/')}")
    assert sizes
    return ", ".join(sizes)


async def _play(page: Page, medium: dict[str, Any], kind: str) -> str:
    element = "audio" if kind == "audio" else "video"
    played = await page.evaluate(PLAY, {"url": medium["url"], "kind": element})
    assert played["duration"] == pytest.approx(medium["duration"], abs=0.05 if kind == "audio" else 0.25)
    assert played["at"] == pytest.approx(played["duration"] / 2, abs=0.25)
    if element == "video":
        assert min(played["size"]) > 0
        assert played["size"][0] / played["size"][1] == pytest.approx(medium["width"] / medium["height"], rel=0.03)
    for variant in medium["variants"]:
        other = await page.evaluate(PLAY, {"url": variant["url"], "kind": element})
        if kind == "audio":
            assert other["duration"] == pytest.approx(medium["duration"], abs=0.05)
    size = f"{played['size'][0]}×{played['size'][1]}, " if played["size"] else ""
    return f"{size}{played['duration']:.2f} s, sought to {played['at']:.2f} s"


async def _watch(page: Page, post: dict[str, Any], medium: dict[str, Any]) -> str:
    """Plays a film on its page: first picture, length, place, and every size that the menu offers."""
    await page.goto(post["url"])
    player = Player(page)
    await player.start()
    duration = await player.get("video.duration")
    # What is streamed begins two pictures late where pictures refer to later ones; here six make a second.
    assert duration == pytest.approx(medium["duration"], abs=0.5)
    target = round(duration * 0.6, 2)
    await player.get(f"video.currentTime = {target}")
    await player.has("!video.seeking && video.currentTime >= wanted && video.readyState > 1", target)
    assert await player.video.evaluate(SPREAD) > 60
    menu = await player.open_menu()
    offered = [await radio.get_attribute("value") for radio in await menu.locator("[name^=quality]").all()]
    sizes = sorted((str(one) for one in offered if re.fullmatch(r"\d+p", str(one))), key=lambda one: int(one[:-1]))
    await page.keyboard.press("Escape")
    assert len(sizes) >= 2, offered
    for size in (sizes[0], sizes[-1]):
        await player.choose(size)
        short = int(size[:-1])
        await player.has(
            "Math.abs(Math.min(video.videoWidth, video.videoHeight) - wanted) <= 1 && !video.seeking", short
        )
        await player.has("video.readyState > 1")
        width, height = await player.get("[video.videoWidth, video.videoHeight]")
        assert width / height == pytest.approx(medium["width"] / medium["height"], rel=0.03)
        assert await player.get("video.currentTime") >= target - 1
        assert await player.video.evaluate(SPREAD) > 60
    await player.has("video.ended || video.currentTime > wanted", min(target + 1, duration - 0.5))
    for url in (medium["url"], medium["preview_url"]):
        await page.evaluate(PLAY, {"url": url, "kind": "video"})
    await page.evaluate(SHOW, medium["storyboard"]["url"])
    return f"{width}×{height}, {duration:.2f} s, sought to {target:.2f} s, watched in {', '.join(sizes)}"


async def _read(page: Page, post: dict[str, Any]) -> str:
    """Captions as the player shows them."""
    await page.goto(post["url"])
    player = Player(page)
    await player.start()
    await player.get("[...video.textTracks].forEach(track => { track.mode = 'showing' })")
    await player.has("[...video.textTracks].some(track => track.cues?.length)")
    said = await player.get("[...[...video.textTracks].find(track => track.cues?.length).cues].map(cue => cue.text)")
    assert "fail again" in " ".join(said).lower(), said
    start = await player.get("[...video.textTracks].find(track => track.cues?.length).cues[0].startTime")
    await player.get(f"video.currentTime = {start + 0.2}")
    await player.has("[...video.textTracks].some(track => track.activeCues?.length)")
    return f", {len(said)} captions"
