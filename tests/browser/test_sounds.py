"""Sounds on cards and on their own pages: the waveform, by pointer and by keyboard, with and without scripts."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import expect
from tests.browser.conftest import DESK, PHONE, OpenPage, People, log_in
from tests.browser.sounds import HEARD, at, box_of, client_of, hear, post_file, swells
from tests.browser.test_accessibility import check_page

from strvsocial.users.models import User

LINES = [
    {"start": 0, "end": 12, "text": "It rains on the roof of the shed."},
    {"start": 12, "end": 24, "text": "Somewhere a gutter runs over."},
    {"start": 24, "end": 40, "text": "Then it stops."},
]


class Sounds(NamedTuple):
    author: User
    short: str
    long: str


@pytest_asyncio.fixture(scope="module")
async def sounds(address: str, people: People) -> Sounds:
    """Forty seconds with a transcript, and five minutes and a bit."""
    user = await people.join("ada")
    async with client_of(address, user) as client:
        short, long = await asyncio.gather(
            post_file(client, "Rain on the shed", "rain.wav", swells(40)),
            post_file(client, "An hour by the weir", "weir.wav", swells(310)),
        )
        (await client.patch(f"/posts/{short}/captions", json={"segments": LINES, "language": "en"})).raise_for_status()
    return Sounds(user, short, long)


async def test_a_sound_is_drawn_and_plays_without_scripts(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page(java_script_enabled=False)
    await page.goto(f"/p/{sounds.short}")
    box = page.locator(".single [data-sound]")
    bars = await box.locator(".wave path").first.get_attribute("d")
    assert (bars or "").count("M") == 80
    await expect(box.locator(".toggle")).to_be_hidden()
    await expect(box.locator(".seek")).to_be_hidden()
    native = box.locator("audio[controls]")
    await expect(native).to_be_visible()
    await native.click(position={"x": 22, "y": 20})
    await expect(native).to_have_js_property("paused", False)
    async with asyncio.timeout(15):
        while not await native.evaluate("audio => audio.currentTime > 0.3"):
            await asyncio.sleep(0.05)


async def test_the_waveform_is_a_slider_for_the_keyboard(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page()
    await page.goto(f"/p/{sounds.short}")
    slider = page.get_by_role("slider", name="Place in Rain on the shed")
    await slider.focus()
    for key, words in (
        ("ArrowRight", "0:05 of 0:40"),
        ("ArrowUp", "0:10 of 0:40"),
        ("PageUp", "0:40 of 0:40"),
        ("ArrowLeft", "0:35 of 0:40"),
        ("PageDown", "0:05 of 0:40"),
        ("End", "0:40 of 0:40"),
        ("Home", "0:00 of 0:40"),
        ("ArrowDown", "0:00 of 0:40"),
    ):
        await page.keyboard.press(key)
        await expect(slider).to_have_attribute("aria-valuetext", words)
    assert await page.locator(".single .track").evaluate("track => getComputedStyle(track).outlineStyle") == "solid"
    await page.keyboard.press("PageUp")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await hear(page, 30.1)
    await expect(page.get_by_role("button", name="Pause Rain on the shed")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowLeft")
    await page.wait_for_function(f"() => {HEARD}.currentTime < 30")
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Speed of Rain on the shed")).to_be_focused()


async def test_the_waveform_is_sought_by_pointer(open_page: OpenPage, sounds: Sounds) -> None:
    """A click plays from there, a drag goes where it ends, and what was heard is coloured."""
    page = await open_page()
    await page.goto(f"/p/{sounds.short}")
    box = await page.locator(".single .track").bounding_box()
    assert box
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    await hear(page, 20)
    assert await at(page) < 24
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20, steps=4)
    await expect(page.locator(".single .at")).to_have_text("0:08")
    assert await at(page) >= 20
    await page.mouse.up()
    await page.wait_for_function(f"() => {HEARD}.currentTime < 12")
    done = await page.locator(".single .track").evaluate("track => parseFloat(track.style.getPropertyValue('--done'))")
    assert 19 <= done <= 30


async def test_one_sound_at_a_time_and_each_stays_where_it_was(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page()
    await page.goto("/?feed=latest")
    rain, weir = box_of(page, "Rain on the shed"), box_of(page, "An hour by the weir")
    await rain.locator(".toggle").click()
    await hear(page, 1)
    await weir.locator(".toggle").click()
    await hear(page, 0.2)
    await expect(rain).not_to_have_class(re.compile(r"\bon\b"))
    await expect(weir).to_have_class(re.compile(r"\bon\b"))
    await expect(rain.locator(".seek")).not_to_have_js_property("value", "0")
    await rain.locator(".toggle").click()
    await hear(page, 1.2)
    await rain.locator(".toggle").click()
    await expect(rain.get_by_role("button", name="Play Rain on the shed")).to_be_visible()


async def test_speed_and_the_place_in_a_long_sound_are_remembered(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page()
    await page.goto(f"/p/{sounds.long}")
    await page.get_by_label("Speed of An hour by the weir").select_option("1.5")
    slider = page.get_by_role("slider", name="Place in An hour by the weir")
    for _ in range(4):
        await slider.press("PageUp")
    await page.get_by_role("button", name="Play An hour by the weir").click()
    await hear(page, 120.5)
    assert await page.evaluate(f"{HEARD}.playbackRate") == 1.5
    await page.goto(f"/p/{sounds.short}")
    await expect(page.get_by_label("Speed of Rain on the shed")).to_have_value("1.5")
    await page.goto(f"/p/{sounds.long}")
    await expect(page.locator(".single .at")).to_have_text(re.compile("2:0."))
    await page.goto(f"/p/{sounds.long}?t=60")
    await expect(page.locator(".single .at")).to_have_text("1:00")


async def test_links_start_there_and_the_transcript_leads_on(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page()
    await page.goto(f"/p/{sounds.short}?t=13")
    await page.get_by_role("button", name="Play Rain on the shed").click()
    await hear(page, 13.1)
    assert await at(page) < 20
    await expect(page.locator(".said-lines [aria-current]")).to_contain_text("gutter")
    await page.get_by_role("link", name="0:24").click()
    await hear(page, 24.1)
    await expect(page.locator(".said-lines [aria-current]")).to_contain_text("Then it stops")
    assert page.url.endswith("?t=24")


async def test_a_link_can_say_where_it_ends(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page()
    await page.goto(f"/p/{sounds.short}?t=5&end=6")
    await page.get_by_role("button", name="Play Rain on the shed").click()
    await page.wait_for_function(f"() => {HEARD}?.paused && {HEARD}.currentTime > 5.5")
    assert await at(page) < 8


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
async def test_nothing_moves_when_the_player_comes(
    open_page: OpenPage, sounds: Sounds, viewport: dict[str, int]
) -> None:
    """The player without scripts is as large as with them."""
    plain, scripted = await open_page(viewport=viewport, java_script_enabled=False), await open_page(viewport=viewport)
    sizes = []
    for page in (plain, scripted):
        await page.goto(f"/p/{sounds.short}")
        await expect(page.locator(".single .toggle")).to_be_visible(visible=page is scripted)
        sizes.append(await page.locator("[data-sound]").evaluate("box => [box.offsetWidth, box.offsetHeight]"))
    assert sizes[0] == sizes[1]


async def test_axe_on_sounds(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page(reduced_motion="reduce")
    await log_in(page, sounds.author)
    for path in ("/?feed=latest", f"/p/{sounds.short}", f"/p/{sounds.short}/captions"):
        await page.goto(path)
        await expect(page.locator("[data-sound] .toggle").first).to_be_visible()
        assert await check_page(page) == [], path


async def test_targets_on_touch(open_page: OpenPage, sounds: Sounds) -> None:
    page = await open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    await page.goto(f"/p/{sounds.short}")
    for part in (".toggle", ".track", ".speed"):
        sides = await page.locator(f".single {part}").evaluate("part => [part.offsetWidth, part.offsetHeight]")
        assert min(sides) >= 44, part
