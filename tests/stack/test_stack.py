"""The main job through everything that stands on a real server."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from playwright.async_api import Response, expect
from sqlalchemy import text
from tests.browser.conftest import PHONE, OpenPage
from tests.browser.media import OTHER_WORDS, WORDS, make_files
from tests.browser.test_journeys import sign_up
from tests.browser.test_main_job import LIMIT, post, post_the_like
from tests.front_door import PASSWORD
from tests.pgbouncer import Pooler
from tests.stack.conftest import PROCESSES, Stack

from strvsocial.db import Database
from strvsocial.operations.doctor import examine
from strvsocial.storage import open_storage

PLAYED = """async (selector) => {
  const player = document.querySelector(selector)
  player.muted = true
  await player.play()
  await new Promise((done) => player.addEventListener('timeupdate', () => player.currentTime > 0.2 && done()))
  return player.currentTime
}"""


async def test_post_every_kind_and_find_its_like(open_page: OpenPage, stack: Stack, tmp_path: Path) -> None:
    post_the_like(stack.address, tmp_path)
    files = make_files(tmp_path)
    page = await open_page()
    media: list[Response] = []
    page.on("response", lambda response: media.append(response) if "/media/" in response.url else None)
    username = await sign_up(page, "nora")
    for kind in WORDS:
        ready = await post(page, kind, files.get(kind))
        began = time.monotonic()
        like = page.locator("#similar .tile", has_text=OTHER_WORDS[kind])
        await expect(like).to_be_visible(timeout=LIMIT * 1000)
        print(f"{kind}: ready after {ready:.1f} s, its like found {time.monotonic() - began:.1f} s later")
        if kind in ("audio", "video"):
            media.clear()
            assert await page.evaluate(PLAYED, ".single audio, .single [data-film] video") > 0.2
            assert {response.status for response in media if response.request.resource_type == "media"} == {206}
    again = await open_page(viewport=PHONE)
    await again.goto("/login")
    await again.get_by_label("E-mail address").fill(f"{username}@example.org")
    await again.get_by_label("Password").fill(PASSWORD)
    await again.get_by_role("button", name="Log in").click()
    await again.wait_for_url("**/")
    await again.goto(f"/u/{username}")
    await expect(again.locator("article, .tile")).to_have_count(len(WORDS))
    pictures = again.locator("article img, .tile img")
    assert await pictures.evaluate_all(
        "all => Promise.all(all.map((one) => { one.loading = 'eager'; return one.decode() }))"
    )


async def test_bytes_come_in_pieces_from_the_bucket(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.address) as client, open_storage(stack.settings) as storage:
        [film, *_] = (await client.get("/api/v1/feeds/latest", params={"media_type": "video"})).json()["items"]
        [medium] = film["post"]["media"]
        stored = b"".join([piece async for piece in storage.read(medium["url"].removeprefix("/"))])
        whole = await client.get(medium["url"])
        assert (whole.status_code, whole.content) == (200, stored)
        part = await client.get(medium["url"], headers={"Range": "bytes=1000-1999", "X-Request-ID": "a-part-of-a-film"})
        assert (part.status_code, part.content) == (206, stored[1000:2000])
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(stored)}"
        bucket = str(stack.settings.s3_endpoint_url).removeprefix("http://")
        assert bucket in stack.nginx.find_logged("a-part-of-a-film")["upstream"], (
            "the web process sent the bytes itself"
        )
        beyond = await client.get(medium["url"], headers={"Range": f"bytes={len(stored)}-"})
        assert beyond.status_code == 416


async def test_the_address_of_who_asks_is_known(stack: Stack) -> None:
    name = f"otto{time.time_ns()}"[:20]
    account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    headers = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "192.0.2.1"}
    async with httpx.AsyncClient(base_url=stack.address, transport=transport, headers=headers) as client:
        assert (await client.post("/signup", data=account)).status_code == 303
    database = Database(stack.settings, pool_size=1)
    async with database.read() as reader:
        query = "select address from sessions where user_id = (select id from users where username = :name)"
        assert await reader.scalar(text(query), {"name": name}) == "127.0.0.2"
    await database.aclose()


async def test_the_doctor_is_content(stack: Stack) -> None:
    findings = await examine(stack.settings)
    assert [finding for finding in findings if finding.state == "fail"] == []
    assert {finding.name for finding in findings if finding.state == "ok"} >= {"live", "storage", "worker", "embedder"}


def test_nobody_complained(stack: Stack, pooler: Pooler) -> None:
    """Run last: what all the processes have said meanwhile."""
    lines = stack.lines()
    assert {line["process"].split(".")[0] for line in lines} == set(PROCESSES)
    assert [line for line in lines if line["level"] not in ("info", "debug")] == []
    assert stack.nginx.errors() == []
    said = [line for line in pooler.log.read_text().splitlines() if " WARNING " in line or " ERROR " in line]
    # A server that ends an idle connection says so when nobody is linked to it; PgBouncer opens another.
    assert [line for line in said if "when not linked" not in line] == []
