"""The index is being loaded, from rows or for the first time: pages say so, and whatever needs no index goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.faults.conftest import OpenTown, Town

from strvsocial.embeddings.index import VectorIndex


@pytest_asyncio.fixture
async def town(open_town: OpenTown) -> AsyncIterator[Town]:
    town: Town = await open_town()
    town.trust_again()
    state = town.site.app.state
    started, state.index = state.index, VectorIndex(town.site.settings)  # Not one look has ended.
    yield town
    await state.index.aclose()
    state.index = started


async def test_pages_say_that_the_index_is_loading(town: Town) -> None:
    reading = await town.read()
    assert reading.are(200)
    assert "Being put in order" in reading["post"].text
    assert "One of a kind" not in reading["post"].text
    assert "Recommendations are being put together again" in reading["feed"].text
    assert "Recommendations" not in reading["latest"].text
    assert "The hut" in reading["search"].text, "words are searched without the index"
    assert '"items":[]' in reading["api similar"].text
    ready = (await town.site.anonymous.get("/readyz")).json()
    assert (ready["status"], ready["parts"]["index"] != "ok") == ("degraded", True)


async def test_once_it_is_loaded_nothing_of_this_is_said(town: Town) -> None:
    index: VectorIndex = town.site.app.state.index
    index.start()
    await index.until(lambda: index.ready)
    reading = await town.read(("feed", "post"))
    assert "Being put in order" not in reading["post"].text
    assert "Recommendations are being" not in reading["feed"].text
