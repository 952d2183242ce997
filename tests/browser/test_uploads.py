"""Large files over a slow line: pause, go on, also after a reload, take out, try again; and files that we refuse."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Request, Route, expect
from tests.browser.conftest import OpenPage, People, log_in

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def large_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV of 60 MB: 5 minutes and a bit, 16 bit, stereo, 48 kHz; noise."""
    path = tmp_path_factory.mktemp("large") / "field recording.wav"
    size = 60 * MEGABYTE
    header = b"RIFF" + (size + 36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += (
        bytes((1, 0, 2, 0)) + (48_000).to_bytes(4, "little") + (192_000).to_bytes(4, "little") + bytes((4, 0, 16, 0))
    )
    path.write_bytes(header + b"data" + size.to_bytes(4, "little") + os.urandom(size))
    return path


async def throttle(page: Page, bytes_per_second: int) -> None:
    """Limits what the page sends; -1 lifts it."""
    session = await page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 20, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    await session.send("Network.emulateNetworkConditions", limits)


async def begin(page: Page, people: People, file: Path) -> Locator:
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    await throttle(page, 6 * MEGABYTE)
    await page.get_by_label("Title").fill("An hour by the weir")
    await page.locator("#file").set_input_files(file)
    return page.locator(".upload")


async def sent(upload: Locator) -> float:
    """The share that the bar shows."""
    return float(await upload.locator("progress").evaluate("bar => bar.value"))


async def reach(page: Page, upload: Locator, share: float) -> None:
    await page.wait_for_function(
        "share => document.querySelector('.upload progress')?.value >= share", arg=share, timeout=60_000
    )


def note_offsets(page: Page) -> list[int]:
    """Where each piece that is sent from now on begins."""
    offsets: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH" and "/uploads/" in request.url:
            offsets.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    return offsets


async def test_pause_and_go_on(open_page: OpenPage, people: People, large_sound: Path) -> None:
    page = await open_page()
    upload = await begin(page, people, large_sound)
    await reach(page, upload, 0.35)
    await page.get_by_role("button", name="Pause field recording.wav").click()
    await expect(upload).to_contain_text("Paused at")
    still = await sent(upload)
    await page.wait_for_timeout(1000)
    assert await sent(upload) == still
    offsets = note_offsets(page)
    await throttle(page, -1)
    await page.get_by_role("button", name="Resume field recording.wav").click()
    await expect(upload).to_contain_text("Uploaded · ", timeout=60_000)
    assert offsets[0] > 10 * MEGABYTE, "the upload began anew"


async def test_a_reload_in_the_middle_loses_nothing(open_page: OpenPage, people: People, large_sound: Path) -> None:
    page = await open_page()
    upload = await begin(page, people, large_sound)
    await page.get_by_label("What can be heard").fill("Water, for long")
    await reach(page, upload, 0.4)
    await page.wait_for_function("JSON.stringify({...localStorage}).includes('/api/v1/uploads/')")
    await page.reload()
    await expect(upload).to_contain_text("Choose this file again")
    offsets = note_offsets(page)
    await throttle(page, -1)
    await page.locator("#file").set_input_files(large_sound)
    await expect(upload).to_contain_text("Uploaded · ", timeout=60_000)
    await expect(upload).to_have_count(1)
    assert offsets[0] > 10 * MEGABYTE, "the upload began anew"
    await expect(page.get_by_label("What can be heard")).to_have_value("Water, for long")
    await page.get_by_role("button", name="Post", exact=True).click()
    await page.wait_for_url(re.compile(r"/p/\w+$"))


async def test_take_out_in_the_middle(open_page: OpenPage, people: People, large_sound: Path) -> None:
    page = await open_page()
    upload = await begin(page, people, large_sound)
    await reach(page, upload, 0.2)
    async with page.expect_response(lambda response: response.request.method == "DELETE") as answer:
        await page.get_by_role("button", name="Take out field recording.wav").click()
    assert (await answer.value).status == 204
    await expect(upload).to_have_count(0)
    gone = await page.request.fetch(
        (await answer.value).url, method="HEAD", headers={"Tus-Resumable": "1.0.0"}, max_redirects=0
    )
    assert gone.status in (404, 410)


async def test_an_error_of_the_site_is_overcome(open_page: OpenPage, people: People, picture: Path) -> None:
    """Pieces that fail are sent again by themselves; a refusal says why and waits for a click."""
    page = await open_page()
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    failures = 0

    async def fail_twice(route: Route) -> None:
        nonlocal failures
        if route.request.method != "PATCH" or failures == 2:
            await route.continue_()
            return
        failures += 1
        await route.fulfill(status=500, body="")

    await page.route("**/api/v1/uploads/*", fail_twice)
    await page.locator("#file").set_input_files(picture)
    upload = page.locator(".upload")
    await expect(upload).to_contain_text("Uploaded")
    assert failures == 2
    refusal = '{"error": {"status": 413, "code": "too_large", "message": "A picture may have 32 MB."}}'

    async def refuse(route: Route) -> None:
        await route.fulfill(status=413, body=refusal, content_type="application/json")

    await page.get_by_role("button", name="Take out sunset.jpg").click()
    await page.route("**/api/v1/uploads", refuse)
    await page.locator("#file").set_input_files(picture)
    await expect(upload.locator(".note")).to_have_text("A picture may have 32 MB.")
    await page.unroute("**/api/v1/uploads")
    await page.get_by_role("button", name="Try sunset.jpg again").click()
    await expect(upload).to_contain_text("Uploaded")


async def test_files_that_we_do_not_take(open_page: OpenPage, people: People, tmp_path: Path, picture: Path) -> None:
    page = await open_page()
    await log_in(page, await people.join("ada"))
    await page.goto("/create")
    error = page.locator(".error")
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    await page.locator("#file").set_input_files(huge)
    await expect(error).to_contain_text("“huge.jpg”")
    await expect(error).to_contain_text("32 MB")
    empty = tmp_path / "empty.png"
    empty.touch()
    await page.locator("#file").set_input_files(empty)
    await expect(error).to_contain_text("empty")
    await page.locator("#file").set_input_files([picture] * 11)
    await expect(error).to_contain_text("10")
    while await page.locator(".upload").count():
        await page.get_by_role("button", name="Take out").first.click()
    playlist = tmp_path / "film.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n" * 20)
    await page.locator("#file").set_input_files(playlist)
    await expect(page.locator(".upload.failed .note")).to_contain_text("film", ignore_case=True)
    assert len(await page.locator(".upload.failed .note").inner_text()) > 20
