"""The admin's pages: for admins alone, true, and everything on them works by plain forms."""

from __future__ import annotations

import re
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site

from strvsocial.ids import new_id
from strvsocial.jobs import Claimed, GiveUp, Handler, enqueue
from strvsocial.lanes import Lane

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


@pytest_asyncio.fixture
async def admin(site: Site) -> Member:
    member = await site.cast("admin")
    await site.make_admin(member)
    return member


async def _read(site: Site, statement: str, **values: Any) -> list[Any]:
    async with site.database.read() as reader:
        return list(await reader.execute(text(statement), values))


async def _fail(site: Site, kind: str = "test.break", payload: dict[str, Any] | None = None) -> int:
    """A job of a kind that a real lane gave up."""

    async def run(_: Any, jobs: list[Claimed]) -> None:
        raise GiveUp("first line\nit <broke>")

    async with site.database.transaction() as db:
        await enqueue(db, kind, payload or {}, queue="quick")
    await _work(site, kind, run)
    [row] = await _read(site, "select max(id) as id from jobs where state = 'dead' and kind = :kind", kind=kind)
    return int(row.id)


async def _work(site: Site, kind: str, run: Any) -> None:
    """Runs what is due on the quick queue with a handler for one kind."""
    lane = Lane("quick", 1, None, site.database, {kind: Handler("quick", run)})
    lane.start()
    waiting = "select 1 from jobs where kind = :kind and state in ('queued', 'running')"
    while await _read(site, waiting, kind=kind):
        lane.ring()
    await lane.aclose()


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_for_admins_alone(site: Site, admin: Member, path: str) -> None:
    answer = await admin.browser.get(path)
    assert answer.status_code == 200
    assert 'href="/admin"' in (await admin.browser.get("/")).text
    alice = await site.cast("alice")
    assert (await alice.browser.get(path)).status_code == 404
    assert 'href="/admin"' not in (await alice.browser.get("/")).text
    assert (await site.anonymous.get(path)).headers["location"].startswith("/login")


@pytest.mark.parametrize("path", ["/admin", "/admin/jobs", "/admin/storage", "/admin/processes"])
async def test_the_part_that_tells_of_now_comes_alone(admin: Member, path: str) -> None:
    whole = (await admin.browser.get(path)).text
    assert f'hx-get="{path}"' in whole
    part = (await admin.browser.get(path, headers={"HX-Request": "true"})).text
    assert "<html" not in part
    assert len(part) > 100
    assert "hx-get" not in (await admin.browser.get(path, params={"live": "off"})).text


@pytest.mark.parametrize("name", ["hour", "day", "fortnight"])
async def test_ranges(site: Site, admin: Member, name: str) -> None:
    async with site.database.transaction() as db:
        await db.execute(
            text(
                """
                insert into samples (at, figures)
                select date_trunc('minute', now()) - make_interval(mins => n),
                  '{"waiting.quick": 7, "oldest.quick": 90, "done.quick": 3, "requests": 120, "p95": 0.04, "bytes.image": 5e9}'
                from generate_series(1, 400) as n on conflict do nothing
                """
            )
        )
    for path in ("/admin", "/admin/jobs", "/admin/storage"):
        page = await admin.browser.get(path, params={"range": name})
        assert page.status_code == 200
        assert 'class="line" d="M' in page.text
    assert "Waiting jobs" in page.text or "5 GB" in page.text
    assert (await admin.browser.get("/admin", params={"range": "year"})).status_code in (400, 422)


async def test_a_given_up_job_is_explained_and_runs_again(site: Site, admin: Member) -> None:
    job = await _fail(site)
    page = (await admin.browser.get("/admin/jobs")).text
    assert f'id="job-{job}"' in page
    assert "it &lt;broke&gt;" in page
    answer = await admin.browser.post(f"/admin/jobs/{job}/retry")
    assert answer.status_code == 303
    assert "1 job is tried again" in (await admin.browser.get(answer.headers["location"])).text
    ran: list[int] = []

    async def run(_: Any, jobs: list[Claimed]) -> None:
        ran.extend(one.id for one in jobs)

    await _work(site, "test.break", run)
    assert ran == [job]
    assert [row.state for row in await _read(site, "select state from jobs where id = :id", id=job)] == ["done"]
    assert (await admin.browser.post(f"/admin/jobs/{job}/retry")).status_code == 404
    [entry] = await _read(site, "select * from audit_entries where about = :about", about=f"job {job}")
    assert (entry.actor, entry.action, entry.details["jobs"]) == (admin.username, "jobs.retry", 1)
    assert len(entry.request_id) >= 8


async def test_all_of_a_kind_are_tried_again(site: Site, admin: Member) -> None:
    ids = {await _fail(site, "test.many") for _ in range(3)}
    other = await _fail(site, "test.other")
    answer = await admin.browser.post("/admin/jobs/retry", data={"kind": "test.many"})
    assert answer.headers["location"].endswith("retried-3")
    queued = await _read(site, "select id, state from jobs where kind like 'test.%' and state in ('queued', 'dead')")
    assert {row.id for row in queued if row.state == "queued"} == ids
    assert other in {row.id for row in queued if row.state == "dead"}
    before = len(await _read(site, "select id from audit_entries"))
    assert (await admin.browser.post("/admin/jobs/retry", data={"kind": "none"})).headers["location"].endswith("-0")
    assert len(await _read(site, "select id from audit_entries")) == before


async def test_jobs_lead_to_posts_that_the_admin_may_see(site: Site, admin: Member) -> None:
    alice = await site.cast("alice")
    for visibility in ("public", "private"):
        fields = {"title": f"A {visibility} heron", "visibility": visibility}
        post = (await alice.api("POST", "/posts", json=fields)).json()["id"]
        [row] = await _read(site, "select id from posts where public_id = :id", id=post)
        await _fail(site, "test.post", {"post_id": row.id})
    page = (await admin.browser.get("/admin/jobs")).text
    assert "A public heron" in page
    assert "A private heron" not in page


async def test_older_failures_are_on_further_pages(site: Site, admin: Member) -> None:
    async with site.database.transaction() as db:
        await db.execute(
            text(
                "insert into jobs (queue, kind, state) select 'quick', 'test.page', 'dead' from generate_series(1, 45)"
            )
        )
    seen: set[str] = set()
    path: str | None = "/admin/jobs"
    while path:
        page = (await admin.browser.get(path)).text
        seen |= set(re.findall(r'id="job-(\d+)"', page))
        following = re.search(r'href="([^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else None
    total = await _read(site, "select id from jobs where state = 'dead'")
    assert len(seen) == len(total) >= 45


async def _post_with_file(site: Site, author: Member, status: str, failure: str | None = None) -> tuple[str, str]:
    """A post with a film in some state, by rows: the public ids of both."""
    post, medium = new_id(), new_id()
    async with site.database.transaction() as db:
        made = "insert into posts (public_id, author_id, title, media_type, status, visibility) values (:id, :author, :title, 'video', :status, 'private') returning id"
        values = {"id": post, "author": author.id, "title": f"Of {author.username}", "status": status}
        number = await db.scalar(text(made), values)
        await db.execute(
            text(
                "insert into attachments (public_id, post_id, kind, status, failure, source_key, source_mime, byte_size, sha256)"
                " values (:id, :post, 'video', :status, :failure, 'originals/none', 'video/mp4', 1, '')"
            ),
            {"id": medium, "post": number, "status": status, "failure": failure},
        )
    return post, medium


async def test_media_that_failed_are_listed_and_made_again(site: Site, admin: Member) -> None:
    bob = await site.member("bob")
    _, broken = await _post_with_file(site, bob, "failed", "This file is <damaged>.")
    whole, lacking = await _post_with_file(site, bob, "ready")
    async with site.database.transaction() as db:
        await db.execute(
            text(
                "insert into renditions (attachment_id, name, role, state, progress, key, mime, byte_size, details)"
                " select id, 'h480.mp4', 'rung', 'failed', 0, 'media/none', 'video/mp4', 0, '{\"failure\": \"Too slow.\"}'"
                " from attachments where public_id = :id"
            ),
            {"id": lacking},
        )
    shown = (await admin.browser.get("/admin/media")).text
    assert shown.count('id="medium-') == 2
    assert "This file is &lt;damaged&gt;." in shown
    assert "lacks <code>h480.mp4</code>" in shown
    assert "Too slow." in shown
    assert f"Of {bob.username}" not in shown, "a private post is named to an admin who may not see it"
    for medium in (broken, lacking):
        assert (await admin.browser.post(f"/admin/media/{medium}/retry")).status_code == 303
        assert (await admin.browser.post(f"/admin/media/{medium}/retry")).status_code == 409
    assert "Nothing failed" in (await admin.browser.get("/admin/media")).text
    jobs = await _read(site, "select kind, queue from jobs where state = 'queued' order by id desc limit 2")
    assert [tuple(row) for row in jobs] == [("content.finish_film", "ladder"), ("content.process_film", "long")]
    post = (await bob.api("GET", f"/posts/{whole}")).json()
    assert (post["status"], post["pending"]) == ("ready", ["rendition"])
    assert "had made again" in (await admin.browser.get("/admin/log")).text
    assert (await admin.browser.post("/admin/media/nothing/retry")).status_code == 404


async def test_suspending_and_letting_back_in(site: Site, admin: Member) -> None:
    bob = await site.member("bob")
    found = (await admin.browser.get("/admin/people", params={"q": bob.username.upper()})).text
    assert f"account-{bob.username}" in found
    assert f'href="/admin/people/{bob.username}/suspend"' in found
    asked = (await admin.browser.get(f"/admin/people/{bob.username}/suspend")).text
    assert f"Suspend {bob.username}?" in asked
    assert f'action="/admin/people/{bob.username}/suspend"' in asked
    assert (await admin.browser.get("/admin/people/nobody.at.all/suspend")).status_code == 404
    assert (await bob.api("GET", "/me")).status_code == 200
    assert (await admin.browser.post(f"/admin/people/{bob.username}/suspend")).status_code == 303
    assert (await bob.api("GET", "/me")).status_code == 401
    assert (await site.anonymous.get(f"/u/{bob.username}")).status_code == 404
    listed = (await admin.browser.get("/admin/people", params={"only": "suspended"})).text
    assert f"account-{bob.username}" in listed
    assert (await admin.browser.post(f"/admin/people/{bob.username}/unsuspend")).status_code == 303
    assert (await site.anonymous.get(f"/u/{bob.username}")).status_code == 200
    entries = await _read(site, "select action from audit_entries where about = :name order by id", name=bob.username)
    assert [row.action for row in entries] == ["users.suspend", "users.unsuspend"]
    assert f"let back in <b>{bob.username}</b>" in (await admin.browser.get("/admin/log")).text


async def test_signing_somebody_out(site: Site, admin: Member) -> None:
    bob = await site.member("bob")
    assert (await admin.browser.post(f"/admin/people/{bob.username}/sign-out")).status_code == 303
    assert (await bob.browser.get("/settings")).status_code == 303
    assert (await bob.api("GET", "/me")).status_code == 401


@pytest.mark.parametrize("act", ["suspend", "sign-out"])
async def test_admins_do_not_lock_themselves_out(site: Site, admin: Member, act: str) -> None:
    assert (await admin.browser.post(f"/admin/people/{admin.username}/{act}")).status_code == 409
    assert (await admin.browser.get("/admin")).status_code == 200


async def test_deleted_accounts_are_gone_for_admins_too(site: Site, admin: Member) -> None:
    gone = await site.member("gone")
    assert (await gone.api("DELETE", "/me", json={"password": gone.password})).status_code == 204
    assert "deleted-" not in (await admin.browser.get("/admin/people")).text
    answer = await admin.browser.post(f"/admin/people/%7Fdeleted-{gone.id}/unsuspend")
    assert answer.status_code == 404
    [row] = await _read(site, "select suspended_at from users where id = :id", id=gone.id)
    assert row.suspended_at is not None


async def test_forms_from_elsewhere_are_refused(site: Site, admin: Member) -> None:
    bob = await site.member("bob")
    answer = await admin.browser.post(
        f"/admin/people/{bob.username}/suspend",
        headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    )
    assert answer.status_code == 403
    assert (await bob.api("GET", "/me")).status_code == 200


async def test_an_action_and_its_entry_are_one(site: Site, admin: Member) -> None:
    """What cannot be written down is not done."""
    bob = await site.member("bob")
    async with site.database.transaction() as db:
        await db.execute(
            text("alter table audit_entries add constraint none check (action <> 'users.suspend') not valid")
        )
    try:
        answer = await site.client(
            raise_errors=False, cookies=admin.browser.cookies, headers={"Sec-Fetch-Site": "same-origin"}
        ).post(f"/admin/people/{bob.username}/suspend")
        assert answer.status_code >= 400
    finally:
        async with site.database.transaction() as db:
            await db.execute(text("alter table audit_entries drop constraint none"))
    assert (await bob.api("GET", "/me")).status_code == 200


async def test_deleting_the_post_of_somebody_else_is_written_down(site: Site, admin: Member) -> None:
    bob = await site.member("bob")
    ids = [(await who.api("POST", "/posts", json={"title": "T"})).json()["id"] for who in (bob, admin)]
    for post in ids:
        assert (await admin.api("DELETE", f"/posts/{post}")).status_code == 204
    entries = await _read(site, "select details from audit_entries where action = 'posts.delete'")
    assert [row.details["post"] for row in entries] == ids[:1]


async def test_processes_that_died_and_that_are_missing_are_named(site: Site, admin: Member) -> None:
    async with site.database.transaction() as db:
        await db.execute(
            text(
                """
                insert into processes (id, kind, host, pid, version, details, seen_at) values
                  ('dead', 'embedder', 'far-away', 7, '0.9', '{"lanes": {"embed": 2}}', now() - interval '2 h'),
                  ('alive', 'worker', 'near', 8, '1.0', '{"lanes": {"quick": 2}, "jobs": [{"id": 5, "kind": "content.process_film", "since": "2026-01-01T00:00:00Z"}]}', now()),
                  ('odd', 'worker', 'next', 9, '2.0', '{"lanes": "of another version"}', now())
                """
            )
        )
    page = (await admin.browser.get("/admin/processes")).text
    assert "far-away" in page
    assert "No embedder process is running" in page
    assert "No worker process is running" not in page
    assert "Prepare a film" in page
    assert "none running" in (await admin.browser.get("/admin")).text
