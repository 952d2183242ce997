"""Object storage away, overloaded, dripping, cut off or silent: words go on, files wait, and nobody hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.faults.conftest import OpenTown, Town
from tests.faults.proxy import FaultProxy
from tests.faults.walk import WRITTEN, Walk, take
from tests.s3 import S3Server

from strvsocial.errors import Unavailable
from strvsocial.ids import new_id
from strvsocial.media.sweeping import abort_abandoned, compare, delete_orphans
from strvsocial.storage.patience import QUICK_SECONDS

SLOWEST = 3.0
"""Seconds that nothing may take but a picture's bytes, which no page waits for: asking whether storage is there takes one,
to wait for it would take four."""
_REFUSAL = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>"
SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    + f"Content-Length: {len(_REFUSAL)}\r\n\r\n".encode()
    + _REFUSAL
)
AS_PICTURE = {"Sec-Fetch-Dest": "image", "Accept": "image/avif,image/webp,*/*;q=0.8"}


@pytest_asyncio.fixture(scope="module")
async def town(open_town: OpenTown, s3_server: S3Server) -> Town:
    town: Town = await open_town(s3_server)
    assert town.storage is not None
    return town


def way(town: Town) -> FaultProxy:
    """What stands between the town and its storage."""
    assert town.storage is not None
    return town.storage


async def reset(town: Town) -> None:
    way(town).reset()


async def overloaded(town: Town) -> None:
    way(town).answer(SLOW_DOWN)


async def dripping(town: Town) -> None:
    way(town).bytes_per_second = 1
    way(town).cut()


async def silent(town: Town) -> None:
    way(town).fall_silent()


async def picture_of(town: Town) -> tuple[str, str]:
    """The addresses of the picture of the town's post, and of its place."""
    post = (await town.person.api("GET", f"/posts/{town.post}")).json()
    return post["media"][0]["url"], post["url"]


@pytest.mark.parametrize("fault", [reset, overloaded, dripping, silent])
async def test_words_go_on_and_files_wait(town: Town, fault: Callable[[Town], Any]) -> None:
    url, _ = await picture_of(town)
    town.trust_again()
    await fault(town)
    try:
        before = way(town).accepted
        reading, writing = await town.read(), await town.write()
        began = time.monotonic()
        async with town.site.client() as browser:
            pictures = await asyncio.gather(*(browser.get(url, headers=AS_PICTURE) for _ in range(12)))
            waited = time.monotonic() - began
            later = await take(Walk(), browser, "picture", "GET", url, headers=AS_PICTURE)
            ready = await browser.get("/readyz")
    finally:
        town.heal()
    assert reading.are(200)
    assert writing.are(303, but={**WRITTEN, "post picture": 503, "post picture, form": 503})
    assert max(reading.slowest.seconds, writing.slowest.seconds) < SLOWEST, reading.table() + writing.table()
    assert "Words can be posted" in reading["create"].text
    assert "disabled" in reading["create"].text
    assert "data-composer" not in reading["create"].text
    for step in (writing["post picture"], writing["post picture, form"]):
        assert int(step.headers["retry-after"]) > 0
        assert "storage cannot be reached" in step.text or "does not answer as it should" in step.text
    assert 'value="A picture"' in writing["post picture, form"].text, "what was written is lost"
    for answer in pictures:
        assert (answer.status_code, answer.headers["content-type"]) == (503, "image/svg+xml")
        assert answer.headers["cache-control"] == "no-store"
    assert waited < QUICK_SECONDS + 2
    assert (later.status, later.seconds < 0.5) == (503, True), "a dead storage was asked again for every picture"
    assert (ready.status_code, ready.json()["status"], ready.json()["parts"]["database"]) == (200, "degraded", "ok")
    assert ready.json()["parts"]["storage"] != "ok"
    # The pictures asked for at once try four times each, on a connection that was kept and on a new one. Then no more.
    assert way(town).accepted - before <= 12 * 4 * 2 + 30


async def test_all_is_well_again_afterwards(town: Town) -> None:
    url, _ = await picture_of(town)
    town.trust_again()
    assert (await town.read()).are(200)
    assert (await town.write()).are(303, but=WRITTEN)
    answer = await town.site.anonymous.get(url, headers=AS_PICTURE)
    assert (answer.status_code, answer.headers["content-type"].startswith("image/")) == (200, True)
    assert (await town.site.anonymous.get("/readyz")).json()["parts"]["storage"] == "ok"


async def test_bytes_that_drip_are_given_up(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strvsocial.storage.patience.GRACE_SECONDS", 0.5)
    storage = town.site.app.state.storage
    town.trust_again()
    await storage.put("work/drip/pcm", bytes(300_000), "application/octet-stream")
    way(town).bytes_per_second = 20_000
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await _read_out(storage.read("work/drip/pcm"))
    assert time.monotonic() - began < 5, "all of it would have taken fifteen seconds"
    town.heal()


async def _read_out(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass


async def test_objects_deleted_behind_us_have_a_placeholder_and_are_named(town: Town) -> None:
    town.trust_again()
    storage, url = town.site.app.state.storage, (await picture_of(town))[0]
    # Equal bytes would be stored once.
    files = [("file", (f"{number}.jpg", town.picture + bytes([number]), "image/jpeg")) for number in range(3)]
    assert (await town.person.api("POST", "/posts", data={"title": "Three"}, files=files)).status_code == 201
    await town.process()
    stored = [item.key async for item in storage.list("") if not item.key.startswith("work/drip")]
    renditions = [key for key in stored if key.startswith("media/")]
    lost = [*renditions, *(key for key in stored if key.startswith("originals/"))]
    assert len(lost) >= 10
    await storage.delete(lost)
    answer = await town.site.anonymous.get(url, headers=AS_PICTURE)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "image/svg+xml")
    assert (await town.read()).are(200)
    found = await compare(town.site.database, storage)
    named = {missing.key for missing in found.missing}  # Several posts may name the same bytes, or no post any more.
    assert set(renditions) <= named <= set(lost)
    assert len(named) >= 10


async def test_an_outage_leaves_no_orphans_after_the_sweep(town: Town) -> None:
    """Bytes of posts that were never made, and parts of uploads that nobody goes on with, go with the nightly sweep."""
    town.trust_again()
    storage = town.site.app.state.storage
    living = [item.key async for item in storage.list("")]
    crashed = [f"originals/{new_id()}" for _ in range(20)]
    for key in crashed:
        await storage.put(key, b"of a process that died before it committed", "image/jpeg")
    await storage.start_multipart(f"originals/{new_id()}", "video/mp4")
    database, no_grace = town.site.database, timedelta()
    orphans = [orphan.key for orphan in (await compare(database, storage, no_grace)).orphans]
    assert set(crashed) <= set(orphans)
    assert (await compare(database, storage)).orphans == [], "young ones are left alone"
    await delete_orphans(database, storage, orphans)
    assert await abort_abandoned(database, storage, no_grace) == 1
    after = await compare(database, storage, no_grace)
    assert (after.orphans, after.multiparts) == ([], [])
    assert {item.key async for item in storage.list("")} == set(living) - set(orphans)
