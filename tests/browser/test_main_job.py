"""The main job with nothing left out: a web process, a worker, an embedder with the packaged weights, and Chromium."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from tests.browser.conftest import OpenPage, People, log_in
from tests.browser.media import OTHER_WORDS, WORDS, make_files, make_others
from tests.browser.test_accessibility import WCAG, check, check_page
from tests.browser.test_journeys import sign_up
from tests.front_door import PASSWORD, environment_of

from strvsocial.settings import ROOT, Settings

LIMIT = 60
"""Seconds for what takes a few on an idle machine."""


@pytest.fixture(scope="module")
def embedder(site_settings: Settings) -> Iterator[None]:
    command = [sys.executable, "-m", "strvsocial.worker", "embedder"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment_of(site_settings))
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)


def post_the_like(address: str, folder: Path) -> None:
    """Somebody else's post of every kind, through the API."""
    name = f"cleo{time.time_ns()}"[:20]
    email = f"{name}@example.org"
    with httpx.Client(base_url=f"{address}/api/v1", timeout=60) as client:
        client.post("/accounts", json={"username": name, "email": email, "password": PASSWORD}).raise_for_status()
        token = client.post("/tokens", json={"email": email, "password": PASSWORD}).raise_for_status().json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        files = make_others(folder)
        for kind, title in OTHER_WORDS.items():
            with ExitStack() as stack:
                sent = [("title", (None, title))]
                if kind in files:
                    sent.append(("file", (files[kind].name, stack.enter_context(files[kind].open("rb")))))  # type: ignore[arg-type]
                client.post("/posts", files=sent).raise_for_status()


async def post(page: Page, kind: str, file: Path | None) -> float:
    """Posts through the composer. Returns the seconds from the click to the medium that is shown, without a reload."""
    await page.goto("/create")
    await page.get_by_label("Title").fill(WORDS[kind])
    if file:
        await page.locator("#file").set_input_files(file)
        await expect(page.locator(".upload")).to_contain_text("Uploaded", timeout=30_000)
    else:
        await page.get_by_label("Text", exact=True).fill("The loaf is in the oven and the **coffee** is too hot.")
    started = time.monotonic()
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    await page.evaluate("window.sameDocument = true")
    shown = {
        "text": ".single .poster h1",
        "image": ".single .gallery img",
        "gif": ".single [data-gif] video",
        "audio": ".single [data-sound] .toggle",
        "video": ".single [data-film] video",
    }[kind]
    await expect(page.locator(shown).first).to_be_visible(timeout=LIMIT * 1000)
    return time.monotonic() - started


async def test_post_every_kind_and_find_its_like(
    open_page: OpenPage, address: str, embedder: None, tmp_path: Path
) -> None:
    post_the_like(address, tmp_path)
    files = make_files(tmp_path)
    page = await open_page()
    await sign_up(page, "nora")
    for kind in WORDS:
        ready = await post(page, kind, files.get(kind))
        began = time.monotonic()
        like = page.locator("#similar .tile", has_text=OTHER_WORDS[kind])
        await expect(like).to_be_visible(timeout=LIMIT * 1000)
        print(f"{kind}: ready after {ready:.1f} s, its like found {time.monotonic() - began:.1f} s later")
        assert await page.evaluate("window.sameDocument"), "the page was loaded again"
        await expect(like.locator(".score")).to_contain_text("%")
        await page.reload()
        await expect(like).to_be_visible()
    await page.goto("/")
    reason = page.locator(".why", has_text=re.compile("|".join(map(re.escape, WORDS.values())))).first
    await expect(reason).to_be_visible(timeout=LIMIT * 1000)
    assert await page.locator(".why .shares rect").count() >= 2


OVERLAPS = """() => [...document.querySelectorAll('.tile')].flatMap((tile) => {
  const parts = [...tile.querySelectorAll(':scope > .badge, h3, .disc, .caption > *')].filter((part) => part.offsetWidth)
  const boxes = parts.map((part) => part.getBoundingClientRect())
  return boxes.flatMap((one, n) => boxes.slice(n + 1).filter((other) =>
      Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1 &&
      Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1)
    .map(() => tile.innerText))
})"""
CUT = """() => [...document.querySelectorAll('.tile h3')].filter((title) => {
  const lines = title.clientHeight / parseFloat(getComputedStyle(title).lineHeight)
  return Math.abs(lines - Math.round(lines)) > 0.1
}).map((title) => title.textContent)"""
"""Tiles whose parts cover each other, and titles that are cut within a line."""


@pytest.mark.parametrize("width", [320, 390, 760, 1000, 1280, 1600])
async def test_nothing_covers_anything_on_walls(open_page: OpenPage, people: People, width: int) -> None:
    page = await open_page(viewport={"width": width, "height": 900})
    await log_in(page, await people.join("ada"))
    for kind in ("image", "audio", "text"):
        await page.goto(f"/explore?media_type={kind}")
        assert await page.evaluate(OVERLAPS) == []
        assert await page.evaluate(CUT) == []
        await page.locator(".tile a.to").first.click()
        await page.wait_for_url(re.compile(r"/p/\w+$"))
        await expect(page.locator("#similar .tile").first).to_be_visible()
        assert await page.evaluate(OVERLAPS) == []
        assert await page.evaluate(CUT) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_axe_on_pages_with_media(open_page: OpenPage, people: People) -> None:
    page = await open_page(reduced_motion="reduce")
    await log_in(page, await people.join("ada"))
    for path in ("/?feed=latest", "/explore"):
        await page.goto(path)
        assert await page.locator("article").count() >= 8
        assert await check_page(page) == [], path
    for kind in WORDS:
        await page.goto(f"/explore?media_type={kind}")
        await page.locator(".tile a.to").first.click()
        await page.wait_for_url(re.compile(r"/p/\w+$"))
        await page.evaluate(Axe().axe_script)
        assert await check(page, {"runOnly": {"type": "tag", "values": WCAG}}) == [], kind


VITALS = """() => new Promise((done) => {
  let shift = 0, paint = 0
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { if (!entry.hadRecentInput) shift += entry.value }))
    .observe({ type: 'layout-shift', buffered: true })
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { paint = entry.startTime }))
    .observe({ type: 'largest-contentful-paint', buffered: true })
  setTimeout(() => done({ shift, paint }), 500)
})"""


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_feed_does_not_jump(open_page: OpenPage, people: People, width: int) -> None:
    page = await open_page(viewport={"width": width, "height": 844})
    await log_in(page, await people.join("ada"))
    for path in ("/?feed=latest", "/explore"):
        await page.goto(path, wait_until="load")
        for _ in range(6):
            await page.mouse.wheel(0, 800)
            await page.wait_for_timeout(150)
        vitals = await page.evaluate(VITALS)
        print(f"{path} at {width} px: layout shift {vitals['shift']:.4f}, largest paint after {vitals['paint']:.0f} ms")
        assert vitals["shift"] <= 0.05
