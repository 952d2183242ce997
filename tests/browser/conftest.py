"""Real browsers on a real site: a web process, a worker, a database of their own, and Chromium.

`open_page()` gives a page that fails the test for every console error, exception and refused content it saw.
"""

from __future__ import annotations

import io
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, async_playwright
from tests.front_door import PASSWORD, environment_of, serving

from strvsocial.content import posts
from strvsocial.content.drafts import Draft
from strvsocial.db import Database
from strvsocial.local.system_packages import CHROMIUM
from strvsocial.settings import ROOT, Settings
from strvsocial.users import accounts, follows
from strvsocial.users.models import User
from strvsocial.web.viewers import Viewer

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="module")
def site_settings(settings: Settings) -> Settings:
    """The module's settings with a Redis of their own: the site's worker must not hear other suites' bells."""
    return settings.model_copy(update={"redis_url": urlsplit(settings.redis_url)._replace(path="/5").geturl()})


@pytest.fixture(scope="session")
def assets() -> None:
    """The built style sheet and scripts; `make test` has built them before."""
    if not (ROOT / "static/dist/manifest.json").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=ROOT, check=True)
        subprocess.run(["npm", "run", "build"], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def address(site_settings: Settings, assets: None) -> Iterator[str]:
    """Where the site answers, with a worker behind it."""
    command = [sys.executable, "-m", "strvsocial.worker", "worker"]
    with serving(site_settings) as (address, _):
        worker = subprocess.Popen(command, cwd=ROOT, env=environment_of(site_settings))
        try:
            yield address
        finally:
            worker.terminate()
            worker.wait(30)


@pytest_asyncio.fixture(scope="module")
async def people(site_settings: Settings) -> AsyncIterator[People]:
    database = Database(site_settings)
    yield People(database)
    await database.aclose()


class People:
    """Makes people and posts by the domain's own verbs, for journeys that begin with some."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def join(self, name: str) -> User:
        username = f"{name}.{secrets.token_hex(3)}"
        async with self.database.transaction() as db:
            return await accounts.create_account(
                db, username=username, email=f"{username}@example.org", password=PASSWORD
            )

    async def post(self, author: User, title: str, **draft: Any) -> str:
        async with self.database.transaction() as db:
            return (await posts.publish(db, author.id, Draft(title=title, **draft))).public_id

    async def follow(self, follower: User, followed: User) -> None:
        viewer = Viewer(follower.id, follower.public_id, follower.username, "", "", "member", "system")
        async with self.database.transaction() as db:
            await follows.follow(db, viewer, followed.username)


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = CHROMIUM.find()
    if path is None:
        pytest.fail("The browser journeys need Chromium: install it, or name one in STRV_TEST_CHROMIUM.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def open_page(browser: Browser, address: str) -> AsyncIterator[OpenPage]:
    """Opens pages in contexts of their own: `await open_page(viewport=PHONE, java_script_enabled=False)`."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            problems.append(f"{message.text} ({message.location.get('url', '')})")

    def note_error(error: Error) -> None:
        # Chromium says this of its own cross-fade between two pages when the next click comes before it is over.
        if not str(error).startswith("Transition was "):
            problems.append(str(error))

    async def open_one(**options: Any) -> Page:
        context = await browser.new_context(**{"base_url": address, "viewport": DESK, **options})
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", note)
        page.on("pageerror", note_error)
        return page

    yield open_one
    for context in contexts:
        await context.close()
    assert problems == []


async def log_in(page: Page, user: User) -> None:
    await page.goto("/login")
    await page.get_by_label("E-mail address").fill(user.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/")


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn landscape, 800 x 600, as a JPEG."""
    image = Image.new("RGB", (800, 600), (250, 190, 120))
    draw = ImageDraw.Draw(image)
    draw.ellipse((300, 150, 500, 350), fill=(240, 90, 60))
    draw.rectangle((0, 400, 800, 600), fill=(30, 60, 110))
    path = tmp_path_factory.mktemp("pictures") / "sunset.jpg"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue())
    return path
