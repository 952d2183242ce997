"""What nothing refers to is found and removed; what something refers to is left alone."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Site, environment_of, running_site
from tests.media_uploads.conftest import PART
from tests.media_uploads.test_serving import make_film
from tests.media_uploads.test_tus import film
from tests.media_uploads.tus import create, send
from tests.s3 import S3Server

from strvsocial.ids import new_id
from strvsocial.jobs import Claimed, enqueue
from strvsocial.media import sweeping, uploads
from strvsocial.media.jobs import SWEEP, want_sweep
from strvsocial.settings import ROOT, Settings
from strvsocial.storage import Storage

NOW = timedelta(0)


@pytest_asyncio.fixture(params=["files", "s3"])
async def site(request: pytest.FixtureRequest, settings: Settings, clean: None, tmp_path: Any) -> AsyncIterator[Site]:
    server: S3Server | None = request.getfixturevalue("s3_server") if request.param == "s3" else None
    changes = {"data_dir": tmp_path, "upload_part_bytes": PART, **(server.settings("swept") if server else {})}
    async with running_site(settings.model_copy(update=changes)) as site:
        yield site
        storage = storage_of(site)
        await storage.delete([item.key async for item in storage.list("")])
        for item in [item async for item in storage.list_multiparts()]:
            await storage.abort_multipart(item.key, item.multipart_id)


def storage_of(site: Site) -> Storage:
    storage: Storage = site.app.state.storage
    return storage


async def make_mentioned(site: Site) -> set[str]:
    """One object for each way in which a row or a job can refer to it; their keys."""
    storage, alice = storage_of(site), await site.member("alice")
    await make_film(site, "private")
    async with site.database.transaction() as db:
        for key in await db.scalars(text("select source_key from attachments")):
            await storage.put(key, b"original", "video/mp4")
        avatar, waiting = f"avatars/{new_id()}.webp", f"originals/{new_id()}"
        await db.execute(text("update users set avatar_key = :key where id = :id"), {"key": avatar, "id": alice.id})
        await enqueue(db, "users.process_avatar", {"user_id": alice.id, "source_key": waiting}, queue="quick")
    for key in (avatar, waiting):
        await storage.put(key, b"picture", "image/webp")
    finished, begun = await create(alice, 1000), await create(alice, 2 * PART)
    await send(alice, finished, 0, film(1000))
    await send(alice, begun, 0, film(2 * PART)[: PART + 100])
    return {item.key async for item in storage.list("")}


async def test_only_what_nothing_refers_to_is_an_orphan(site: Site) -> None:
    storage, mentioned = storage_of(site), await make_mentioned(site)
    kinds = {"originals", "media", "avatars", "tails"}
    assert {key.split("/")[0] for key in mentioned} == kinds
    orphans = sorted(f"{folder}/{new_id()}" for folder in (*kinds, "work") for _ in range(4))
    for key in orphans:
        await storage.put(key, b"12345", "image/webp")
    found = await sweeping.compare(site.database, storage, NOW)
    assert [orphan.key for orphan in found.orphans] == orphans
    assert {orphan.byte_size for orphan in found.orphans} == {5}
    assert (found.missing, found.multiparts) == ([], [])
    assert found.objects == len(mentioned) + 20
    assert await sweeping.delete_orphans(site.database, storage, [*orphans, *mentioned]) == 20
    assert {item.key async for item in storage.list("")} == mentioned


async def test_young_objects_are_left_alone(site: Site) -> None:
    storage = storage_of(site)
    await storage.put(f"originals/{new_id()}", b"young", "image/webp")
    multipart = await storage.start_multipart(f"originals/{new_id()}", "video/mp4")
    found = await sweeping.compare(site.database, storage)
    assert (found.objects, found.orphans, found.multiparts) == (1, [], [])
    assert await sweeping.abort_abandoned(site.database, storage) == 0
    assert multipart in [item.multipart_id async for item in storage.list_multiparts()]


async def test_objects_deleted_behind_us_are_found_and_nothing_else(site: Site) -> None:
    storage = storage_of(site)
    await make_mentioned(site)
    async with site.database.read() as reader:
        keys = [row.key for row in await reader.execute(text("select key from renditions order by id"))]
    await storage.delete(keys[1:3])
    found = await sweeping.compare(site.database, storage)
    assert [missing.key for missing in found.missing] == sorted(keys[1:3])
    assert all(missing.about.startswith("rendition ") for missing in found.missing)


async def test_abandoned_multiparts_are_aborted_and_living_ones_kept(site: Site) -> None:
    storage = storage_of(site)
    await make_mentioned(site)
    living = [item.multipart_id async for item in storage.list_multiparts()]
    assert len(living) == 1
    key = f"originals/{new_id()}"
    await storage.start_multipart(key, "video/mp4")
    found = await sweeping.compare(site.database, storage, NOW)
    assert found.multiparts == [key]
    assert await sweeping.abort_abandoned(site.database, storage, NOW) == 1
    assert [item.multipart_id async for item in storage.list_multiparts()] == living


async def test_expired_uploads_go_with_their_bytes(site: Site) -> None:
    storage, alice = storage_of(site), await site.member("alice")
    content = film(2 * PART)
    begun, finished, used, living = [await create(alice, size) for size in (2 * PART, 1000, 1000, 1000)]
    await send(alice, begun, 0, content[: PART + 100])
    for upload in (finished, used, living):
        await send(alice, upload, 0, film(1000))
    async with site.database.transaction() as db:
        (file,) = await uploads.claim_uploads(db, alice.id, [used])
        expire = text("update uploads set expires_at = now() - interval '1 second' where public_id = any(:ids)")
        await db.execute(expire, {"ids": [begun, finished, used]})
    assert await sweeping.remove_expired(site.database, storage) == 3
    keys = {item.key async for item in storage.list("")}
    assert len(keys) == 2
    assert file.key in keys
    assert [item async for item in storage.list_multiparts()] == []
    async with site.database.read() as reader:
        assert (await reader.scalar(text("select array_agg(public_id) from uploads"))) == [living]


async def test_the_job_sweeps_and_is_wanted_once(site: Site) -> None:
    storage = storage_of(site)
    await storage.put(f"originals/{new_id()}", b"young", "image/webp")
    for _ in range(2):
        async with site.database.transaction() as db:
            await want_sweep(db, orphans=True)
    async with site.database.read() as reader:
        rows = (await reader.execute(text("select id, kind, payload from jobs"))).all()
    assert [(row.kind, row.payload) for row in rows] == [("media.sweep_storage", {"orphans": True})]

    class Context:
        database = site.database

    Context.storage = storage  # type: ignore[attr-defined]
    await SWEEP.run(Context(), [Claimed(rows[0].id, rows[0].kind, rows[0].payload, 1, 0, 1)])
    assert len([item async for item in storage.list("")]) == 1


async def run_command(site: Site, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "strvsocial", "media", *arguments),
        env=environment_of(site.settings),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode or 0, output.decode()


async def test_the_console_deletes_orphans_only_when_told_to(site: Site) -> None:
    storage, mentioned = storage_of(site), await make_mentioned(site)
    orphan = f"media/{new_id()}/w640.webp"
    await storage.put(orphan, b"12345", "image/webp")
    code, output = await run_command(site, "orphans", "--grace-hours", "0")
    assert code == 0
    assert orphan in output
    assert "Nothing was deleted" in output
    assert await storage.stat(orphan) is not None
    code, output = await run_command(site, "orphans", "--delete", "--grace-hours", "0", "--json")
    answer = json.loads(output)
    assert (code, answer["deleted"], answer["dry_run"], answer["missing"]) == (0, 1, False, [])
    assert {item.key async for item in storage.list("")} == mentioned
    await storage.delete(sorted(key for key in mentioned if key.endswith("poster.webp")))
    code, output = await run_command(site, "orphans")
    assert code == 1
    assert "1 rows whose bytes are gone" in output


async def test_the_console_counts_what_is_stored(site: Site) -> None:
    await make_mentioned(site)
    code, output = await run_command(site, "usage", "--json")
    assert code == 0
    found = json.loads(output)
    (kind,) = found["kinds"]
    assert kind == {
        "kind": "video",
        "files": 1,
        "original_bytes": 5,
        "rendition_bytes": 1_400_000,
        "work_bytes": 1_400_000,
    }
    assert [person["rendition_bytes"] for person in found["people"]] == [2_800_000]
    assert found["unused_uploads"] == {"files": 2, "bytes": 1000 + PART + 100}
    code, output = await run_command(site, "usage")
    assert code == 0
    assert "1.4 MB" in output


async def test_what_a_sweep_found_is_remembered_for_the_admins(site: Site) -> None:
    storage = storage_of(site)
    await storage.put("originals/nobodys", b"x", "image/png")
    for orphans in (False, True):
        async with site.database.read() as reader:
            assert await sweeping.find_last_sweep(reader) is None
        await sweeping.sweep(site.database, storage, orphans=orphans)
    async with site.database.read() as reader:
        found = await sweeping.find_last_sweep(reader)
    assert found is not None
    assert (found.objects, found.deleted, found.missing) == (1, 0, 0)
    admin = await site.cast("admin")
    await site.make_admin(admin)
    assert "1 object, 0 without a row removed" in (await admin.browser.get("/admin/storage")).text
