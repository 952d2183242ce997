"""A site is backed up while people post, everything is destroyed, and another one stands up from the backup."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.reliability.history import PASSWORD, Entry, History, Person, gather_people
from tests.reliability.proof import judge, until_quiet
from tests.reliability.real_site import RealSite, real_site
from tests.reliability.sent_files import make_files

from strvsocial.settings import ROOT

KINDS = ("text", "image", "gif", "audio", "video")
PASSPHRASE = "four words that are random"


@pytest.mark.timeout(900)
async def test_a_site_stands_up_again_from_a_backup_made_during_writes(tmp_path: Path) -> None:
    files, history = make_files(tmp_path / "files", 1_000_000), History()
    place, secret = str(tmp_path / "backups"), tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    async with real_site(tmp_path / "first") as site:
        people = await gather_people(site.address, 3, history, files)
        await asyncio.gather(*(person.post(kind) for person, kind in zip(people * 2, KINDS, strict=False)))
        doomed = (await people[0].post("image")).public_id
        session = await _sign_in(site, people[0])
        await until_quiet(site, 90)
        stop = asyncio.Event()
        posting = [asyncio.create_task(person.post_until(stop, KINDS)) for person in people]
        await asyncio.sleep(2)
        told_before = {entry.key for entry in history.of("ok")}
        making = asyncio.create_task(site.strvsocial("backup", "create", place, "--passphrase-file", str(secret)))
        deleted = await people[0].client.delete(f"/posts/{doomed}")
        status, made = await making
        begun_by_the_end = len(history.entries)
        await asyncio.sleep(2)
        stop.set()
        await asyncio.gather(*posting)
        assert deleted.status_code == 204
        assert status == 0, made
        assert (made["encrypted"], made["missing"], made["damaged"]) == (True, [], [])
    shutil.rmtree(tmp_path / "first")

    environment = {"STRV_DATA_DIR": str(tmp_path / "second"), "STRV_BACKUP_PASSPHRASE": PASSPHRASE}
    restored = await _restore(place, environment)
    differing = ("jobs", "uploads", "site_facts")
    assert {name: count for name, count in restored["rows"].items() if name not in differing} == {
        name: count for name, count in made["rows"].items() if name not in differing
    }
    expected = _expected(history, told_before, begun_by_the_end, doomed)
    async with real_site(tmp_path / "second") as site:
        await until_quiet(site, 90)
        verdict = await judge(site, expected)
        assert verdict.problems == {}
        assert verdict.acknowledged >= len(KINDS)
        await _try_everyday_things(site, people[0], session, expected)
    await asyncio.gather(*(person.client.aclose() for person in people))


def _expected(history: History, told_before: set[str], begun_by_the_end: int, doomed: str) -> History:
    """What was acknowledged before must be there, what began afterwards must not; in between both is right."""
    expected = History()
    for number, entry in enumerate(history.entries):
        outcome = "unknown"
        if entry.key in told_before and entry.public_id != doomed:
            outcome = "ok"
        elif number >= begun_by_the_end:
            outcome = "failed"
        kept = Entry(entry.key, entry.kind, entry.author, entry.file, outcome, entry.public_id)
        expected.entries.append(kept)
    return expected


async def _restore(place: str, environment: dict[str, str]) -> Any:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    command = [sys.executable, "-m", "strvsocial", "backup", "restore", place, "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "strvsocial.local.with_services", *command, cwd=ROOT,
        env={**kept, **environment, "PYTHONPATH": str(ROOT / "src")},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode == 0, output.decode() + errors.decode()
    return json.loads(output)


async def _sign_in(site: RealSite, person: Person) -> httpx.Cookies:
    """A browser's session."""
    async with httpx.AsyncClient(base_url=site.address, headers={"Sec-Fetch-Site": "same-origin"}) as browser:
        form = {"email": f"{person.username}@example.org", "password": PASSWORD}
        answer = await browser.post("/login", data=form)
        assert answer.status_code == 303, answer.text
        return browser.cookies


async def _try_everyday_things(site: RealSite, person: Person, session: httpx.Cookies, expected: History) -> None:
    """Sessions and tokens from before, a new sign-in, every medium, and a new post."""
    token = person.client.headers["Authorization"]
    async with httpx.AsyncClient(base_url=site.address, timeout=20, headers={"Authorization": token}) as client:
        me = await client.get("/api/v1/me")
        assert me.json()["username"] == person.username
        async with httpx.AsyncClient(base_url=site.address, cookies=session) as browser:
            assert person.username in (await browser.get("/settings")).text
        await _sign_in(site, person)
        for entry in expected.of("ok"):
            post = (await client.get(f"/api/v1/posts/{entry.public_id}")).json()
            for item in post["media"]:
                for url in [item["url"], *(variant["url"] for variant in item["variants"])]:
                    got = await client.get(url)
                    assert (got.status_code, int(got.headers["content-length"])) == (200, len(got.content)), url
        sent = await client.post("/api/v1/posts", json={"title": "After the fire", "text": "Everything is here."})
        assert sent.status_code == 201, sent.text
        similar = await client.get(f"/api/v1/posts/{expected.of('ok')[0].public_id}/similar")
        assert similar.status_code == 200
