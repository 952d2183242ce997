"""The player of films in a real browser: it plays, seeks, changes size, speaks, remembers, and never leaves one alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, Route, expect
from sqlalchemy import text
from tests.browser.conftest import PHONE, OpenPage, People
from tests.browser.films import CUES, Author, make_film
from tests.browser.test_accessibility import WCAG, check, check_page

NO_HLS = """{
  const asked = HTMLMediaElement.prototype.canPlayType
  HTMLMediaElement.prototype.canPlayType = function (type) { return type.includes('mpegurl') ? '' : asked.call(this, type) }
}"""
"""A browser that does not play HLS by itself, as Firefox."""


@dataclass(frozen=True)
class Scene:
    """A film of 12 seconds in two sizes with captions, and one of 130 seconds that has one size."""

    author: Author
    film: dict[str, Any]
    long: dict[str, Any]

    @property
    def medium(self) -> str:
        return str(self.film["media"][0]["id"])


@pytest.fixture(scope="module")
def scene(address: str, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("films")
    author = Author(address, "ines")
    film = author.publish("Twelve seconds", make_film(folder / "film.mp4", 12))
    long = author.publish("Two minutes", make_film(folder / "long.mp4", 130, "160x120", 2))
    author.settled(film)
    author.caption(film)
    return Scene(author, author.settled(film), author.settled(long))


class Player:
    """The only film of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.film = page.locator("[data-film]").first
        self.video = self.film.locator("video:not(.preview)")

    async def start(self) -> None:
        await self.film.get_by_role("button", name="Play video").click()
        await self.has("!video.paused && video.readyState > 2 && video.currentTime > 0")

    async def has(self, state: str, wanted: object = None) -> None:
        """Waits until an expression over `video` (and `wanted`) holds."""
        await self.page.wait_for_function(
            f"wanted => {{ const video = document.querySelector('[data-film] video'); return {state} }}", arg=wanted
        )

    async def rewind(self) -> None:
        """To its first second, over and over: on a busy machine the film would end before the test does."""
        await self.get("video.loop = true")
        await self.get("video.currentTime = 1")
        await self.has("!video.seeking && !video.paused && video.currentTime < 6")

    async def get(self, expression: str) -> Any:
        return await self.video.evaluate(f"video => {expression}")

    def button(self, name: str) -> Locator:
        return self.film.get_by_role("button", name=name, exact=True)

    async def open_menu(self) -> Locator:
        await self.button("Settings of the video").click()
        return self.film.get_by_role("group", name="Settings of the video")

    async def choose(self, name: str) -> None:
        menu = await self.open_menu()
        await menu.get_by_role("radio", name=name, exact=True).check()
        await self.page.keyboard.press("Escape")
        await expect(menu).to_be_hidden()


async def open_film(open_page: OpenPage, post: dict[str, Any], query: str = "", **options: Any) -> Player:
    page = await open_page(**options)
    await page.goto(f"{post['url']}{query}")
    return Player(page)


async def test_first_picture_length_and_seeking(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)
    asked: list[str] = []
    player.page.on("request", lambda request: asked.append(request.url))
    await player.film.hover()
    assert not [url for url in asked if re.search(r"\.(mp4|m3u8)$", url)], "nobody wanted the film yet"
    await player.start()
    assert await player.get("video.getVideoPlaybackQuality().totalVideoFrames") > 0
    assert not [url for url in asked if "hls" in url], "this browser needs no hls.js"
    await expect(player.film.locator(".player-time")).to_contain_text("/ 0:12")
    seek = player.film.get_by_role("slider", name="Place in the video")
    box = await seek.bounding_box()
    assert box
    await player.page.mouse.click(box["x"] + 7 + (box["width"] - 14) * 0.75, box["y"] + box["height"] / 2)
    await player.has("!video.seeking && Math.abs(video.currentTime - 9) < 1.5")
    await player.button("Pause").click()
    await expect(seek).to_have_attribute("aria-valuetext", re.compile(r"^0:(09|10) of 0:12$"))
    await expect(player.film).to_have_class(re.compile(r"\bpaused\b"))
    await player.button("Play").click()
    await player.has("video.ended")


async def test_scrubbing_shows_the_picture_of_the_moment(open_page: OpenPage, scene: Scene) -> None:
    board = scene.film["media"][0]["storyboard"]
    player = await open_film(open_page, scene.film)
    await player.start()
    await player.button("Pause").click()
    seek = player.film.get_by_role("slider", name="Place in the video")
    box = await seek.bounding_box()
    assert box
    for share in (0.25, 0.75):
        await player.page.mouse.move(box["x"] + 7 + (box["width"] - 14) * share, box["y"] + box["height"] / 2)
        number = int(share * 12 / board["interval"])
        tile = player.film.locator(".player-tile")
        await expect(tile).to_have_attribute("data-tile", str(number))
        column, row = number % board["columns"], number // board["columns"]
        place = f"{-column * board['tile_width']}px {-row * board['tile_height']}px"
        await expect(tile).to_have_css("background-position", place)
        await expect(tile).to_have_css("background-image", re.compile(re.escape(board["url"])))
        await expect(player.film.locator(".player-moment")).to_have_text(f"0:0{int(share * 12)}")
    await player.page.mouse.move(2, 2)
    await expect(tile).to_be_hidden()
    await player.page.keyboard.press("Shift+Tab")
    await expect(seek).to_be_focused()
    await player.page.keyboard.press("ArrowRight")
    await player.has("!video.seeking && video.currentTime > 5")
    now = await player.get("video.currentTime")
    await expect(tile).to_have_attribute("data-tile", str(int(now / board["interval"])))


async def test_captions_are_shown_and_remembered(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)
    await player.start()
    captions = player.button("Captions")
    await expect(captions).to_have_attribute("aria-pressed", "false")
    await captions.click()
    await player.has("video.textTracks[0].mode === 'showing' && video.textTracks[0].activeCues?.length === 1")
    assert await player.get("video.textTracks[0].activeCues[0].text") == CUES[0][2]
    await expect(player.film.get_by_role("status")).to_have_text("Captions · English")
    assert await player.get("video.textTracks[0].activeCues[0].line") < -1, "they lie under the controls"
    await player.page.reload()
    await player.start()
    await expect(player.button("Captions")).to_have_attribute("aria-pressed", "true")
    await player.has("video.textTracks[0].activeCues?.length === 1")


async def test_a_range_that_a_cache_cuts_short_leaves_no_hole(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await page.add_init_script(NO_HLS)
    cut: list[str] = []

    async def cut_short(route: Route) -> None:
        asked = route.request.headers.get("range", "")
        answer = await route.fetch()
        body = await answer.body()
        if len(body) > 4096 and asked not in cut:
            cut.append(asked)
            body = body[:2756]
        await route.fulfill(response=answer, body=body)

    await page.route("**/h*.mp4", cut_short)
    await page.goto(scene.film["url"])
    player = Player(page)
    await player.start()
    await player.has("video.buffered.length === 1 && video.buffered.start(0) < 0.3 && video.buffered.end(0) > 11.5")
    assert cut


@pytest.mark.parametrize("native", [True, False], ids=["native", "hls.js"])
async def test_another_size_is_another_picture(open_page: OpenPage, scene: Scene, native: bool) -> None:
    page = await open_page()
    if not native:
        await page.add_init_script(NO_HLS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(scene.film["url"])
    player = Player(page)
    await player.start()
    assert any("hls" in url and url.endswith(".js") for url in asked) is not native
    menu = await player.open_menu()
    await expect(menu.get_by_role("radio", name=re.compile(r"^Auto( · \d+p)?$"))).to_be_checked()
    await page.keyboard.press("Escape")
    for name, height in (("240p", 240), ("480p", 480)):
        await player.rewind()
        before = await player.get("video.currentTime")
        async with page.expect_request(f"**/h{height}.m3u8"):
            await player.choose(name)
        await player.has("video.videoHeight === wanted && video.readyState > 2 && !video.paused", height)
        assert await player.get("video.currentTime") >= before - 0.5, "it began anew"
    await player.rewind()
    async with page.expect_request("**/sound.m3u8"):
        await player.choose("Audio only")
    before = await player.get("video.currentTime")
    await player.has("video.videoHeight === 0 && !video.paused && video.currentTime > wanted", before)
    await player.rewind()
    await player.choose("480p")
    await player.has("video.videoHeight === 480 && video.readyState > 2 && !video.paused")
    await player.button("Pause").click()
    await player.choose("240p")
    await player.has("video.videoHeight === 240 && video.readyState > 1")
    assert await player.get("video.paused"), "a change of size must not start what was stopped"
    await page.reload()
    await player.start()
    await player.has("video.videoHeight === 240")
    menu = await player.open_menu()
    await expect(menu.get_by_role("radio", name="240p")).to_be_checked()


async def test_speed_volume_and_keys(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)
    await player.start()
    page, press = player.page, player.page.keyboard.press
    await expect(player.button("Pause")).to_be_focused()
    await press("k")
    await player.has("video.paused")
    await press("5")
    await player.has("!video.seeking && Math.abs(video.currentTime - 6) < 0.3")
    await press("j")
    await player.has("video.currentTime === 0")
    await press("l")
    await player.has("Math.abs(video.currentTime - 10) < 0.3")
    await press("ArrowLeft")
    await player.has("Math.abs(video.currentTime - 5) < 0.3")
    await press("m")
    await player.has("video.muted")
    await expect(player.button("Unmute")).to_be_visible()
    await press("ArrowDown")
    await player.has("!video.muted && video.volume === 0.9")
    await press("c")
    await player.has("video.textTracks[0].mode === 'showing'")
    await press(">")
    await player.has("video.playbackRate === 1.25")
    await player.choose("2×")
    await player.has("video.playbackRate === 2")
    await press("f")
    await expect(player.button("Leave full screen")).to_be_visible()
    assert await page.evaluate("document.fullscreenElement?.matches('[data-film]')")
    await press("f")
    await expect(player.button("Full screen")).to_be_visible()
    await press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts of the player")
    await expect(dialog).to_contain_text("Slower or faster")
    await press("Escape")
    await expect(dialog).to_have_count(0)
    assert page.url.endswith(scene.film["url"]), "the page's own keys answered as well"
    await page.reload()
    await player.start()
    assert await player.get("[video.playbackRate, video.volume]") == [2, 0.9]


async def test_a_walk_by_tab_through_the_controls(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)
    page = player.page
    await player.film.get_by_role("button", name="Play video").focus()
    await page.keyboard.press("Enter")
    await player.has("video.currentTime > 0")
    walked: list[str] = []
    await player.film.get_by_role("slider", name="Place in the video").focus()
    for _ in range(8):
        walked.append(await page.evaluate("document.activeElement.getAttribute('aria-label')"))
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        await page.keyboard.press("Tab")
    assert walked == [
        "Place in the video", "Pause", "Mute", "Volume", "Captions", "Settings of the video", "Picture in picture", "Full screen",
    ]  # fmt: skip
    await player.button("Settings of the video").focus()
    await page.keyboard.press("Enter")
    menu = player.film.get_by_role("group", name="Settings of the video")
    await expect(menu.get_by_role("radio", name=re.compile("^Auto"))).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(player.button("Settings of the video")).to_be_focused()


async def test_controls_go_while_it_plays_but_never_from_under_the_focus(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)
    await player.start()
    idle = re.compile(r"\bidle\b")
    bar = player.film.locator(".player-bar")
    await player.page.mouse.move(2, 2)
    await expect(player.film).to_have_class(idle)
    await expect(bar).to_have_css("opacity", "0")
    await player.film.hover()
    await expect(bar).to_have_css("opacity", "1")
    await player.page.mouse.move(2, 2)
    await expect(player.film).to_have_class(idle)
    await player.page.keyboard.press("k")
    await expect(player.button("Play")).to_be_focused()
    await expect(bar).to_have_css("opacity", "1")
    await expect(player.film).not_to_have_class(idle)


async def test_long_films_go_on_where_one_left(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.long)
    await player.start()
    await player.page.keyboard.press("5")
    await player.has("!video.seeking && video.currentTime > 64")
    await player.button("Pause").click()
    await player.page.reload()
    await player.start()
    await player.has("video.currentTime > 60")
    await expect(player.film).to_contain_text("Resumed at 1:05")
    await player.button("Start over").click()
    await player.has("video.currentTime < 20")
    await player.get("video.currentTime = 129")
    await player.has("video.ended")
    assert await player.page.evaluate("localStorage.getItem('film-places')") == "{}"
    await player.page.goto(f"{scene.long['url']}?t=20&end=22")
    await player.start()
    await player.has("video.paused")
    assert 21.9 <= await player.get("video.currentTime") < 23


async def test_places_are_not_kept_without_end(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.long)
    many = {f"film{number}": 60 for number in range(250)}
    await player.page.evaluate("many => localStorage.setItem('film-places', JSON.stringify(many))", many)
    await player.start()
    await player.page.keyboard.press("3")
    await player.has("!video.seeking && video.currentTime > 38")
    await player.button("Pause").click()
    await player.page.wait_for_function(
        "() => Object.keys(JSON.parse(localStorage.getItem('film-places'))).length <= 200"
    )
    places = await player.page.evaluate("JSON.parse(localStorage.getItem('film-places'))")
    assert scene.long["media"][0]["id"] in places
    assert ("film249" in places, "film0" in places) == (True, False)


@pytest.mark.parametrize("native", [True, False], ids=["native", "hls.js"])
async def test_a_broken_stream_gives_way_to_the_file(open_page: OpenPage, scene: Scene, native: bool) -> None:
    page = await open_page()
    if not native:
        await page.add_init_script(NO_HLS)

    async def refuse(route: Route) -> None:
        await route.abort("connectionreset")

    await page.route("**/*.m3u8", refuse)
    await page.goto(scene.film["url"])
    player = Player(page)
    await player.start()
    assert (await player.get("video.currentSrc")).endswith("/play.mp4")
    await expect(player.film.get_by_role("alert")).to_be_hidden()


async def test_what_cannot_be_played_is_said_and_tried_again(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)

    async def refuse(route: Route) -> None:
        await route.abort("connectionreset")

    await player.page.route(re.compile(r"\.(m3u8|mp4)$"), refuse)
    await player.film.get_by_role("button", name="Play video").click()
    trouble = player.film.get_by_role("alert")
    await expect(trouble).to_contain_text("The video could not be loaded.")
    await player.page.unroute(re.compile(r"\.(m3u8|mp4)$"))
    await trouble.get_by_role("button", name="Try again").click()
    await player.has("video.currentTime > 0")
    await expect(trouble).to_be_hidden()


async def test_sizes_that_are_made_meanwhile_join(open_page: OpenPage, people: People, scene: Scene) -> None:
    """The state of the moment when only the lowest size is there, then the moment after."""
    rungs = text(
        "update renditions set state = :state where name in ('h480.mp4', 'play.mp4') and attachment_id ="
        " (select id from attachments where public_id = :medium)"
    )
    pending = text("update posts set pending = cast(:pending as varchar[]) where public_id = :post")
    async with people.database.transaction() as db:
        await db.execute(rungs, {"state": "wanted", "medium": scene.medium})
        await db.execute(pending, {"pending": ["rendition"], "post": scene.film["id"]})
    try:
        player = await open_film(open_page, scene.film)
        await player.start()
        await player.has("video.videoHeight === 240")
        menu = await player.open_menu()
        await expect(menu.get_by_role("radio", name="240p", exact=True)).to_be_visible()
        assert await menu.get_by_role("radio", name="480p").count() == 0
    finally:
        async with people.database.transaction() as db:
            await db.execute(rungs, {"state": "ready", "medium": scene.medium})
            await db.execute(pending, {"pending": [], "post": scene.film["id"]})
    await expect(menu.get_by_role("radio", name="480p")).to_be_visible()
    await menu.get_by_role("radio", name="480p").check()
    await player.has("video.videoHeight === 480")


async def test_lines_of_the_transcript_lead_to_their_second(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film)
    lines = player.page.locator(".said-lines li")
    await lines.nth(2).get_by_role("link").click()
    await player.has("!video.paused && video.currentTime >= 8")
    await expect(lines.nth(2)).to_have_attribute("aria-current", "true")
    await lines.nth(1).get_by_role("link").click()
    await player.has("!video.seeking && video.currentTime >= 4 && video.currentTime < 8")
    await expect(lines.nth(1)).to_have_attribute("aria-current", "true")
    assert player.page.url.endswith("?t=4")


async def test_links_and_downloads(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film, permissions=["clipboard-read", "clipboard-write"])
    await player.start()
    await player.button("Pause").click()
    await player.page.keyboard.press("5")
    await player.has("!video.seeking && video.currentTime >= 6")
    menu = await player.open_menu()
    await expect(menu.get_by_role("link", name="Download")).to_have_attribute("href", re.compile(r"/play\.mp4$"))
    await menu.get_by_role("button", name="Copy link to this moment").click()
    await expect(player.film.get_by_role("status")).to_have_text("Link to 0:06 copied")
    copied = await player.page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(f"{scene.film['url']}?t=6")


async def test_touch(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film, viewport=PHONE, has_touch=True, is_mobile=True)
    await player.film.get_by_role("button", name="Play video").tap()
    await player.has("video.currentTime > 0")
    small = await player.film.evaluate(
        """film => [...film.querySelectorAll('.player-button, .player-seek')].map((one) => one.getBoundingClientRect())
            .filter(({ width, height }) => width && Math.min(width, height) < 43.5).length"""
    )
    assert small == 0
    menu = await player.open_menu()
    short = await menu.evaluate(
        """menu => [...menu.querySelectorAll('label, a, button')]
            .filter((one) => one.offsetWidth && one.offsetHeight < 43.5).map((one) => one.textContent)"""
    )
    assert short == []
    await player.page.keyboard.press("Escape")
    box = await player.video.bounding_box()
    assert box
    before = await player.get("video.currentTime")
    x, y = box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.3
    await player.page.touchscreen.tap(x, y)
    await player.page.touchscreen.tap(x, y)
    await player.has("video.ended || video.currentTime > wanted + 9", before)


async def test_axe_on_the_player_in_every_look(open_page: OpenPage, scene: Scene) -> None:
    player = await open_film(open_page, scene.film, reduced_motion="reduce")
    await player.start()
    await player.button("Pause").click()
    assert await check_page(player.page) == []
    await player.open_menu()
    assert await check_page(player.page) == []
    await player.page.goto("/?feed=latest")
    await player.start()
    await player.page.evaluate(Axe().axe_script)
    assert await check(player.page, {"runOnly": {"type": "tag", "values": WCAG}}) == []


async def test_without_scripts(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page(java_script_enabled=False)
    await page.goto(f"{scene.film['url']}?t=4")
    video = page.locator("[data-film] video")
    await expect(video).to_have_attribute("controls", "")
    await expect(video.locator("source")).to_have_attribute("src", re.compile(r"/play\.mp4#t=4$"))
    await expect(video.locator("track")).to_have_attribute("label", "English")
    download = page.get_by_role("link", name="Download the video")
    await expect(download).to_be_visible()
    await expect(download).to_have_attribute("href", re.compile(r"/play\.mp4$"))
