"""Two web processes behind nginx are both replaced under load: nobody notices, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from tests.front_door import Site
from tests.reliability.swap import swap_under_load

from strvsocial.settings import Settings

pytestmark = pytest.mark.timeout(900)


async def _swap(site: Site, settings: Settings, folder: Path, *, requests: int, visitors: int, turns: int) -> None:
    author = await site.member("author")
    tally = await swap_under_load(settings, folder, author, requests=requests, visitors=visitors, turns=turns)
    print(f"{tally.total} requests, slowest {tally.slowest:.2f} s, {tally.failures}, {dict(tally.statuses)}")
    assert tally.failures == []
    assert tally.total >= requests
    async with site.database.read() as reader:
        of_author = text("select title from posts where author_id = :author")
        titles = list(await reader.scalars(of_author, {"author": author.id}))
    assert sorted(titles) == sorted(tally.posted)
    assert len(titles) == len(set(titles)) > requests / 30


async def test_a_rolling_swap_fails_nothing(site: Site, settings: Settings, tmp_path: Path) -> None:
    await _swap(site, settings, tmp_path / "nginx", requests=1_000, visitors=6, turns=1)


@pytest.mark.soak
async def test_a_rolling_swap_fails_nothing_of_ten_thousand(site: Site, settings: Settings, tmp_path: Path) -> None:
    await _swap(site, settings, tmp_path / "nginx", requests=10_000, visitors=8, turns=2)
