"""Pictures in a real browser: their colours, the room that waits for them, and the large view by keys, mouse and fingers."""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from PIL import Image, ImageDraw
from playwright.async_api import Browser, Locator, Page, expect
from tests.browser.conftest import PHONE, OpenPage, People, log_in
from tests.browser.test_accessibility import WCAG, check
from tests.front_door import PASSWORD
from tests.media.test_colours import P3, draw, profile

from strvsocial.media.children import colours

ALTS = ["Hills at dusk", "A lone tree. " + "It stands where three fields meet. " * 20, "", "A drawing on nothing", "Red and green", "A long page", "The seventh"]  # fmt: skip
COUNT = len(ALTS)


def _jpeg(width: int, height: int, sky: tuple[int, int, int]) -> bytes:
    image = Image.new("RGB", (width, height), sky)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, height * 2 // 3, width, height), fill=(40, 90, 60))
    pen.ellipse((width // 2, height // 5, width // 2 + height // 4, height // 5 + height // 4), fill=(255, 220, 120))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _drawing() -> bytes:
    image = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((60, 40, 340, 260), outline=(0, 0, 0, 255), width=12)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _wide() -> bytes:
    buffer = io.BytesIO()
    red_and_green = Image.fromarray(draw(*P3)).resize((400, 300), Image.Resampling.NEAREST)
    red_and_green.save(buffer, "PNG", icc_profile=profile(colours.P3_CORNERS))
    return buffer.getvalue()


@pytest.fixture(scope="module")
async def post(browser: Browser, address: str, people: People) -> str:
    """The address of a post with seven pictures, ready."""
    files = [
        _jpeg(1500, 1000, (240, 150, 110)),
        _jpeg(300, 420, (150, 190, 230)),
        _jpeg(420, 300, (200, 160, 220)),
        _drawing(),
        _wide(),
    ]
    files += [_jpeg(700, 4200, (90, 120, 160)), _jpeg(320, 240, (130, 120, 160))]
    pia = await people.join("pia")
    async with httpx.AsyncClient(base_url=f"{address}/api/v1", timeout=60) as client:
        answer = await client.post("/tokens", json={"email": pia.email, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['token']}"
        sent: list[Any] = [("title", (None, "Seven pictures"))]
        for number, (content, alt) in enumerate(zip(files, ALTS, strict=True)):
            sent += [("file", (f"{number}.png", content)), ("alt", (None, alt))]
        answer = await client.post("/posts", files=sent)
        path = answer.raise_for_status().json()["url"]
    page = await browser.new_page(base_url=address)
    await log_in(page, pia)  # Others do not see it before it is ready.
    await page.goto(path)
    await expect(page.locator(".gallery img")).to_have_count(COUNT, timeout=90_000)
    await page.close()
    return str(path)


Look = Callable[..., Awaitable[tuple[Page, Locator]]]


@pytest.fixture
def look(open_page: OpenPage, post: str) -> Look:
    """Opens the large view on the post's page: the page, and the dialog."""

    async def open_large(first: int = 0, **options: Any) -> tuple[Page, Locator]:
        page = await open_page(**options)
        await page.goto(post)
        await page.locator(".gallery a").nth(first).click()
        dialog = page.get_by_role("dialog", name="Pictures")
        await _loaded(dialog)
        return page, dialog

    return open_large


async def _loaded(dialog: Locator) -> None:
    await expect(dialog.locator(".stage img")).to_be_visible()
    await _until(dialog.locator(".stage img"), "img.naturalWidth > 0")


async def _until(picture: Locator, condition: str) -> None:
    """Waits, frame by frame, for what an expression says of `img`."""
    await picture.evaluate(f"async (img) => {{ while (!({condition})) await new Promise(requestAnimationFrame) }}")


async def _scale(dialog: Locator) -> float:
    return float(await dialog.locator(".stage img").evaluate("img => new DOMMatrix(img.style.transform).a"))


async def _place(dialog: Locator) -> tuple[float, float]:
    found = await dialog.locator(".stage img").evaluate(
        "img => { const m = new DOMMatrix(img.style.transform); return [m.e, m.f] }"
    )
    return found[0], found[1]


async def test_by_keys_alone(open_page: OpenPage, post: str) -> None:
    page = await open_page(reduced_motion="reduce")
    await page.goto(post)
    first = page.locator(".gallery a").first
    await first.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Pictures")
    status, count = dialog.get_by_role("status"), dialog.locator(".count")
    await expect(status).to_have_text(f"1 of {COUNT}. Hills at dusk")
    await expect(dialog.get_by_role("img", name="Hills at dusk")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(count).to_have_text(f"2 of {COUNT}")
    await expect(dialog.locator(".below")).to_contain_text("A lone tree.")
    await page.keyboard.press("ArrowRight")
    await expect(status).to_have_text(f"3 of {COUNT}. No description")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await expect(count).to_have_text(f"{COUNT} of {COUNT}")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("+")
    await page.keyboard.press("+")
    await expect(status).to_have_text("Zoom 225 %")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowDown")
    assert await _place(dialog) == (-90, -90)
    await expect(count).to_have_text(f"1 of {COUNT} · 225 %")
    await page.keyboard.press("-")
    await page.keyboard.press("0")
    await expect(status).to_have_text("Zoom 100 %")
    assert await _place(dialog) == (0, 0)
    for _ in range(12):
        await page.keyboard.press("Tab")
        assert await page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('.lightbox')"
        )
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    assert await first.evaluate("link => link === document.activeElement")


async def test_the_largest_variant_comes_only_when_it_is_needed(look: Look) -> None:
    asked: list[str] = []
    page, dialog = await look(2, viewport=PHONE)
    page.on("request", lambda request: asked.append(request.url))
    # Two steps on from the third: the first was not asked for by the large view before.
    shown = dialog.locator(".stage img")
    for _ in range(2):
        await page.keyboard.press("ArrowLeft")
    await _loaded(dialog)
    assert "w640" in await shown.evaluate("img => img.decode().then(() => img.currentSrc)")
    assert not [url for url in asked if "w1500" in url or "w1280" in url]
    for _ in range(4):
        await page.keyboard.press("+")
    await _until(shown, "/w1500/.test(img.currentSrc)")
    assert [url for url in asked if "w1500" in url]


async def test_neighbours_are_there_before_they_are_wanted(look: Look) -> None:
    page, dialog = await look(4)
    assert await page.evaluate("performance.getEntriesByType('resource').some((entry) => /w320/.test(entry.name))")
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    await page.keyboard.press("ArrowRight")
    await expect(dialog.locator(".count")).to_have_text(f"6 of {COUNT}")
    assert await dialog.locator(".stage img").evaluate("img => img.complete && img.naturalWidth > 0")


async def test_by_mouse(look: Look) -> None:
    page, dialog = await look()
    stage = await dialog.locator(".stage").bounding_box()
    assert stage
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.wheel(0, -400)
    await expect(dialog.locator(".count")).to_contain_text("%")
    zoomed = await _scale(dialog)
    assert 2 < zoomed < 2.5
    before = await _place(dialog)
    await page.mouse.down()
    await page.mouse.move(x - 60, y - 40, steps=4)
    await page.mouse.up()
    assert await _place(dialog) == pytest.approx((before[0] - 60, before[1] - 40), abs=0.01)
    await expect(dialog.locator(".count")).to_contain_text(f"1 of {COUNT}")
    await page.mouse.dblclick(x, y)
    assert await _scale(dialog) == 1
    await page.mouse.dblclick(x + 100, y + 50)
    assert await _scale(dialog) == 2.5
    # What was under the pointer is still there.
    assert await _place(dialog) == pytest.approx((-150, -75), abs=1)
    await dialog.get_by_role("button", name="Zoom out").click()
    assert await _scale(dialog) < 2.5
    await dialog.get_by_role("button", name="Next picture").click()
    assert await _scale(dialog) == 1
    assert await page.evaluate("visualViewport.scale") == 1
    await page.mouse.click(stage["x"] + 90, stage["y"] + 8)
    await expect(dialog).to_be_hidden()


async def _touch(page: Page, *steps: list[tuple[float, float]]) -> None:
    """Puts fingers down at the first places, moves them on, and lifts them."""
    session = await page.context.new_cdp_session(page)
    for number, places in enumerate(steps):
        points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        await session.send(
            "Input.dispatchTouchEvent", {"type": "touchMove" if number else "touchStart", "touchPoints": points}
        )
    await session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def test_by_fingers(look: Look) -> None:
    page, dialog = await look(viewport=PHONE, has_touch=True, is_mobile=True)
    count = dialog.locator(".count")
    await _touch(page, [(300, 400)], [(220, 405)], [(120, 410)])
    await expect(count).to_have_text(f"2 of {COUNT}")
    await _touch(page, [(120, 400)], [(220, 405)], [(300, 410)])
    await expect(count).to_have_text(f"1 of {COUNT}")
    await _touch(page, [(200, 300)], [(206, 420)], [(210, 520)])
    await expect(count).to_have_text(f"1 of {COUNT}")
    await _touch(page, [(170, 400), (220, 400)], [(140, 400), (250, 400)], [(120, 400), (270, 400)])
    assert 2.9 < await _scale(dialog) < 3.1
    before = await _place(dialog)
    await _touch(page, [(200, 400)], [(150, 400)])
    assert await _place(dialog) == (before[0] - 50, before[1])
    await expect(count).to_contain_text(f"1 of {COUNT}")
    # The page itself stays as large as it was: its own zoom is the browser's.
    assert await page.evaluate("visualViewport.scale") == 1
    await page.touchscreen.tap(195, 400)
    await page.touchscreen.tap(195, 400)
    assert await _scale(dialog) == 1
    await dialog.get_by_role("button", name="Close").tap()
    await expect(dialog).to_be_hidden()
    assert await page.evaluate("getComputedStyle(document.body).touchAction") == "auto"
    assert "user-scalable" not in str(await page.locator("meta[name=viewport]").get_attribute("content"))


@pytest.mark.parametrize("size", [None, PHONE], ids=["desk", "phone"])
async def test_nothing_for_axe_to_find(look: Look, size: dict[str, int] | None) -> None:
    options = {"viewport": size, "has_touch": True, "is_mobile": True} if size else {}
    page, dialog = await look(reduced_motion="reduce", **options)
    await page.evaluate(Axe().axe_script)
    for theme in ("light", "dark", "contrast"):
        await page.evaluate("name => { document.documentElement.dataset.theme = name }", theme)
        for _ in range(2):
            await page.keyboard.press("ArrowRight")
            assert await check(page, {"runOnly": {"type": "tag", "values": WCAG}}) == []
    await page.keyboard.press("+")
    assert await check(page, {"runOnly": {"type": "tag", "values": WCAG}}) == []
    small = await dialog.evaluate(
        """dialog => [...dialog.querySelectorAll('button')].map((one) => one.getBoundingClientRect())
            .filter((box) => Math.min(box.width, box.height) < 44).length"""
    )
    assert small == 0
    assert await page.evaluate("document.querySelector('.lightbox').scrollWidth <= innerWidth")


async def test_all_pictures_of_a_card_are_met(open_page: OpenPage, post: str) -> None:
    """The grid of a card has room for five; the large view goes through all."""
    page = await open_page()
    await page.goto("/?feed=latest")
    card = page.locator("[data-post]", has=page.locator(".media.many")).first
    await expect(card.locator(".media.many > a:visible")).to_have_count(5)
    await card.locator(".media.many > a:visible").last.click()
    count = page.get_by_role("dialog", name="Pictures").locator(".count")
    await expect(count).to_have_text(f"5 of {COUNT}")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(count).to_have_text(f"{COUNT} of {COUNT}")


async def test_without_scripts_the_link_opens_the_picture(open_page: OpenPage, post: str) -> None:
    page = await open_page(java_script_enabled=False)
    await page.goto(post)
    address = await page.locator(".gallery a").first.get_attribute("href")
    assert address
    assert re.fullmatch(r"/media/\w+/w1500\.webp", address)
    answer = await page.request.get(address)
    assert answer.headers["content-type"] == "image/webp"


_READ = """async (img) => {
  await img.decode()
  const canvas = document.createElement('canvas')
  canvas.width = img.naturalWidth
  canvas.height = img.naturalHeight
  const pen = canvas.getContext('2d', { colorSpace: 'display-p3' })
  pen.drawImage(img, 0, 0)
  return [0.25, 0.75].map((x) => [...pen.getImageData(x * canvas.width, canvas.height / 2, 1, 1, { colorSpace: 'display-p3' }).data].slice(0, 3))
}"""


@pytest.mark.parametrize("kind", ["avif", "webp"])
async def test_chromium_shows_colours_beyond_srgb(open_page: OpenPage, post: str, kind: str) -> None:
    page = await open_page()
    await page.goto(post)
    wide = page.get_by_role("img", name="Red and green").first
    await wide.scroll_into_view_if_needed()
    if kind == "webp":
        await wide.evaluate("img => { img.loading = 'eager'; img.parentElement.querySelector('source').remove() }")
        await _until(wide, "/webp$/.test(img.currentSrc)")
    assert str(await wide.evaluate("img => img.decode().then(() => img.currentSrc)")).endswith(kind)
    for found, drawn in zip(await wide.evaluate(_READ), draw(*P3)[0, [10, -10]].tolist(), strict=True):
        assert max(abs(one - other) for one, other in zip(found, drawn, strict=True)) <= 6, (found, drawn)


async def test_nothing_jumps_while_pictures_come(open_page: OpenPage, post: str) -> None:
    for path in (post, "/?feed=latest"):
        page = await open_page(viewport=PHONE)
        await page.add_init_script(
            """window.moved = 0
            new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.moved += entry.value }))
              .observe({ type: 'layout-shift', buffered: true })"""
        )
        await page.goto(path)
        for picture in await page.locator("main img:visible").all():
            await picture.scroll_into_view_if_needed()
            await picture.evaluate("img => img.decode()")
        assert (
            await page.evaluate(
                "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(window.moved), 0)))"
            )
            == 0
        )


async def test_a_drawing_on_nothing_has_a_ground_in_every_theme(open_page: OpenPage, post: str) -> None:
    page = await open_page()
    await page.goto(post)
    figure = page.locator(".gallery figure", has=page.get_by_role("img", name="A drawing on nothing"))
    for theme in ("light", "dark"):
        await page.evaluate("name => { document.documentElement.dataset.theme = name }", theme)
        assert "conic-gradient" in await figure.evaluate("figure => getComputedStyle(figure).backgroundImage")
    await figure.get_by_role("link").click()
    large = page.get_by_role("dialog", name="Pictures").locator(".stage img")
    assert "conic-gradient" in await large.evaluate("img => getComputedStyle(img).backgroundImage")
    others = page.locator(".gallery figure:not(.clear)")
    assert await others.count() == COUNT - 1


async def test_a_long_page_is_asked_for_as_wide_as_it_is_shown(open_page: OpenPage, post: str) -> None:
    page = await open_page(viewport=PHONE)
    await page.goto(post)
    tall = page.get_by_role("img", name="A long page")
    await tall.scroll_into_view_if_needed()
    assert "/w320." in await tall.evaluate("img => img.decode().then(() => img.currentSrc)")
    await page.locator(".gallery a", has=tall).click()
    dialog = page.get_by_role("dialog", name="Pictures")
    await _loaded(dialog)
    for _ in range(8):
        await page.keyboard.press("+")
    assert await _scale(dialog) * await dialog.locator(".stage img").evaluate("img => img.clientWidth") > 700
    await _until(dialog.locator(".stage img"), "/w700/.test(img.currentSrc)")
