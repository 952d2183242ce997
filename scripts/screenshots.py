"""Takes the README's pictures from a running site with the demo content into docs/screenshots.

    python scripts/screenshots.py [--all] [http://localhost:8000] [folder]

It makes an account, posts a picture and some words so that "For you" has something to go by, and deletes the account,
with what it posted, at the end. `--all` takes every page; else those that the README shows. Files are WebP, named
`feed-light-1280.webp`: page, scheme, width of the window.
"""

from __future__ import annotations

import io
import re
import secrets
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from strvsocial.demo.files import write_jpeg
from strvsocial.demo.pictures import PICTURES
from strvsocial.local.system_packages import CHROMIUM

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIZES = ({"width": 1280, "height": 800}, {"width": 390, "height": 844})
PASSWORD = secrets.token_urlsafe(16)
SETTLED = """Promise.all([...document.images].filter((image) => image.getBoundingClientRect().top < innerHeight)
    .map((image) => image.decode().catch(() => 0)))"""


def main() -> None:
    given = [argument for argument in sys.argv[1:] if argument != "--all"]
    address = given[0] if given else "http://localhost:8000"
    folder = Path(given[1] if len(given) > 1 else Path(__file__).parents[1] / "docs" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    path = CHROMIUM.find()
    if path is None:
        raise SystemExit("There is no Chromium here: install it, or name one in STRV_TEST_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        email = sign_up(browser, address)
        try:
            places = prepare(browser, address, email)
            if "--all" in sys.argv:
                places |= further_places()
            for viewport in SIZES:
                for scheme in ("light", "dark"):
                    take_all(browser, address, folder, email, places, viewport, scheme)
        finally:
            delete_account(browser, address, email)
        browser.close()


def open_page(browser: Browser, address: str, **options: object) -> Page:
    return browser.new_context(base_url=address, reduced_motion="reduce", **options).new_page()  # type: ignore[arg-type]


def sign_up(browser: Browser, address: str) -> str:
    name = f"guest.{secrets.token_hex(3)}"
    page = open_page(browser, address)
    page.goto("/signup")
    page.get_by_label("Username").fill(name)
    page.get_by_label("E-mail address").fill(f"{name}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    page.wait_for_url("**/")
    page.context.close()
    return f"{name}@example.org"


def log_in(page: Page, email: str) -> None:
    page.goto("/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def prepare(browser: Browser, address: str, email: str) -> dict[str, str]:
    """Posts what "For you" goes by. Returns where the README's pages are."""
    page = open_page(browser, address)
    log_in(page, email)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "flower.jpg"
        write_jpeg(picture, PICTURES["flower_close"]())
        post(page, "Late flower", picture)
    post(page, "What the garden told me in autumn", None)
    page.goto("/")
    while not page.locator(".why .shares").count():
        page.wait_for_timeout(1000)
        page.reload()
    page.goto("/explore?media_type=image")
    seen = str(page.get_by_role("link", name=re.compile("dahlia|window box|flower", re.I)).first.get_attribute("href"))
    page.goto(seen)
    author = str(page.locator(".byline a.name").first.get_attribute("href"))
    page.goto("/explore?media_type=audio")
    sound = str(page.locator("main .tile a.to").first.get_attribute("href"))
    page.context.close()
    return {"feed": "/", "explore": "/explore", "post": seen, "sound": sound, "profile": author, "create": "/create"}


def post(page: Page, title: str, picture: Path | None) -> None:
    page.goto("/create")
    page.get_by_label("Title").fill(title)
    if picture:
        page.locator("#file").set_input_files(picture)
        expect(page.locator(".upload")).to_contain_text("Uploaded")
    page.get_by_role("button", name="Post", exact=True).click()
    page.wait_for_url(re.compile(r"/p/\w+$"))
    expect(page.locator("#similar .tile").first).to_be_visible(timeout=120_000)


def further_places() -> dict[str, str]:
    kinds = {f"explore-{kind}": f"/explore?media_type={kind}" for kind in ("gif", "audio", "video", "text")}
    return {
        **kinds,
        "latest": "/?feed=latest",
        "following": "/?feed=following",
        "search": "/search?q=sea",
        "settings": "/settings",
        "not-found": "/nowhere",
    }


def take_all(
    browser: Browser,
    address: str,
    folder: Path,
    email: str,
    places: dict[str, str],
    viewport: dict[str, int],
    scheme: str,
) -> None:
    """Every page at one size, by day or by night."""
    page = open_page(browser, address, viewport=viewport, color_scheme=scheme)
    log_in(page, email)
    for name, place in places.items():
        page.goto(place)
        page.evaluate(SETTLED)
        page.wait_for_timeout(400)
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.save(folder / f"{name}-{scheme}-{viewport['width']}.webp", quality=88, method=6)
    page.context.close()


def delete_account(browser: Browser, address: str, email: str) -> None:
    page = open_page(browser, address)
    log_in(page, email)
    page.goto("/settings")
    page.locator("#delete-password").fill(PASSWORD)
    page.get_by_role("button", name="Delete my account for good").click()
    page.wait_for_url("**/")
    page.context.close()


if __name__ == "__main__":
    main()
