"""Killed in the middle: a few times here, twenty times at random in the soak suite."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.reliability.history import History, gather_people
from tests.reliability.proof import judge, until_quiet
from tests.reliability.real_site import real_site
from tests.reliability.sent_files import make_files

PART = 1024 * 1024


@pytest.mark.timeout(300)
async def test_kills_during_uploads_and_processing_lose_and_double_nothing(tmp_path: Path) -> None:
    files, history = make_files(tmp_path / "files", 6_000_000), History()
    async with real_site(tmp_path / "data", STRV_UPLOAD_PART_BYTES=str(PART)) as site:
        people = await gather_people(site.address, 3, history, files)
        stop = asyncio.Event()
        posting = [asyncio.create_task(person.post_until(stop)) for person in people[1:]]
        people[0].large_bytes_per_second = 2_000_000
        uploading = asyncio.create_task(people[0].post("large"))
        await asyncio.sleep(1.5)
        await site.kill("web")
        await site.kill("worker")
        await asyncio.sleep(4)
        await site.flush()
        await site.kill("embedder")
        await uploading
        stop.set()
        await asyncio.gather(*posting)
        assert history.interrupted_uploads >= 1
        assert history.most_sent_again <= 2 * PART + 4_000_000  # What the sockets hold.
        await until_quiet(site, 60)
        verdict = await judge(site, history)
    assert verdict.problems == {}
    assert verdict.acknowledged >= 3
