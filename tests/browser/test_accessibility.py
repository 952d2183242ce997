"""Every page by axe, and its colours in every theme; reflow at 320 px; nothing jumps while it loads."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page
from tests.browser.conftest import PHONE, OpenPage, People, log_in

from strvsocial.themes.catalogue import THEMES
from strvsocial.users.models import User

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PUBLIC = ["/", "/explore", "/login", "/signup", "/search", "/search?q=heron", "/nowhere", "/u/{user}", "/p/{post}"]
OWN = ["/", "/?feed=following", "/create", "/settings", "/u/{user}", "/u/{user}/followers", "/p/{post}/edit"]


LOOKS = [
    (theme.name, scheme)
    for theme in THEMES
    for scheme in ("light", "dark")
    if theme.name in ("sea", "contrast")
    or (theme.name, scheme) in (("light", "light"), ("dark", "dark"), ("dusk", "dark"))
]
"""Themes that follow the device are looked at by day and by night; `system` is one of light and dark."""
_PUT_ON = """name => {
  document.documentElement.dataset.theme = name
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
}"""


async def check(page: Page, options: dict[str, Any]) -> list[str]:
    """What axe, which is in the page already, finds: rule, element, what to do."""
    found = await page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})
    return [
        f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


async def check_page(page: Page) -> list[str]:
    """All rules once, and contrast in each theme."""
    await page.evaluate(Axe().axe_script)
    problems = await check(page, {"runOnly": {"type": "tag", "values": WCAG}})
    for theme, scheme in LOOKS:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        await page.evaluate(_PUT_ON, theme)
        found = await check(page, {"runOnly": {"type": "rule", "values": ["color-contrast"]}})
        problems += [f"{theme} by {scheme}: {problem}" for problem in found]
    return problems


@pytest.fixture(scope="module")
async def scene(people: People) -> dict[str, Any]:
    """Somebody with posts and a follower."""
    ada, bob = await people.join("ada"), await people.join("bob")
    post = await people.post(
        ada, "A heron by the weir", text="Grey, still, **patient**. See [the map](/explore).", tags=["heron", "water"]
    )
    await people.post(ada, "For followers", visibility="followers")
    await people.follow(bob, ada)
    return {"user": ada.username, "post": post, "person": ada}


@pytest.mark.parametrize("path", PUBLIC)
async def test_pages_for_anybody(open_page: OpenPage, scene: dict[str, Any], path: str) -> None:
    page = await open_page(reduced_motion="reduce")
    await page.goto(path.format(**scene))
    assert await check_page(page) == []


@pytest.mark.parametrize("path", OWN)
async def test_pages_for_members(open_page: OpenPage, scene: dict[str, Any], path: str) -> None:
    page = await open_page(reduced_motion="reduce")
    person: User = scene["person"]
    await log_in(page, person)
    await page.goto(path.format(**scene))
    assert await check_page(page) == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/explore",
        "/settings",
        "/create",
        "/p/{post}",
        "/u/{user}",
        "/search?q=heron",
        "/?feed=latest&media_type=text",
    ],
)
async def test_reflow_at_320_pixels(open_page: OpenPage, scene: dict[str, Any], path: str) -> None:
    page = await open_page(viewport={"width": 320, "height": 640})
    await log_in(page, scene["person"])
    await page.goto(path.format(**scene))
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("path", ["/", "/settings", "/create", "/u/{user}"])
async def test_targets_are_large_enough_on_touch(open_page: OpenPage, scene: dict[str, Any], path: str) -> None:
    """44 px for what stands alone; links in running text are as high as their line (WCAG 2.5.8)."""
    page = await open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    await log_in(page, scene["person"])
    await page.goto(path.format(**scene))
    small = await page.evaluate(
        """() => [...document.querySelectorAll('.btn, .chip, .tabs a, summary, .input, .switch')]
            .filter((element) => element.checkVisibility() && element.getBoundingClientRect().width > 1)
            .filter((element) => element.getBoundingClientRect().height < 43.5)
            .map((element) => element.outerHTML.slice(0, 120))"""
    )
    assert small == []


async def test_a_walk_by_tab_shows_where_one_is(open_page: OpenPage, scene: dict[str, Any]) -> None:
    page = await open_page()
    await page.goto("/")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    for _ in range(12):
        await page.keyboard.press("Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
