"""What people come for, in a real browser."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from playwright.async_api import Page, expect
from tests.browser.conftest import PHONE, OpenPage, People, log_in
from tests.front_door import PASSWORD


async def sign_up(page: Page, name: str) -> str:
    username = f"{name}.{secrets.token_hex(3)}"
    await page.goto("/signup")
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("E-mail address").fill(f"{username}@example.org")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make my account").click()
    await page.wait_for_url("**/")
    return username


async def test_sign_up_post_a_picture_and_see_it_become_ready(open_page: OpenPage, picture: Path) -> None:
    page = await open_page()
    username = await sign_up(page, "nora")
    await page.get_by_role("link", name="New post").first.click()
    await page.get_by_label("Title").fill("Last light")
    await page.locator("#file").set_input_files(picture)
    await expect(page.locator(".upload")).to_contain_text("Uploaded")
    await page.get_by_label("What it shows").fill("A red sun over dark water")
    await page.get_by_label("Tags").fill("sunset, sea")
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    await expect(page.get_by_role("heading", name="Last light")).to_be_visible()
    shown = page.get_by_role("img", name="A red sun over dark water")
    await expect(shown).to_be_visible(timeout=30_000)
    assert await shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    await page.goto(f"/u/{username}")
    await expect(page.get_by_role("link", name="Last light, by")).to_be_visible()
    assert await page.evaluate("localStorage.length") == 0


async def test_everything_without_scripts(open_page: OpenPage, picture: Path) -> None:
    page = await open_page(java_script_enabled=False, viewport=PHONE)
    username = await sign_up(page, "otto")
    await page.get_by_role("link", name="New post").click()
    await page.get_by_label("Title").fill("Plain and simple")
    await page.get_by_label("Text", exact=True).fill("No scripts were *needed*.")
    await page.get_by_label("Pictures, a GIF, a sound or a video").set_input_files(picture)
    await page.get_by_label("What the picture shows").fill("The sun goes down")
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    for _ in range(40):
        if await page.get_by_role("img", name="The sun goes down").count():
            break
        await page.wait_for_timeout(500)
        await page.reload()
    await expect(page.get_by_role("img", name="The sun goes down")).to_be_visible()
    await page.locator(".single summary").first.click()
    await page.get_by_role("link", name="Edit").click()
    await page.get_by_label("Title").fill("Plain, simple, better")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Plain, simple, better")).to_be_visible()
    await page.get_by_role("link", name="Search").click()
    await page.get_by_label("Search posts, tags and people").fill("simple")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Plain, simple, better")).to_be_visible()
    await page.goto("/settings")
    await page.get_by_role("radio", name=re.compile("^Dusk")).check()
    await page.get_by_role("button", name="Use this look").click()
    assert await page.locator("html").get_attribute("data-theme") == "dusk"
    await page.get_by_role("button", name="Log out of this browser").click()
    await page.wait_for_url("**/")
    await expect(page.get_by_role("link", name="Log in").last).to_be_visible()
    await page.goto(f"/u/{username}")
    await expect(page.get_by_role("link", name=re.compile("^Plain, simple, better"))).to_be_visible()


async def test_follow_changes_at_once_and_keeps_the_focus(open_page: OpenPage, people: People) -> None:
    ada, bob = await people.join("ada"), await people.join("bob")
    page = await open_page()
    await log_in(page, bob)
    await page.goto(f"/u/{ada.username}")
    await page.get_by_role("button", name="Follow").click()
    following = page.get_by_role("button", name="Following")
    await expect(following).to_be_focused()
    await expect(page.locator(".counts")).to_contain_text("1 follower")
    await following.click()
    await expect(page.get_by_role("button", name=re.compile("^Follow "))).to_be_visible()


async def test_lists_are_endless_and_back_finds_the_place(open_page: OpenPage, people: People) -> None:
    ada = await people.join("ada")
    for number in range(60):
        await people.post(ada, f"Wave {number}")
    page = await open_page()
    await page.goto(f"/u/{ada.username}")
    tiles = page.locator(".grid .tile")
    assert await tiles.count() == 24
    await page.locator(".more a").scroll_into_view_if_needed()
    await expect(tiles).to_have_count(48)
    far = page.get_by_role("link", name="Wave 15, by")
    await far.scroll_into_view_if_needed()
    before = await far.bounding_box()
    await far.click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    await page.go_back()
    await expect(far).to_be_in_viewport()
    after = await far.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) <= 8


async def test_deleting_asks_in_a_dialog(open_page: OpenPage, people: People) -> None:
    ada = await people.join("ada")
    await people.post(ada, "Stays")
    await people.post(ada, "Goes")
    page = await open_page()
    await log_in(page, ada)
    await page.goto("/?feed=latest")
    await page.get_by_label("Options for Goes").click()
    await page.get_by_role("link", name="Delete").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Delete “Goes”?")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_label("Options for Goes")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Delete").click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="Goes")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Stays")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="deleted")).to_be_visible()


async def test_the_theme_changes_at_once_and_stays(open_page: OpenPage, people: People) -> None:
    page = await open_page()
    await log_in(page, await people.join("ada"))
    async with page.expect_response("**/theme"):
        await page.get_by_role("button", name="Dusk").click()
    html = page.locator("html")
    assert await html.get_attribute("data-theme") == "dusk"
    await page.reload()
    assert await html.get_attribute("data-theme") == "dusk"


async def test_keys(open_page: OpenPage, people: People) -> None:
    ada = await people.join("ada")
    for title in ("Third", "Second", "First"):
        await people.post(ada, title)
    page = await open_page()
    await page.goto("/")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    focused = page.locator("article.post:focus")
    await expect(focused).to_contain_text("Second")
    await page.keyboard.press("k")
    await expect(focused).to_contain_text("First")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    await page.wait_for_url("**/search")
    await page.get_by_label("Search posts, tags and people").press("j")
    await expect(page.get_by_label("Search posts, tags and people")).to_have_value("j")


async def test_a_draft_survives_a_reload(open_page: OpenPage, people: People, picture: Path) -> None:
    page = await open_page()
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    await page.get_by_label("Title").fill("Not lost")
    await page.locator("#file").set_input_files(picture)
    await expect(page.locator(".upload")).to_contain_text("Uploaded")
    await page.get_by_label("What it shows").fill("A sun")
    kept = "JSON.stringify({...localStorage}).includes('A sun')"
    while not await page.evaluate(kept):
        await page.wait_for_timeout(50)
    await page.reload()
    await expect(page.get_by_label("Title")).to_have_value("Not lost")
    await expect(page.locator(".upload")).to_contain_text("Uploaded")
    await expect(page.get_by_label("What it shows")).to_have_value("A sun")
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    await expect(page.get_by_role("heading", name="Not lost")).to_be_visible()


async def test_a_wrong_file_is_refused_with_the_reason(open_page: OpenPage, people: People, tmp_path: Path) -> None:
    page = await open_page()
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    note = tmp_path / "note.txt"
    note.write_text("words")
    await page.locator("#file").set_input_files(note)
    await expect(page.locator(".error")).to_contain_text("“note.txt” is not a picture")
    lying = tmp_path / "lying.png"
    lying.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>" * 100)
    await page.locator("#file").set_input_files(lying)
    await expect(page.locator(".upload.failed .note")).not_to_be_empty()
    await page.get_by_role("button", name="Take out lying.png").click()
    await expect(page.locator(".upload")).to_have_count(0)
