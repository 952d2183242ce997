"""The small player: a sound goes on while pages come and go, and what it does to their links is nothing else."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Request, Route, expect
from tests.browser.conftest import DESK, PHONE, OpenPage, People, log_in
from tests.browser.sounds import HEARD, at, box_of, client_of, hear, post_file, swells
from tests.browser.test_accessibility import check_page

from strvsocial.demo.files import drift, write_film
from strvsocial.demo.pictures import PICTURES
from strvsocial.users.models import User

TITLE = "Rain on the shed"
SAME = "window.sameDocument === true"
WITHOUT_NAVIGATION = "Object.defineProperty(window, 'navigation', { value: undefined })"
"""As in browsers that know no Navigation API."""
COUNT_FADES = """window.fades = 0
const begin = document.startViewTransition?.bind(document)
if (begin) document.startViewTransition = (change) => { window.fades++; return begin(change) }"""


class Scene(NamedTuple):
    author: User
    sound: str
    words: str


@pytest_asyncio.fixture(scope="module")
async def scene(address: str, people: People, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A sound of a minute and a half, a film of two seconds, and enough words for a feed that scrolls."""
    ada = await people.join("ada")
    path = tmp_path_factory.mktemp("films") / "rocket.mp4"
    write_film(path, drift(PICTURES["rocket"](), 2, (0.5, 0.6, 0.9), (0.5, 0.4, 0.5)), None)
    async with client_of(address, ada) as client:
        sound, _ = await asyncio.gather(
            post_file(client, TITLE, "rain.wav", swells(90)),
            post_file(client, "Up it goes", path.name, path.read_bytes()),
        )
    words = [await people.post(ada, f"Words, number {number}", text="Slow mornings. " * 20) for number in range(6)]
    return Scene(ada, sound, words[-1])


@pytest.fixture
def sunset(picture: Path) -> bytes:
    return picture.read_bytes()


def mini(page: Page) -> Locator:
    return page.get_by_role("region", name="Sound")


async def start(page: Page, path: str = "/?feed=latest") -> None:
    """Plays the sound from a card and notes that this is the document it began in."""
    await page.goto(path)
    await page.evaluate("window.sameDocument = true")
    await box_of(page, TITLE).locator(".toggle").click()
    await hear(page, 0.2)
    await page.wait_for_function("() => document.querySelector('.mini')")


async def is_on(page: Page, before: float) -> float:
    """The sound went on from where it was, in this document."""
    await hear(page, before + 0.2)
    assert await page.evaluate(SAME), "the page was loaded again"
    assert await page.evaluate("document.querySelectorAll('main').length") == 1
    return await at(page)


@pytest.mark.parametrize("script", [COUNT_FADES, WITHOUT_NAVIGATION], ids=["newest", "without Navigation API"])
async def test_a_sound_goes_on_over_pages_and_back(open_page: OpenPage, scene: Scene, script: str) -> None:
    page = await open_page(viewport=DESK, reduced_motion="reduce")
    await page.add_init_script(script)
    await start(page)
    top = await page.evaluate("scrollY")
    place = await at(page)

    await page.evaluate("address => document.querySelector(`a[href='${address}']`).click()", f"/p/{scene.words}")
    await expect(page).to_have_url(re.compile(f"/p/{scene.words}$"))
    await expect(page.get_by_role("heading", level=1, name="Words, number 5")).to_be_visible()
    await expect(page).to_have_title(re.compile("^Words, number 5 · "))
    assert await page.evaluate("document.activeElement.id") == "main"
    assert await page.evaluate("scrollY") == 0
    await expect(page.get_by_role("status").filter(has_text="Words, number 5")).to_have_count(1)
    assert f"/p/{scene.words}" in str(await page.locator("link[rel=canonical]").get_attribute("href"))
    await expect(mini(page)).to_be_visible()
    place = await is_on(page, place)

    await page.locator(".byline a.name").click()
    await expect(page).to_have_url(re.compile(f"/u/{scene.author.username}$"))
    await expect(page.locator("link[rel=canonical]")).to_have_attribute(
        "href", re.compile(f"/u/{scene.author.username}$")
    )
    place = await is_on(page, place)

    await page.get_by_role("link", name="Explore").first.click()
    await expect(page).to_have_url(re.compile("/explore$"))
    await expect(page.locator(".rail [aria-current=page]")).to_have_text("Explore")
    place = await is_on(page, place)
    await page.locator("#kind-audio").click()
    await expect(page).to_have_url(re.compile("media_type=audio$"))
    await expect(page.locator("main .tile")).to_have_count(1)
    place = await is_on(page, place)

    for pattern, sign in (
        ("/explore$", "main .tile.poster"),
        (f"/u/{scene.author.username}$", ".profile"),
        (f"/p/{scene.words}$", ".single"),
        (r"/\?feed=latest$", "#feed"),
    ):
        await page.go_back()
        await expect(page).to_have_url(re.compile(pattern))
        await expect(page.locator(sign).first).to_be_visible()
        place = await is_on(page, place)
    assert abs(await page.evaluate("scrollY") - top) <= 8
    await expect(box_of(page, TITLE)).to_have_class(re.compile(r"\bon\b"))
    await expect(page).to_have_title(re.compile("^Latest"))

    await page.go_forward()
    await expect(page.get_by_role("heading", level=1, name="Words, number 5")).to_be_visible()
    await is_on(page, place)
    assert not await page.evaluate("window.fades"), "nothing fades where motion is reduced"


async def test_close_stops_and_links_are_ordinary_again(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await start(page)
    await page.get_by_role("link", name="Explore").first.click()
    await expect(mini(page)).to_be_visible()
    await mini(page).get_by_role("button", name="Close the player").click()
    await expect(mini(page)).to_be_hidden()
    assert await page.evaluate(f"{HEARD}.paused && !{HEARD}.currentSrc.includes('{scene.sound}')")
    assert await page.evaluate("document.activeElement.id") == "main"
    assert await page.evaluate(SAME)
    await page.get_by_role("link", name="Home", exact=True).first.click()
    await expect(page).to_have_url(re.compile("/$"))
    assert not await page.evaluate(SAME)
    assert await page.locator(".mini").count() == 0


async def test_nothing_changes_where_nothing_plays(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await start(page)
    await box_of(page, TITLE).locator(".toggle").click()
    await expect(mini(page)).to_be_hidden()
    await page.get_by_role("link", name="Explore").first.click()
    await expect(page).to_have_url(re.compile("/explore$"))
    assert not await page.evaluate(SAME)


async def test_the_bar_comes_when_the_player_is_out_of_sight(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await start(page)
    await expect(mini(page)).to_be_hidden()
    await page.evaluate("scrollTo(0, 0)")
    await page.locator(".post").first.scroll_into_view_if_needed()
    await expect(mini(page)).to_be_visible()
    await expect(mini(page)).to_contain_text("0:0")
    await mini(page).get_by_role("link", name=TITLE).click()
    await expect(page).to_have_url(re.compile(f"/p/{scene.sound}$"))
    await expect(mini(page)).to_be_hidden()
    await expect(page.locator(".single [data-sound]")).to_have_class(re.compile(r"\bon\b"))
    assert await page.evaluate(SAME)


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
async def test_the_bar_by_keyboard_and_by_axe(open_page: OpenPage, scene: Scene, viewport: dict[str, int]) -> None:
    page = await open_page(viewport=viewport, reduced_motion="reduce", has_touch=viewport is PHONE)
    await start(page)
    await page.evaluate("document.querySelector(`a[href='/explore']`).click()")
    await expect(mini(page)).to_be_visible()
    slider = mini(page).get_by_role("slider", name="Place in the sound")
    await mini(page).get_by_role("link").focus()
    await page.keyboard.press("Tab")
    await expect(mini(page).get_by_role("button", name=f"Pause {TITLE}")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(slider).to_be_focused()
    assert await mini(page).locator(".track").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    await page.keyboard.press("PageUp")
    await hear(page, 30)
    await expect(slider).to_have_attribute("aria-valuetext", re.compile(r"0:3\d of 1:30"))
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await page.wait_for_function(f"() => {HEARD}.paused")
    assert await check_page(page) == []
    sides = await mini(page).evaluate(
        "bar => [...bar.querySelectorAll('button, .track')].flatMap((one) => [one.offsetWidth, one.offsetHeight])"
    )
    assert min(sides) >= (44 if viewport is PHONE else 36)
    covers = await page.evaluate(
        """() => {
          scrollTo(0, document.documentElement.scrollHeight)
          const bar = document.querySelector('.mini').getBoundingClientRect()
          const tabs = document.querySelector('.tabs').getBoundingClientRect()
          const last = [...document.querySelectorAll('main *')].filter((one) => one.checkVisibility())
            .map((one) => one.getBoundingClientRect().bottom)
          return [bar.bottom - (tabs.height ? tabs.top : innerHeight), Math.max(...last) - bar.top]
        }"""
    )
    assert covers[0] <= 1, "the bar lies over the tabs"
    assert covers[1] <= 0, "the end of the page cannot be seen"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(mini(page)).to_be_hidden()


async def test_lock_screens_know_what_plays(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await page.add_init_script(
        "const set = navigator.mediaSession.setActionHandler.bind(navigator.mediaSession); window.keys = {};"
        " navigator.mediaSession.setActionHandler = (name, action) => { window.keys[name] = action; set(name, action) }"
    )
    await start(page)
    shown = "(({ title, artist }) => [title, artist])(navigator.mediaSession.metadata)"
    assert await page.evaluate(shown) == [TITLE, scene.author.username]
    await page.evaluate("window.keys.seekto({ seekTime: 40 })")
    await hear(page, 40)
    await page.evaluate("window.keys.seekbackward({})")
    await page.wait_for_function(f"() => {HEARD}.currentTime < 38")
    await page.evaluate("window.keys.pause()")
    await expect(box_of(page, TITLE)).not_to_have_class(re.compile(r"\bon\b"))
    await page.evaluate("window.keys.play()")
    await hear(page, 30)
    await page.evaluate("window.keys.stop()")
    assert await page.evaluate("navigator.mediaSession.metadata") is None


async def test_a_film_and_a_sound_are_not_heard_together(open_page: OpenPage, scene: Scene) -> None:
    page = await open_page()
    await start(page)
    film = page.locator("[data-film] video").first
    await film.scroll_into_view_if_needed()
    await film.evaluate("film => film.play()")
    await page.wait_for_function(f"() => {HEARD}.paused")
    await box_of(page, TITLE).locator(".toggle").click()
    await expect(film).to_have_js_property("paused", True)


async def test_another_page_than_expected_comes_the_ordinary_way(open_page: OpenPage, scene: Scene) -> None:
    """Of another build, or no page at all; and the sound is found again there."""
    page = await open_page()
    await start(page)

    async def other_build(route: Route) -> None:
        if route.request.resource_type == "fetch":
            answer = await route.fetch()
            await route.fulfill(response=answer, body=re.sub(r"app-\w+\.js", "app-OTHER.js", await answer.text()))
        else:
            await route.continue_()

    await page.route("**/explore", other_build)
    await page.get_by_role("link", name="Explore").first.click()
    await page.wait_for_function("() => !window.sameDocument && location.pathname === '/explore'")
    await expect(page.locator("main .tile").first).to_be_visible()
    await expect(mini(page)).to_be_visible()
    await expect(mini(page)).to_contain_text(TITLE)
    await mini(page).get_by_role("button", name=re.compile(TITLE)).click()
    assert await at(page) > 0.2
    await page.unroute("**/explore")


async def test_news_and_the_theme_stay(
    open_page: OpenPage, people: People, scene: Scene, address: str, sunset: bytes
) -> None:
    page = await open_page()
    await log_in(page, scene.author)
    streams: list[str] = []

    def note(request: Request) -> None:
        if "/events" in request.url:
            streams.append(request.url)

    page.on("request", note)
    async with page.expect_request("**/events*"):
        await start(page)
    await page.locator(".swatch[value=dusk]").first.click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dusk")
    for path in ("/explore", "/settings", f"/u/{scene.author.username}"):
        place = await at(page)
        await page.locator(f".rail a[href='{path}']").click()
        await expect(page).to_have_url(re.compile(f"{re.escape(path)}$"))
        await is_on(page, place)
        await expect(page.locator("html")).to_have_attribute("data-theme", "dusk")
    assert len(streams) == 1
    async with client_of(address, scene.author) as client:
        await post_file(client, "A sunset", "sunset.jpg", sunset)
    await expect(page.locator(".toast")).to_contain_text("Your post is ready")
    async with page.expect_response("**/logout"):
        await page.get_by_role("button", name="Log out").click()
    await expect(page.locator(".mini")).to_have_count(0)


async def test_what_is_written_and_sent_survives(open_page: OpenPage, people: People, scene: Scene) -> None:
    """A draft goes along; a page that sends files is left the ordinary way, and is as it was when one comes back to it."""
    page = await open_page()
    await log_in(page, await people.join("bob"))
    await start(page)
    place = await at(page)
    await page.locator(".rail a.btn[href='/create']").click()
    await expect(page.locator(".drop")).to_be_visible()
    await page.get_by_label("Title").fill("On a rainy day")
    place = await is_on(page, place)
    await page.get_by_role("link", name="Explore").first.click()
    await expect(page).to_have_url(re.compile("/explore$"))
    await page.locator(".rail a.btn[href='/create']").click()
    await expect(page.get_by_label("Title")).to_have_value("On a rainy day")
    place = await is_on(page, place)

    held: list[Route] = []
    await page.route("**/api/v1/uploads/*", lambda route: _hold(route, held))
    async with page.expect_request(lambda request: request.method == "PATCH"):
        await page.locator("#file").set_input_files({"name": "a.wav", "mimeType": "audio/wav", "buffer": swells(1)})
    await expect(page.locator("form[data-uploading]")).to_have_count(1)
    await page.go_back()
    await expect(page).to_have_url(re.compile("/explore$"))
    await page.locator(".rail a.btn[href='/create']").click()
    await expect(page.locator(".upload")).to_have_count(1)
    place = await is_on(page, place)
    assert held, "nothing is under way that could be lost"
    for route in held:
        await route.continue_()
    await page.unroute("**/api/v1/uploads/*")
    await expect(page.locator(".upload")).to_contain_text("Uploaded")
    await is_on(page, place)
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    await expect(page.get_by_role("heading", name="On a rainy day")).to_be_visible()
    assert await page.evaluate(SAME)


async def _hold(route: Route, held: list[Route]) -> None:
    if route.request.method == "PATCH":
        held.append(route)
    else:
        await route.continue_()


async def test_a_page_that_uploads_is_left_the_ordinary_way(open_page: OpenPage, people: People, scene: Scene) -> None:
    page = await open_page()
    await log_in(page, await people.join("bob"))
    await start(page)
    await page.locator(".rail a.btn[href='/create']").click()
    await expect(page.locator(".drop")).to_be_visible()
    await page.route("**/api/v1/uploads/*", lambda route: _hold(route, []))
    await page.locator("#file").set_input_files({"name": "a.wav", "mimeType": "audio/wav", "buffer": swells(1)})
    await expect(page.locator("form[data-uploading]")).to_have_count(1)
    assert await page.evaluate(SAME)
    await page.get_by_role("link", name="Explore").first.click()
    await page.wait_for_function("() => !window.sameDocument && location.pathname === '/explore'")
    await expect(mini(page)).to_contain_text(TITLE)
    assert await page.evaluate("sessionStorage.getItem('heard')") is None, "what was on has been taken up again"
