"""Quotas: nobody gets more in than fits, however they try, and what is deleted is given back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site, environment_of, running_site
from tests.media_uploads.conftest import BOUNDARY, JPEG_HEAD, encode
from tests.media_uploads.test_tus import film
from tests.media_uploads.tus import TUS, create, send

from strvsocial.media import sweeping
from strvsocial.settings import MB, ROOT, Settings
from strvsocial.storage import Storage
from strvsocial.users.quotas import set_limit

QUOTA, DAILY = 10 * MB, 20 * MB
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest_asyncio.fixture
async def site(settings: Settings, clean: None, tmp_path: Any) -> AsyncIterator[Site]:
    changes = {"data_dir": tmp_path, "quota_bytes": QUOTA, "quota_daily_bytes": DAILY}
    async with running_site(settings.model_copy(update=changes)) as site:
        yield site


@pytest_asyncio.fixture
async def alice(site: Site) -> Member:
    return await site.member("alice")


async def quota_of(member: Member) -> dict[str, int | None]:
    found: dict[str, int | None] = (await member.api("GET", "/me")).json()["quota"]
    return found


async def used_by(member: Member) -> tuple[int | None, int | None]:
    quota = await quota_of(member)
    return quota["used_bytes"], quota["daily_used_bytes"]


async def announce(member: Member, length: int) -> httpx.Response:
    return await member.api("POST", "/uploads", headers={**TUS, "Upload-Length": str(length)})


def picture(size: int) -> bytes:
    return JPEG_HEAD + bytes(size - len(JPEG_HEAD))


def form(*pictures: bytes) -> bytes:
    return encode([("title", None, b"A picture"), *(("file", "a.jpg", content) for content in pictures)])


async def post(member: Member, *pictures: bytes) -> httpx.Response:
    return await member.api("POST", "/posts", content=form(*pictures), headers=MULTIPART)


async def stored_bytes(site: Site) -> int:
    storage: Storage = site.app.state.storage
    return sum([item.byte_size async for item in storage.list("")])


async def run(site: Site, statement: str, **values: Any) -> None:
    async with site.database.transaction() as db:
        await db.execute(text(statement), values)


async def count_holds(site: Site) -> int:
    async with site.database.read() as reader:
        return int(await reader.scalar(text("select count(*) from upload_holds")) or 0)


async def test_an_upload_that_does_not_fit_is_refused_before_its_bytes(site: Site, alice: Member) -> None:
    first = await create(alice, 6 * MB)
    assert await used_by(alice) == (6 * MB, 6 * MB)
    answer = await announce(alice, 5 * MB)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["code"] == "quota_exceeded"
    assert "4 MB left of your 10 MB" in error["message"]
    assert "this needs 5 MB" in error["message"]
    assert (await announce(alice, 4 * MB)).status_code == 201
    assert (await announce(alice, 1)).status_code == 413
    assert (await alice.api("DELETE", f"/uploads/{first}", headers=TUS)).status_code == 204
    assert await used_by(alice) == (4 * MB, 4 * MB)
    assert (await announce(alice, 6 * MB)).status_code == 201
    other = await site.member("bob")
    assert await used_by(other) == (0, 0)


async def test_twenty_uploads_at_once_do_not_race_past(site: Site, alice: Member) -> None:
    answers = await asyncio.gather(*(announce(alice, 6 * MB) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201, *[413] * 19]
    assert await used_by(alice) == (6 * MB, 6 * MB)


async def test_twenty_forms_at_once_do_not_race_past(site: Site, alice: Member) -> None:
    content = picture(6 * MB)
    answers = await asyncio.gather(*(post(alice, content) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201, *[413] * 19]
    assert await used_by(alice) == (6 * MB, 6 * MB)
    assert await stored_bytes(site) == 6 * MB
    assert await count_holds(site) == 0


async def test_forms_and_uploads_at_once_do_not_race_past(site: Site, alice: Member) -> None:
    content = picture(6 * MB)
    answers = await asyncio.gather(
        *(post(alice, content) for _ in range(5)), *(announce(alice, 6 * MB) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[413] * 9]
    assert await used_by(alice) == (6 * MB, 6 * MB)


async def test_a_form_that_announces_too_much_is_refused_before_its_body_is_read(site: Site, alice: Member) -> None:
    await create(alice, 8 * MB)
    was_read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal was_read
        was_read = True
        yield form(picture(4 * MB))

    headers = {**MULTIPART, "Content-Length": str(len(form(picture(4 * MB))))}
    answer = await alice.api("POST", "/posts", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "quota_exceeded")
    assert not was_read
    assert (await alice.api("POST", "/posts", content=form(), headers=MULTIPART)).status_code == 201


async def test_a_form_that_announces_nothing_is_cut_while_it_streams(site: Site, alice: Member) -> None:
    await create(alice, 4 * MB)
    whole, given = form(picture(7 * MB)), 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        for at in range(0, len(whole), 65_536):
            given += 65_536
            yield whole[at : at + 65_536]

    answer = await alice.api("POST", "/posts", content=body(), headers=MULTIPART)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "quota_exceeded")
    assert given <= 6 * MB + 2 * 65_536
    assert "6 MB left" in answer.json()["error"]["message"]
    assert (await stored_bytes(site), await count_holds(site)) == (0, 0)
    assert await used_by(alice) == (4 * MB, 4 * MB)
    assert (await post(alice, picture(3 * MB), picture(3 * MB))).status_code == 201
    assert await used_by(alice) == (10 * MB, 10 * MB)


async def test_the_last_byte_fits(site: Site, alice: Member) -> None:
    assert (await post(alice, picture(QUOTA))).status_code == 201
    assert (await post(alice, picture(100))).status_code == 413


async def test_what_is_deleted_or_never_became_a_post_is_given_back(site: Site, alice: Member) -> None:
    made = (await post(alice, picture(9 * MB))).json()["id"]
    assert (await post(alice, picture(9 * MB))).status_code == 413
    assert (await alice.api("DELETE", f"/posts/{made}")).status_code == 204
    assert await used_by(alice) == (0, 0)
    refused = await alice.api("POST", "/posts", content=encode([("file", "a.jpg", picture(MB))]), headers=MULTIPART)
    assert refused.status_code == 422
    assert (await used_by(alice), await count_holds(site), await stored_bytes(site)) == ((0, 0), 0, 9 * MB)
    await create(alice, 9 * MB)
    await run(site, "update uploads set expires_at = now() - interval '1 second'")
    assert await used_by(alice) == (0, 0)


async def test_an_upload_counts_once_before_and_after_it_is_posted(site: Site, alice: Member) -> None:
    upload = await create(alice, 6 * MB)
    await send(alice, upload, 0, film(6 * MB))
    assert await used_by(alice) == (6 * MB, 6 * MB)
    made = await alice.api("POST", "/posts", json={"title": "A film", "upload": [upload]})
    assert made.status_code == 201
    assert await used_by(alice) == (6 * MB, 6 * MB)


async def test_media_added_by_an_edit_count(site: Site, alice: Member) -> None:
    made = (await post(alice, picture(6 * MB))).json()["id"]
    words: dict[str, Any] = {"title": (None, "x" * 300), "file": ("a.jpg", picture(3 * MB))}
    assert (await alice.browser.post(f"/p/{made}/edit", files=words)).status_code == 422
    assert (await used_by(alice), await count_holds(site)) == ((6 * MB, 6 * MB), 0)
    more = encode([("file", "a.jpg", picture(5 * MB))])
    assert (await alice.api("PATCH", f"/posts/{made}", content=more, headers=MULTIPART)).status_code == 413
    more = encode([("file", "a.jpg", picture(4 * MB))])
    assert (await alice.api("PATCH", f"/posts/{made}", content=more, headers=MULTIPART)).status_code == 200
    assert await used_by(alice) == (10 * MB, 10 * MB)


async def test_the_day_has_its_own_quota(site: Site, alice: Member) -> None:
    async with site.database.transaction() as db:
        await set_limit(db, alice.id, "total", 0)
    await create(alice, 15 * MB)
    answer = await announce(alice, 6 * MB)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "daily_quota_exceeded")
    assert "within 24 hours. 5 MB are left" in answer.json()["error"]["message"]
    await run(site, "update uploads set created_at = now() - interval '25 hours'")
    assert await quota_of(alice) == {
        "used_bytes": 15 * MB,
        "total_bytes": None,
        "daily_used_bytes": 0,
        "daily_bytes": DAILY,
    }
    assert (await announce(alice, 20 * MB)).status_code == 201


async def test_the_room_of_a_form_whose_process_died_is_given_back(site: Site, alice: Member) -> None:
    hold = "insert into upload_holds (user_id, byte_size, expires_at) values (:id, 9000000, now() + :lasts * interval '1 s')"
    await run(site, hold, id=alice.id, lasts=60)
    assert await used_by(alice) == (9 * MB, 9 * MB)
    assert (await post(alice, picture(2 * MB))).status_code == 413
    await run(site, "update upload_holds set expires_at = now() - interval '1 second'")
    assert (await post(alice, picture(2 * MB))).status_code == 201
    await sweeping.remove_expired(site.database, site.app.state.storage)
    assert await count_holds(site) == 0


async def test_equal_bytes_count_in_full_for_each(site: Site, alice: Member) -> None:
    bob = await site.member("bob")
    for member in (alice, bob):
        assert (await post(member, picture(6 * MB))).status_code == 201
    await run(site, "update attachments set source_key = (select min(source_key) from attachments)")
    assert await used_by(alice) == await used_by(bob) == (6 * MB, 6 * MB)


async def test_the_pages_say_what_is_left(site: Site, alice: Member) -> None:
    await post(alice, picture(6 * MB))
    shown = (await alice.browser.get("/settings")).text
    assert "6 MB of 10 MB" in shown
    assert f'<meter min="0" max="{QUOTA}"' in shown
    for path in ("/create",):
        page = (await alice.browser.get(path)).text
        assert "<b>4 MB</b> left of your 10 MB" in page
        assert f'data-left="{4 * MB}"' in page
    refused = await alice.browser.post("/create", content=form(picture(5 * MB)), headers=MULTIPART)
    assert refused.status_code == 413
    assert "4 MB left of your 10 MB" in refused.text
    admin = await site.cast("admin")
    await site.make_admin(admin)
    assert "(6 MB of a quota of 10 MB) · 20 MB a day" in (await admin.browser.get("/admin/people")).text


async def test_who_has_no_limit_is_not_counted(site: Site, alice: Member) -> None:
    async with site.database.transaction() as db:
        await set_limit(db, alice.id, "total", 0)
        await set_limit(db, alice.id, "daily", 0)
    assert (await post(alice, picture(11 * MB))).status_code == 201
    assert await quota_of(alice) == {
        "used_bytes": 11 * MB,
        "total_bytes": None,
        "daily_used_bytes": 11 * MB,
        "daily_bytes": None,
    }
    page = (await alice.browser.get("/create")).text
    assert "data-left" not in page


def console(site: Site, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "strvsocial", "user", "quota", *arguments]
    done = subprocess.run(
        command, env=environment_of(site.settings), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


async def test_the_console_sets_quotas(site: Site, alice: Member) -> None:
    assert "of 10 MB" in await asyncio.to_thread(console, site, alice.username)
    wanted = ("--total", "50GB", "--daily", "unlimited", "--json")
    told = json.loads(await asyncio.to_thread(console, site, alice.username, *wanted, "--dry-run"))
    assert (told["total_bytes"], told["daily_bytes"], told["dry_run"]) == (50_000 * MB, None, True)
    assert (await quota_of(alice))["total_bytes"] == QUOTA
    await asyncio.to_thread(console, site, alice.username.upper(), *wanted)
    quota = await quota_of(alice)
    assert (quota["total_bytes"], quota["daily_bytes"]) == (50_000 * MB, None)
    await asyncio.to_thread(console, site, alice.username, "--total", "default")
    assert (await quota_of(alice))["total_bytes"] == QUOTA
    assert "A size like 50GB" in await asyncio.to_thread(console, site, alice.username, "--total", "much", status=1)
    assert "nobody called" in await asyncio.to_thread(console, site, "nobody-at-all", status=1)
    async with site.database.read() as reader:
        rows = (await reader.execute(text("select actor, action, about, details from audit_entries order by id"))).all()
    assert [tuple(row) for row in rows] == [
        ("console", "users.quota", alice.username, {"total": "50GB", "daily": "unlimited"}),
        ("console", "users.quota", alice.username, {"total": "default"}),
    ]


@pytest.mark.parametrize("length", [0, 1])
async def test_words_alone_are_never_refused(site: Site, alice: Member, length: int) -> None:
    await create(alice, QUOTA)
    parts: list[tuple[str, str | None, bytes]] = [
        ("title", None, b"Words"),
        ("file", "" if not length else "a.jpg", bytes(length)),
    ]
    answer = await alice.api("POST", "/posts", content=encode(parts), headers=MULTIPART)
    assert answer.status_code == (413 if length else 201)
