"""What moves in lists: previews of films for who asks for them, and GIFs that never move against anybody's will."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import PHONE, OpenPage
from tests.browser.films import Author, make_film

from strvsocial.demo.files import write_gif
from strvsocial.demo.films import GIFS


@dataclass(frozen=True)
class Scene:
    film: dict[str, Any]
    gif: dict[str, Any]

    @property
    def preview(self) -> str:
        return str(self.film["media"][0]["preview_url"])


@pytest.fixture(scope="module")
def scene(address: str, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("moving")
    author = Author(address, "hugo")
    film = author.publish("A short film", make_film(folder / "film.mp4", 4, "320x180"))
    frames, pause = GIFS["pendulums"]
    write_gif(folder / "lines.gif", list(frames())[:12], pause)
    gif = author.publish("Lines that swing", folder / "lines.gif")
    return Scene(author.settled(film), author.settled(gif))


def note_media(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith(".mp4") else None)
    return asked


@pytest.mark.parametrize("path", ["/?feed=latest", "/explore"])
async def test_a_pointer_that_rests_sees_a_preview(open_page: OpenPage, scene: Scene, path: str) -> None:
    page = await open_page()
    asked = note_media(page)
    await page.goto(path)
    card = page.locator(f"[data-preview='{scene.preview}']")
    place = await card.bounding_box()
    await card.scroll_into_view_if_needed()
    assert not [url for url in asked if scene.film["media"][0]["id"] in url]
    await card.hover()
    preview = card.locator("video.preview.shown")
    await expect(preview).to_have_css("opacity", "1")
    assert await preview.evaluate("film => film.muted && !film.paused && film.videoWidth > 0")
    assert await page.evaluate("scrollY") or await card.bounding_box() == place, "the page moved"
    await page.mouse.move(2, 2)
    await expect(card.locator("video.preview")).to_have_count(0)


async def test_the_keyboards_focus_sees_it_too_and_a_click_plays_the_film(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await page.goto("/?feed=latest")
    card = page.locator(f"[data-preview='{scene.preview}']")
    await page.keyboard.press("Tab")
    await card.get_by_role("button", name="Play video, 0:04").focus()
    await expect(card.locator("video.preview.shown")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(card.get_by_role("button", name="Pause")).to_be_focused()
    await expect(card.locator("video")).to_have_count(1)


@pytest.mark.parametrize(
    "options",
    [{"reduced_motion": "reduce"}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}],
    ids=["less motion", "touch"],
)
async def test_nothing_moves_by_itself(open_page: OpenPage, scene: Scene, options: dict[str, Any]) -> None:
    page = await open_page(**options)
    await page.goto("/?feed=latest")
    card = page.locator(f"[data-preview='{scene.preview}']")
    await card.hover()
    await card.get_by_role("button", name="Play video").focus()
    # The preview comes after 300 ms where it comes.
    await page.wait_for_timeout(700)
    await expect(page.locator("video.preview")).to_have_count(0)


async def test_gifs_play_while_they_are_seen_and_stop_when_told(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page(viewport={"width": 1280, "height": 500})
    await page.goto(scene.gif["url"])
    gif = page.locator("[data-gif]")
    pause, play = gif.get_by_role("button", name="Pause animation"), gif.get_by_role("button", name="Play animation")
    await expect(pause).to_be_visible()
    await page.wait_for_function("() => document.querySelector('[data-gif] video').currentTime > 0")
    await page.evaluate("document.body.style.paddingBottom = '200vh'")
    await page.mouse.wheel(0, 900)
    await expect(play).to_have_count(1)
    await page.mouse.wheel(0, -900)
    await pause.click()
    await expect(play).to_be_visible()
    await page.mouse.wheel(0, 900)
    await page.mouse.wheel(0, -900)
    await expect(play).to_be_visible()
    assert await gif.locator("video").evaluate("video => video.paused")


async def test_gifs_wait_where_less_motion_is_wanted(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page(reduced_motion="reduce")
    asked = note_media(page)
    await page.goto(scene.gif["url"])
    gif = page.locator("[data-gif]")
    play = gif.get_by_role("button", name="Play animation")
    await expect(play).to_be_visible()
    assert asked == [], "it was loaded though nobody may see it move"
    await gif.locator("video").click()
    await page.wait_for_function("() => document.querySelector('[data-gif] video').currentTime > 0")
    await gif.get_by_role("button", name="Pause animation").click()
    await expect(play).to_be_visible()


async def test_without_scripts_nothing_moves_by_itself(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page(java_script_enabled=False)
    asked = note_media(page)
    await page.goto(scene.gif["url"])
    video = page.locator("[data-gif] video")
    await expect(video).to_have_attribute("controls", "")
    await expect(video).not_to_have_attribute("autoplay", re.compile(".*"))
    assert asked == []
