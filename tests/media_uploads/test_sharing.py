"""Equal bytes are stored once, on either kind of storage, until nobody needs them any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import pyvips
from sqlalchemy import text
from tests.front_door import Member, Site, running_site
from tests.media_uploads.conftest import PART
from tests.media_uploads.working import work
from tests.s3 import S3Server

from strvsocial.content.processing import process_attachment
from strvsocial.content.twins import adopt_twin
from strvsocial.content.work import PROCESS_ATTACHMENT
from strvsocial.media import sharing, sweeping
from strvsocial.media.attachments import want_deletion
from strvsocial.media.jobs import want_sweep
from strvsocial.settings import Settings
from strvsocial.storage import Storage

DELETE = ("media.delete_objects",)


@pytest_asyncio.fixture(params=["files", "s3"])
async def site(request: pytest.FixtureRequest, settings: Settings, clean: None, tmp_path: Any) -> AsyncIterator[Site]:
    server: S3Server | None = request.getfixturevalue("s3_server") if request.param == "s3" else None
    changes = {"data_dir": tmp_path, "upload_part_bytes": PART, **(server.settings("shared") if server else {})}
    async with running_site(settings.model_copy(update=changes)) as site:
        yield site
        storage = storage_of(site)
        await storage.delete([item.key async for item in storage.list("")])


@pytest_asyncio.fixture
async def local(settings: Settings, clean: None, tmp_path: Any) -> AsyncIterator[Site]:
    """A site for what has nothing to do with the kind of storage."""
    async with running_site(settings.model_copy(update={"data_dir": tmp_path})) as site:
        yield site


def storage_of(site: Site) -> Storage:
    storage: Storage = site.app.state.storage
    return storage


def picture(shade: int = 100) -> bytes:
    return bytes(pyvips.Image.black(64, 48, bands=3).linear(1, shade).cast("uchar").pngsave_buffer())


async def post(member: Member, content: bytes, visibility: str = "public") -> str:
    form = {"title": "The same", "visibility": visibility}
    answer = await member.api("POST", "/posts", data=form, files={"file": ("a.png", content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def stored(site: Site) -> Counter[str]:
    return Counter([item.key.split("/")[0] async for item in storage_of(site).list("")])


async def shown(member: Member, post_id: str) -> list[int]:
    """The statuses of all that a post's media have to show."""
    found = (await member.api("GET", f"/posts/{post_id}")).json()
    urls = [variant["url"] for medium in found["media"] for variant in medium["variants"]]
    assert urls
    return [(await member.client.get(url)).status_code for url in urls]


async def run(site: Site, statement: str, **values: Any) -> list[Any]:
    async with site.database.transaction() as db:
        found: Any = await db.execute(text(statement), values)
        return list(found.all()) if found.returns_rows else []


async def test_two_people_post_the_same_bytes(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    first = await post(alice, picture())
    await work(site)
    once = await stored(site)
    second = await post(bob, picture())
    assert (await stored(site))["originals"] == 2
    await work(site)
    assert await stored(site) == once
    assert set(await shown(bob, second)) == {200}
    assert (await bob.api("GET", f"/posts/{second}")).json()["status"] == "ready"

    assert (await alice.api("DELETE", f"/posts/{first}")).status_code == 204
    assert await work(site, DELETE) > 0
    assert await stored(site) == once
    assert set(await shown(bob, second)) == {200}
    assert (await sweeping.compare(site.database, storage_of(site), timedelta(0))).orphans == []

    assert (await bob.api("DELETE", f"/posts/{second}")).status_code == 204
    assert await work(site, DELETE) > 0
    assert not await stored(site)


async def test_the_originals_of_what_others_may_not_see_are_shared_and_nothing_that_is_quicker(local: Site) -> None:
    alice, bob = await local.member("alice"), await local.member("bob")
    await post(alice, picture(), "private")
    await work(local)
    once = await stored(local)
    await post(bob, picture(), "private")
    (waiting,) = await run(local, "select id from attachments where status = 'processing'")
    assert not await adopt_twin(local.database, storage_of(local), waiting.id)
    await work(local)
    both = await stored(local)
    assert both["originals"] == once["originals"] == 1
    assert both["media"] == 2 * once["media"]


async def test_ones_own_is_adopted_whoever_sees_it(local: Site) -> None:
    alice = await local.member("alice")
    await post(alice, picture(), "private")
    await work(local)
    once = await stored(local)
    await post(alice, picture())
    await work(local)
    assert await stored(local) == once


@pytest.mark.parametrize("change", ["pipeline = 0", "status = 'failed'", "status = 'processing'"])
async def test_what_another_pipeline_made_is_not_adopted(local: Site, change: str) -> None:
    alice = await local.member("alice")
    await post(alice, picture())
    await work(local)
    await run(local, f"update attachments set {change}")
    await post(alice, picture())
    (waiting,) = await run(local, "select max(id) as id from attachments")
    assert not await adopt_twin(local.database, storage_of(local), waiting.id)


async def test_lost_bytes_are_not_shared(local: Site) -> None:
    """The second copy is what saves the first post."""
    alice, bob = await local.member("alice"), await local.member("bob")
    await post(alice, picture())
    await work(local)
    storage = storage_of(local)
    await storage.delete([item.key async for item in storage.list("")])
    second = await post(bob, picture())
    await work(local)
    assert set(await shown(bob, second)) == {200}
    assert (await stored(local))["originals"] == 1


async def test_a_release_that_does_not_ask_deletes_nothing_that_another_post_names(local: Site) -> None:
    """The release before this one may run beside it, or again after it: it deletes whatever its job lists."""
    alice = await local.member("alice")
    for _ in range(2):
        await post(alice, picture())
        await work(local)
    before = sorted([item.key async for item in storage_of(local).list("")])
    async with local.database.transaction() as db:
        await want_deletion(db, [*before, "media/nobody/w64.webp"])
    (job,) = await run(local, "select payload from jobs where state = 'queued' and kind = 'media.delete_objects'")
    assert job.payload == {"keys": ["media/nobody/w64.webp"]}


async def test_what_was_stored_twice_is_joined_in_the_night(local: Site) -> None:
    alice = await local.member("alice")
    for _ in range(3):
        await post(alice, picture())
    waiting = await run(local, "select id, source_key from attachments order by id")
    await work(local)
    await run(
        local, "update attachments set source_key = :key where id = :id", id=waiting[2].id, key=waiting[2].source_key
    )
    await storage_of(local).put(waiting[2].source_key, picture(), "image/png")
    assert (await stored(local))["originals"] == 2
    async with local.database.transaction() as db:
        await want_sweep(db, orphans=True)
    await work(local)
    assert (await stored(local))["originals"] == 1
    (row,) = await run(local, "select distinct source_key from attachments")
    assert row.source_key == waiting[0].source_key


async def test_a_deletion_and_a_new_post_of_the_same_bytes_at_once(local: Site) -> None:
    """In whatever order the steps fall, what is posted is there, and what nobody names is gone."""
    alice, bob = await local.member("alice"), await local.member("bob")
    before = await post(alice, picture())
    await work(local)
    for _ in range(6):
        after = await post(bob, picture())
        (waiting,) = await run(local, "select max(id) as id from attachments")
        await asyncio.gather(
            alice.api("DELETE", f"/posts/{before}"),
            process_attachment(local.settings, local.database, storage_of(local), waiting.id),
            work(local, DELETE),
        )
        await work(local)
        assert set(await shown(bob, after)) == {200}
        (row,) = await run(local, "select source_key from attachments")
        assert await storage_of(local).stat(row.source_key) is not None
        assert (await stored(local))["originals"] == 1
        before, alice, bob = after, bob, alice


async def test_who_locks_first_wins(local: Site) -> None:
    """A twin whose post is being deleted is passed over, and does not make anybody wait."""
    alice = await local.member("alice")
    first = await post(alice, picture())
    await work(local)
    await post(alice, picture())
    (waiting,) = await run(local, "select max(id) as id from attachments")
    async with local.database.transaction() as db:
        gone = "delete from attachments where post_id = (select id from posts where public_id = :post)"
        await db.execute(text(gone), {"post": first})
        async with asyncio.timeout(5):
            assert not await sharing.share_original(local.database, storage_of(local), waiting.id)
            assert not await adopt_twin(local.database, storage_of(local), waiting.id)
    await work(local)
    (row,) = await run(local, "select source_key from attachments")
    assert await storage_of(local).stat(row.source_key) is not None


async def test_a_deletion_waits_for_who_is_about_to_share(local: Site) -> None:
    alice = await local.member("alice")
    first = await post(alice, picture())
    await work(local)
    second = await post(alice, picture())
    twin, mine = [row.id for row in await run(local, "select id from attachments order by id")]
    async with local.database.transaction() as db:
        (key,) = (await db.execute(text("select source_key from attachments where id = :id"), {"id": twin})).one()
        assert await db.scalar(sharing._LOCK_TWIN, {"id": twin, "key": key})
        deletion = asyncio.create_task(alice.api("DELETE", f"/posts/{first}"))
        done, _ = await asyncio.wait({deletion}, timeout=0.3)
        assert not done
        await db.execute(sharing._POINT, {"id": mine, "key": key})
    assert (await deletion).status_code == 204
    await work(local)
    assert set(await shown(alice, second)) == {200}
    assert await storage_of(local).stat(key) is not None


async def test_a_worker_that_dies_between_storing_and_recording_leaves_what_the_sweep_finds(site: Site) -> None:
    """And one that dies in the middle of sharing leaves nothing doubled and nothing lost."""
    alice = await site.member("alice")
    storage = storage_of(site)
    await post(alice, picture())
    (mine,) = await run(site, "select public_id, source_key from attachments")
    await storage.put(f"media/{mine.public_id}-7/w64.webp", b"stored, never recorded", "image/webp")
    begun = await storage.start_multipart(f"media/{mine.public_id}-7/play.mp4", "video/mp4")
    found = await sweeping.compare(site.database, storage)
    assert (found.orphans, found.multiparts) == ([], [])  # Young: somebody may be about to record it.
    await work(site, (PROCESS_ATTACHMENT,))
    now = timedelta(0)
    found = await sweeping.compare(site.database, storage, now)
    assert [orphan.key for orphan in found.orphans] == [f"media/{mine.public_id}-7/w64.webp"]
    await sweeping.delete_orphans(site.database, storage, [orphan.key for orphan in found.orphans])
    assert await sweeping.abort_abandoned(site.database, storage, now) == 1
    assert begun not in [item.multipart_id async for item in storage.list_multiparts()]
    found = await sweeping.compare(site.database, storage, now)
    assert (found.orphans, found.missing, found.multiparts) == ([], [], [])
