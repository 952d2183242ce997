"""What changes on an open page without a reload, and never makes it jump."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import Route, expect
from sqlalchemy import update
from tests.browser.conftest import OpenPage, People, log_in

from strvsocial.content.models import Post
from strvsocial.content.processing import SIZES_LATER, give_up_sizes
from strvsocial.content.progress import tell_progress
from strvsocial.content.settling import settle_sizes
from strvsocial.ids import new_id
from strvsocial.media.models import Attachment, Rendition
from strvsocial.users.models import User

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


async def test_the_card_says_how_far_a_film_is(open_page: OpenPage, people: People) -> None:
    ada = await people.join("ada")
    film = Attachment(
        public_id=new_id(),
        position=0,
        kind="video",
        status="processing",
        progress=40,
        source_key="originals/film",
        source_mime="video/mp4",
        byte_size=1,
        sha256=b"0" * 32,
    )
    async with people.database.transaction() as db:
        post = Post(public_id=new_id(), author_id=ada.id, title="Long film", media_type="video", status="processing")
        db.add(post)
        await db.flush()
        film.post_id = post.id
        db.add(film)
    page = await open_page()
    await log_in(page, ada)
    for path in (f"/p/{post.public_id}", "/?feed=latest"):
        await page.goto(path)
        bar = page.get_by_role("progressbar", name="Preparing")
        before = int(await bar.get_attribute("value") or 0)
        assert before >= 40
        async with people.database.transaction() as db:
            await db.execute(update(Attachment).where(Attachment.id == film.id).values(progress=before + 10))
        await expect(bar).to_have_js_property("value", before + 10)
        await expect(page.locator(".percent")).to_have_text(f"{before + 10} %")


async def film_in_sizes(people: People, author: User) -> tuple[Post, Attachment]:
    """A film that can be watched in its lowest size, while two others wait."""
    film = Attachment(
        public_id=new_id(),
        position=0,
        kind="video",
        status="ready",
        progress=100,
        source_key="originals/film",
        source_mime="video/mp4",
        byte_size=1,
        sha256=b"0" * 32,
        width=1280,
        height=720,
        duration=30.0,
    )
    async with people.database.transaction() as db:
        post = Post(public_id=new_id(), author_id=author.id, title="Film in sizes", media_type="video", status="ready")
        post.pending = ["rendition"]
        db.add(post)
        await db.flush()
        film.post_id = post.id
        db.add(film)
        await db.flush()
        for short, width in ((240, 426), (480, 854), (720, 1280)):
            size = Rendition(attachment_id=film.id, name=f"h{short}.mp4", role="rung", key=f"media/x/h{short}.mp4")
            size.mime, size.byte_size, size.width, size.height = "video/mp4", 1, width, short
            size.state, size.progress = ("ready", 100) if short == 240 else ("wanted", 0)
            db.add(size)
    return post, film


async def test_the_sizes_of_a_film_come_one_by_one_and_nothing_moves(open_page: OpenPage, people: People) -> None:
    ada = await people.join("ada")
    post, film = await film_in_sizes(people, ada)
    page = await open_page()
    await log_in(page, ada)
    for path, outer in ((f"/p/{post.public_id}", "[data-single]"), ("/?feed=latest", f"#post-{post.public_id}")):
        async with people.database.transaction() as db:
            row = update(Rendition).where(Rendition.attachment_id == film.id, Rendition.name != "h240.mp4")
            await db.execute(row.values(state="wanted", progress=0))
            await db.execute(update(Post).where(Post.id == post.id).values(pending=["rendition"]))
        await page.goto(path)
        sizes = page.locator(f"{outer} .sizes")
        await expect(sizes.get_by_role("listitem")).to_have_text(["240p ready", "480p waiting", "720p waiting"])
        place = await sizes.bounding_box()
        async with people.database.transaction() as db:
            await db.execute(row.where(Rendition.name == "h480.mp4").values(progress=43))
            await tell_progress(db, film.id)
        await expect(sizes.get_by_role("progressbar", name="480p")).to_have_js_property("value", 43)
        await expect(sizes.get_by_role("listitem")).to_have_text(["240p ready", "480p 43 %", "720p waiting"])
        async with people.database.transaction() as db:
            await db.execute(row.values(state="ready", progress=100))
            await settle_sizes(db, post.id)
        await expect(sizes.get_by_role("listitem")).to_have_text(["240p ready", "480p ready", "720p ready"])
        assert await sizes.bounding_box() == place


async def test_sizes_that_failed_say_so_and_are_tried_again(open_page: OpenPage, people: People) -> None:
    ada = await people.join("ada")
    post, film = await film_in_sizes(people, ada)
    page, plain = await open_page(), await open_page(java_script_enabled=False)
    await log_in(page, ada)
    await page.goto(f"/p/{post.public_id}")
    await give_up_sizes(people.database, film.id, "It took too long.")
    told = page.get_by_text("480p and 720p could not be made. It took too long.")
    await expect(told).to_be_visible(timeout=30_000)  # Heard at once, or found by asking.
    await page.get_by_role("button", name="Try again").click()
    await expect(told).to_have_count(0, timeout=15_000)
    # The worker finds no file, tries thrice and gives up in its own words.
    again = f"480p and 720p could not be made. {SIZES_LATER}"
    await expect(page.get_by_text(again)).to_be_visible(timeout=60_000)
    await log_in(plain, ada)
    await plain.goto(f"/p/{post.public_id}")
    await plain.get_by_role("button", name="Try again").click()
    await expect(plain.get_by_text(again)).to_have_count(0)


async def test_every_picture_is_described_without_scripts(open_page: OpenPage, people: People, picture: Path) -> None:
    page = await open_page(java_script_enabled=False)
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    await page.get_by_label("Title").fill("Two suns")
    await page.get_by_label("Pictures, a GIF, a sound or a video").set_input_files([picture, picture])
    await page.get_by_label("What the picture shows").fill("The first sun")
    await page.get_by_text("Several pictures: describe the others").click()
    await page.get_by_label("What picture 2 shows").fill("The second sun")
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))
    for _ in range(40):
        if await page.get_by_role("img", name="The second sun").count():
            break
        await page.wait_for_timeout(500)
        await page.reload()
    await expect(page.get_by_role("img", name="The first sun")).to_be_visible()
    await expect(page.get_by_role("img", name="The second sun")).to_be_visible()
