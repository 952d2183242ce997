"""What the console finds wrong with media, mends, and makes anew, while people go on looking at what there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.content.test_ladders import make_film
from tests.front_door import Member, Site, environment_of, running_site
from tests.media_uploads.test_sharing import DELETE, picture, post, run, shown, storage_of
from tests.media_uploads.test_sweeping import run_command
from tests.media_uploads.working import work
from typer.testing import CliRunner, Result

from strvsocial.content.media_commands import app
from strvsocial.content.work import RENEW_MEDIUM
from strvsocial.jobs import BULK, GiveUp
from strvsocial.media import processing
from strvsocial.media.products import PIPELINE
from strvsocial.settings import Settings, get_settings


@pytest_asyncio.fixture
async def site(settings: Settings, clean: None, tmp_path: Any) -> AsyncIterator[Site]:
    async with running_site(settings.model_copy(update={"data_dir": tmp_path})) as site:
        yield site


def invoke(site: Site, arguments: tuple[str, ...]) -> Result:
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(app, arguments, env=environment_of(site.settings))
    finally:
        get_settings.cache_clear()


async def told(site: Site, *arguments: str, status: int = 0) -> Any:
    """What a command says in JSON: run in a thread here, which is quicker than in a process of its own."""
    done = await asyncio.to_thread(invoke, site, (*arguments, "--json"))
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


async def served(member: Member, post_id: str) -> dict[str, tuple[int, str]]:
    """Status and ETag of all that a post's media have to show, by address."""
    found = (await member.api("GET", f"/posts/{post_id}")).json()
    answers = {}
    for medium in found["media"]:
        for url in [medium["url"], *(variant["url"] for variant in medium["variants"])]:
            answer = await member.client.get(url)
            assert len(answer.content) == int(answer.headers["content-length"])
            answers[url] = (answer.status_code, answer.headers["etag"])
    return answers


async def keys_of(site: Site) -> list[str]:
    return sorted([item.key async for item in storage_of(site).list("")])


async def test_media_are_made_anew_while_the_old_are_served(site: Site) -> None:
    alice = await site.member("alice")
    first = await post(alice, picture())
    await work(site)
    before, old = await served(alice, first), await keys_of(site)
    dry = await told(site, "reprocess", "--all", "--dry-run")
    assert dry["kinds"] == [{"kind": "image", "files": 1, "bytes": len(picture())}]
    assert await run(site, "select from jobs where kind = :kind", kind=RENEW_MEDIUM) == []
    for _ in range(2):  # Wanting it twice is wanting it once.
        await told(site, "reprocess", "--author", alice.username.upper())
    (job,) = await run(site, "select queue, priority, payload from jobs where kind = :kind", kind=RENEW_MEDIUM)
    assert (job.queue, job.priority, job.payload["generation"]) == ("ladder", BULK, 1)
    assert await served(alice, first) == before
    assert await work(site, (RENEW_MEDIUM,)) == 1
    after = await served(alice, first)
    assert after.keys() == before.keys()
    assert {status for status, _ in after.values()} == {200}
    assert not {etag for _, etag in after.values()} & {etag for _, etag in before.values()}
    assert set(old) < set(await keys_of(site))
    await work(site, DELETE)
    new = await keys_of(site)
    (row,) = await run(site, "select public_id, generation, pipeline, source_key from attachments")
    assert (row.generation, row.pipeline) == (1, PIPELINE)
    assert [key for key in new if not key.startswith("originals/")]
    assert all(key == row.source_key or key.split("/")[1] == f"{row.public_id}-1" for key in new)
    assert await served(alice, first) == after
    (entry,) = await run(site, "select action, details from audit_entries order by id limit 1")
    assert (entry.action, entry.details) == ("media.reprocess", {"author": alice.username})


async def test_what_shares_the_old_is_not_touched(site: Site) -> None:
    alice = await site.member("alice")
    first, second = await post(alice, picture()), ""
    await work(site)
    second = await post(alice, picture())
    await work(site)
    before = await served(alice, second)
    await told(site, "reprocess", "--post", first)
    await work(site)
    assert await served(alice, second) == before
    assert {status for status, _ in (await served(alice, first)).values()} == {200}


async def test_a_film_gets_all_of_its_sizes_at_once(site: Site, tmp_path: Path) -> None:
    alice = await site.member("alice")
    form = {"title": "A film"}
    made = await alice.api("POST", "/posts", data=form, files={"file": ("film.webm", make_film(tmp_path))})
    film = made.json()["id"]
    await work(site)
    names = "select name, role, state from renditions order by name"
    before = [tuple(row) for row in await run(site, names)]
    assert {state for _, _, state in before} == {"ready"}
    await run(site, "delete from renditions where role = 'storyboard'")
    assert (await told(site, "reprocess", "--missing", "storyboard"))["kinds"][0]["files"] == 1
    await work(site)
    assert [tuple(row) for row in await run(site, names)] == before
    assert {status for status, _ in (await served(alice, film)).values()} == {200}
    assert (await alice.api("GET", f"/posts/{film}")).json()["status"] == "ready"
    assert (await told(site, "reprocess", "--missing", "storyboard"))["kinds"] == []


async def test_only_what_was_asked_for_is_made_anew(site: Site) -> None:
    alice = await site.member("alice")
    await post(alice, picture(10))
    await work(site)
    for wish in (("--kind", "video"), ("--missing", "waveform"), ("--outdated",), ("--failed",), ("--post", "nobody")):
        assert (await told(site, "reprocess", *wish))["kinds"] == [], wish
    assert (await told(site, "reprocess", "--missing", "poster"))["kinds"] != []
    await run(site, "update attachments set pipeline = 0")
    assert (await told(site, "reprocess", "--outdated"))["kinds"] != []
    assert (await asyncio.to_thread(invoke, site, ("reprocess",))).exit_code == 2


async def test_failed_ones_are_tried_again(site: Site, tmp_path: Path) -> None:
    alice = await site.member("alice")
    failed = await post(alice, picture()[:60] + bytes(500))
    await work(site)
    assert (await alice.api("GET", f"/posts/{failed}")).json()["status"] == "failed"
    (row,) = await run(site, "select source_key from attachments")
    await storage_of(site).put(row.source_key, picture(), "image/png")
    await told(site, "reprocess", "--failed")
    await work(site)
    assert (await alice.api("GET", f"/posts/{failed}")).json()["status"] == "ready"


async def test_what_cannot_be_made_anew_stays_as_it_is(site: Site) -> None:
    alice = await site.member("alice")
    first = await post(alice, picture())
    await work(site)
    before = await served(alice, first)
    (row,) = await run(site, "select id, source_key from attachments")
    await storage_of(site).put(row.source_key, b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png")
    await told(site, "reprocess", "--all")
    with pytest.raises(GiveUp):
        await work(site, (RENEW_MEDIUM,))
    assert await served(alice, first) == before
    # A worker that died after recording runs again, and finds it done.
    assert await processing.renew(site.settings, site.database, storage_of(site), row.id, 0) is None


async def test_verify_says_what_is_lost_and_repair_brings_it_back(site: Site) -> None:
    alice, storage = await site.member("alice"), storage_of(site)
    first = await post(alice, picture())
    await work(site)
    assert await told(site, "verify", "--deep") == {
        "objects": len(await keys_of(site)),
        "wrong": [],
        "originals_read": {"files": 1, "bytes": len(picture())},
        "mended": [],
        "made_again": 0,
        "stopped_at": None,
    }
    lost, cut = [key for key in await keys_of(site) if key.startswith("media/")][:2]
    await storage.delete([lost])
    await storage.put(cut, b"cut", "image/webp")
    code, output = await run_command(site, "verify")
    assert code == 1
    assert f"post {first} of {alice.username}" in output
    assert "run it again with --repair" in output
    found = await told(site, "verify", status=1)
    assert sorted((one["key"], one["problem"], one["post"]) for one in found["wrong"]) == [
        (lost, "lost", first),
        (cut, "size", first),
    ]
    found = await told(site, "verify", "--repair", status=1)
    assert found["made_again"] == 1
    await work(site)
    assert (await told(site, "verify"))["wrong"] == []
    assert set(await shown(alice, first)) == {200}


async def test_verify_reads_originals_and_uses_another_copy(site: Site) -> None:
    alice, storage = await site.member("alice"), storage_of(site)
    first = await post(alice, picture())
    await work(site)
    (row,) = await run(site, "select id, source_key from attachments")
    await storage.put(row.source_key, bytes(len(picture())), "image/png")
    assert (await told(site, "verify"))["wrong"] == []
    found = await told(site, "verify", "--deep", status=1)
    assert [(one["problem"], one["post"], one["is_original"]) for one in found["wrong"]] == [("content", first, True)]
    assert (await told(site, "verify", "--deep", "--repair", status=1))["mended"] == []
    assert (await told(site, "verify", "--deep", "--from", str(row.id + 1)))["originals_read"]["files"] == 0
    await post(alice, picture())  # A second copy, not joined yet.
    found = await told(site, "verify", "--deep", "--repair")
    assert found["mended"] == [row.source_key]
    (now,) = await run(site, "select distinct source_key from attachments")
    assert now.source_key != row.source_key
    await work(site)
    assert (await told(site, "verify", "--deep"))["wrong"] == []


async def test_usage_tells_what_is_named_and_what_is_stored(site: Site) -> None:
    alice = await site.member("alice")
    for _ in range(3):
        await post(alice, picture())
        await work(site)
    once = (await told(site, "usage"))["stored_once"]
    stored = sum([item.byte_size async for item in storage_of(site).list("")])
    assert once["stored_bytes"] == stored
    assert once["named_bytes"] == 3 * stored
    assert once["saved_bytes"] == 2 * stored
    code, output = await run_command(site, "usage")
    assert code == 0
    assert "equal bytes are stored once" in output
    assert "unlimited" in output
