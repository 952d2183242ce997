"""What changes on an open page without a reload, and never makes it jump."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import Route, expect
from tests.browser.conftest import OpenPage, People, log_in

LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"


async def test_new_posts_announce_themselves(open_page: OpenPage, people: People) -> None:
    ada, bob = await people.join("ada"), await people.join("bob")
    await people.post(ada, "Was here before")
    page = await open_page()
    await log_in(page, bob)
    await page.goto("/?feed=latest")
    first = page.locator("#feed .post").first
    place = await first.bounding_box()
    await people.post(ada, "Came later")
    await people.post(bob, "My own does not count")
    await people.post(ada, "Private", visibility="private")
    await page.evaluate(LOOK_AGAIN)
    pill = page.get_by_role("link", name="1 new post")
    await expect(pill).to_be_visible()
    assert await first.bounding_box() == place
    await pill.click()
    await expect(page.get_by_role("heading", name="Came later")).to_be_visible()
    await expect(pill).to_have_count(0)


async def test_new_posts_of_the_followed_only(open_page: OpenPage, people: People) -> None:
    ada, bob, eve = await people.join("ada"), await people.join("bob"), await people.join("eve")
    await people.follow(bob, ada)
    await people.post(ada, "Followed")
    page = await open_page()
    await log_in(page, bob)
    await page.goto("/?feed=following")
    await people.post(eve, "Somebody else's")
    await people.post(ada, "For followers", visibility="followers")
    async with page.expect_response("**/fresh?*"):
        await page.evaluate(LOOK_AGAIN)
    await expect(page.get_by_role("link", name="1 new post")).to_be_visible()


async def test_following_shows_at_once_and_goes_back_when_refused(open_page: OpenPage, people: People) -> None:
    ada, bob = await people.join("ada"), await people.join("bob")
    page = await open_page()
    await log_in(page, bob)
    await page.goto(f"/u/{ada.username}")
    answers: list[Route] = []
    await page.route("**/follow", lambda route: answers.append(route))
    await page.get_by_role("button", name="Follow").click()
    button = page.locator("[data-follow] button")
    await expect(button).to_have_text("Following", timeout=1000)
    await expect(button).to_have_attribute("aria-pressed", "true")
    await answers[0].fulfill(status=503, body="<p>down</p>", content_type="text/html")
    await expect(button).to_have_text("Follow")
    await expect(button).to_have_attribute("aria-pressed", "false")
    await expect(page.locator(".toast")).to_be_visible()
    await page.unroute("**/follow")
    await button.click()
    await expect(page.locator(".counts")).to_contain_text("1 follower")
    await page.reload()
    await expect(button).to_have_text("Following")


async def test_a_new_face_shows_without_a_reload(open_page: OpenPage, people: People, picture: Path) -> None:
    page = await open_page()
    await log_in(page, await people.join("ada"))
    await page.goto("/settings")
    await page.get_by_label("A new picture").set_input_files(picture)
    await page.get_by_role("button", name="Use this picture").click()
    for face in (page.locator("#avatar img.face"), page.locator(".rail img.face")):
        await expect(face).to_have_attribute("src", re.compile("^/media/avatars/"), timeout=30_000)


async def test_ones_own_fresh_post_stands_on_top(open_page: OpenPage, people: People, picture: Path) -> None:
    page = await open_page()
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    await page.get_by_label("Title").fill("Just now")
    await page.locator("#file").set_input_files(picture)
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    await page.goto("/?feed=latest")
    first = page.locator("#feed .post").first
    await expect(first).to_contain_text("Just now")
    await expect(first.locator(".media img")).to_be_visible(timeout=30_000)
