"""Takes the README's pictures from a running site with the demo content into docs/screenshots.

    python scripts/screenshots.py [http://localhost:8000] [folder]

It makes an account for the pages of signed-in people, posts nothing, and deletes the account at the end.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from strvsocial.local.chromium import find_chromium

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
PASSWORD = secrets.token_urlsafe(16)


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parents[1] / "docs" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    path = find_chromium()
    if path is None:
        raise SystemExit("There is no Chromium here: install it, or name one in STRV_TEST_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        email = sign_up(browser, address)
        try:
            for size, viewport in SIZES.items():
                for scheme in ("light", "dark"):
                    take_all(browser, address, folder, email, size, viewport, scheme)
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


def take_all(
    browser: Browser, address: str, folder: Path, email: str, size: str, viewport: dict[str, int], scheme: str
) -> None:
    """Every page at one size, by day or by night."""
    page = open_page(browser, address, viewport=viewport, color_scheme=scheme, has_touch=size == "phone")

    def take(name: str, where: str) -> None:
        page.goto(where)
        page.wait_for_load_state("networkidle" if where in ("/login", "/signup") else "load")
        page.evaluate(
            "Promise.all([...document.images].filter(i => i.loading !== 'lazy').map(i => i.decode().catch(() => 0)))"
        )
        page.wait_for_timeout(400)
        page.screenshot(path=folder / f"{name}-{size}-{scheme}.png")

    take("login", "/login")
    take("signup", "/signup")
    take("not-found", "/nowhere")
    log_in(page, email)
    take("feed", "/?feed=latest")
    take("for-you", "/")
    take("explore", "/explore")
    for kind in ("image", "gif", "audio", "video", "text"):
        page.goto(f"/explore?media_type={kind}")
        first = page.locator(".tile a.to").first
        if first.count():
            take(f"post-{kind}", str(first.get_attribute("href")))
    author = page.locator(".byline a.name").first
    if author.count():
        take("profile", str(author.get_attribute("href")))
    take("search", "/search?q=sea")
    take("create", "/create")
    take("settings", "/settings")
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
