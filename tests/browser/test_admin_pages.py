"""The admin's pages in a real browser: by axe in every theme, narrow and wide, live with scripts, whole without."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from sqlalchemy import text
from tests.browser.conftest import PHONE, OpenPage, People, log_in
from tests.browser.test_accessibility import WCAG, check, check_page

from strvsocial.users import accounts, audit
from strvsocial.users.models import User

PAGES = [
    "/admin",
    "/admin/jobs",
    "/admin/media",
    "/admin/storage",
    "/admin/processes",
    "/admin/people",
    "/admin/map",
    "/admin/log",
]
BUSIEST = ["/admin", "/admin/jobs", "/admin/people"]
RULES = {"runOnly": {"type": "tag", "values": WCAG}}
_SAMPLES = text(
    """
    insert into samples (at, figures)
    select date_trunc('minute', now()) - make_interval(mins => n), jsonb_build_object(
      'waiting.quick', n % 7, 'waiting.long', n % 3, 'waiting.embed', n % 11, 'oldest.quick', n % 90, 'oldest.long', 0,
      'oldest.embed', 5, 'done.quick', 9, 'done.long', 1, 'done.embed', n % 5, 'requests', 900 + n % 50, 'errors', n % 2,
      'p95', 0.06, 'people', 9, 'posts', 90, 'seconds', 4000, 'bytes.image', 5e9, 'bytes.gif', 1e9, 'bytes.audio', 3e9,
      'bytes.video', 9e9)
    from generate_series(2, 59) as n on conflict do nothing
    """
)
_DEAD = text(
    """
    insert into jobs (queue, kind, state, attempts, last_error, finished_at)
    values ('embed', 'test.browser', 'dead', 3, 'a trace\nOutOfMemoryError: it broke', now())
    """
)
_GONE = text(
    """
    insert into processes (id, kind, host, pid, version, details, seen_at) values
      ('gone', 'embedder', 'far-away', 7, '0.1.0', '{"rss": 5000000, "lanes": {"embed": 2}}', now() - interval '2 h')
    """
)


@pytest_asyncio.fixture(scope="module")
async def admin(people: People) -> AsyncIterator[User]:
    """An admin of a site with some history, a given-up job, a dead process and something in the log."""
    admin, bob = await people.join("admin"), await people.join("bob")
    await people.post(bob, "A heron by the weir")
    async with people.database.transaction() as db:
        await accounts.set_role(db, admin.username, "admin")
        await accounts.suspend(db, bob.username)
        await audit.record(db, None, "users.suspend", bob.username)
        for statement in (_SAMPLES, _DEAD, _GONE):
            await db.execute(statement)
    yield admin


@pytest.fixture
async def signed_in(open_page: OpenPage, admin: User) -> Page:
    page = await open_page(reduced_motion="reduce")
    await log_in(page, admin)
    return page


@pytest.mark.parametrize("path", PAGES)
async def test_pages_by_axe(signed_in: Page, path: str) -> None:
    """All rules on a desk and on a phone, by day and by night, and the busiest pages in every theme; no scrolling sideways."""
    await signed_in.goto(path)
    await signed_in.evaluate(Axe().axe_script)
    for summary in await signed_in.locator("main summary").all():
        await summary.click()
    if path in BUSIEST:
        assert await check_page(signed_in) == []
    else:
        assert await check(signed_in, RULES) == []
    await signed_in.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await signed_in.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert await check(signed_in, RULES) == []
    await signed_in.set_viewport_size({"width": 320, "height": 640})
    assert await signed_in.evaluate("document.documentElement.scrollWidth") <= 320


async def test_suspending_somebody_is_asked_first(signed_in: Page, people: People) -> None:
    eve = await people.join("eve")
    await signed_in.goto(f"/admin/people?q={eve.username}")
    await signed_in.get_by_role("link", name=f"Suspend {eve.username}").click()
    dialog = signed_in.get_by_role("dialog")
    await expect(dialog.get_by_role("heading")).to_have_text(f"Suspend {eve.username}?")
    await dialog.get_by_role("link", name="Leave as it is").click()
    await expect(dialog).to_have_count(0)
    await signed_in.get_by_role("link", name=f"Suspend {eve.username}").click()
    await dialog.get_by_role("button", name="Suspend").click()
    await expect(signed_in.locator(f'[id="account-{eve.username}"]')).to_contain_text("Suspended")


async def test_targets_are_large_enough_on_touch(open_page: OpenPage, admin: User) -> None:
    page = await open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    await log_in(page, admin)
    for path in PAGES:
        await page.goto(path)
        small: list[Any] = await page.evaluate(
            """() => [...document.querySelectorAll('main :is(.btn, .chip, summary, .input)')]
                .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 43.5)
                .map((element) => element.outerHTML.slice(0, 120))"""
        )
        assert small == [], path


async def test_what_is_shown_of_now_follows_the_site(signed_in: Page, people: People) -> None:
    """New processes appear by themselves; what is open and has the focus stays so. Pausing ends it."""
    await signed_in.goto("/admin/jobs")
    await signed_in.locator("#plot-waiting summary").click()
    retry = signed_in.get_by_role("button", name=re.compile("^Try job"))
    await retry.focus()
    async with people.database.transaction() as db:
        await db.execute(
            text("insert into jobs (queue, kind, run_after) values ('long', 'test.later', now() + interval '1 d')")
        )
    # Coming back to the tab asks at once; otherwise it is every ten seconds.
    await signed_in.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    films = signed_in.get_by_role("row", name=re.compile("^Films"))
    await expect(films.locator("td").nth(3)).to_have_text("1", timeout=20_000)
    await expect(retry).to_be_focused()
    await expect(signed_in.locator("#plot-waiting details")).to_have_attribute("open", "")
    await signed_in.get_by_role("link", name="Pause updates").click()
    await expect(signed_in.get_by_role("link", name="Update by itself")).to_be_visible()
    assert await signed_in.locator("[data-live]").count() == 0


async def test_the_processes_of_this_site_are_there(signed_in: Page) -> None:
    """The web process and the worker that serve these tests, and the embedder that is gone."""
    await signed_in.goto("/admin/processes")
    for title, words in (("Web", "open stream"), ("Worker", "2 at a time"), ("Embedder", "It did not say goodbye")):
        shown = signed_in.locator(".process", has=signed_in.get_by_role("heading", name=title, exact=True))
        await expect(shown).to_contain_text(words, timeout=30_000)
    await expect(signed_in.get_by_text("No embedder process is running.")).to_be_visible()


async def test_everything_works_without_scripts(open_page: OpenPage, admin: User, people: People) -> None:
    page = await open_page(java_script_enabled=False, viewport=PHONE)
    await log_in(page, admin)
    await page.goto("/settings")
    await page.get_by_role("link", name="Admin pages").click()
    await page.get_by_role("link", name="See why, and try again").click()
    await expect(page.get_by_role("img", name="Waiting jobs")).to_be_visible()
    await expect(page.get_by_role("link", name="Pause updates")).to_be_hidden()
    await page.get_by_role("button", name=re.compile("^Try job")).click()
    await expect(page.get_by_role("status").first).to_contain_text("1 job is tried again")
    await page.get_by_role("link", name="People").click()
    await page.get_by_label("Name or e-mail address").fill("bob")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="suspension").click()
    await expect(page.get_by_role("link", name=re.compile("^Suspend bob"))).to_be_visible()
    await page.get_by_role("link", name="Log", exact=True).click()
    await expect(page.locator(".log li").first).to_contain_text("let back in bob")
