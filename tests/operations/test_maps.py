"""The map: alike is near, nobody's hidden post is on it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from tests.front_door import Site
from tests.vectors import DIM, add_space, put

from strvsocial.operations import maps


def _groups(count: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    """`count` vectors around each of three far places."""
    random = np.random.default_rng(seed)
    centres = np.repeat(np.eye(3, DIM), count, axis=0)
    vectors = centres + random.normal(0, 0.02, centres.shape)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def test_what_is_alike_is_near() -> None:
    places, share = maps.project(_groups(30))
    assert share > 0.9
    assert places.min() >= maps.MARGIN - 1e-6
    assert places.max() <= 100 - maps.MARGIN + 1e-6
    middles = places.reshape(3, 30, 2).mean(axis=1)
    spread = np.linalg.norm(places.reshape(3, 30, 2) - middles[:, None], axis=2).max()
    apart = min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > 3 * spread


def test_the_map_does_not_flip() -> None:
    vectors = _groups(20)
    again = vectors[np.random.default_rng(2).permutation(len(vectors))]
    assert np.allclose(np.sort(maps.project(vectors)[0], axis=0), np.sort(maps.project(again)[0], axis=0), atol=0.01)


def test_equal_vectors_are_a_point() -> None:
    places, _ = maps.project(np.ones((5, DIM), np.float32))
    assert np.allclose(places, 50)


async def test_only_what_everybody_sees_is_on_it(site: Site) -> None:
    admin, alice = await site.cast("admin"), await site.cast("alice")
    await site.make_admin(admin)
    assert "Nothing to map yet" in (await admin.browser.get("/admin/map")).text
    titles = [f"Post {n}" for n in range(9)] + ["Secret", "For followers"]
    ids = []
    for title in titles:
        visibility = {"Secret": "private", "For followers": "followers"}.get(title, "public")
        made = (await alice.api("POST", "/posts", json={"title": title, "visibility": visibility})).json()["id"]
        async with site.database.read() as reader:
            ids.append(await reader.scalar(text("select id from posts where public_id = :id"), {"id": made}))
    space = await add_space(site.database, name="look")
    vectors = np.vstack([_groups(3), _groups(1)[:2]])
    await put(site.database, space, ids, vectors)
    maps._layouts.clear()
    page = await admin.browser.get("/admin/map", params={"space": "look"})
    assert page.status_code == 200
    assert len(re.findall('class="spot"', page.text)) == 9
    assert "Secret" not in page.text
    assert "For followers" not in page.text
    async with site.database.transaction() as db:
        await db.execute(text("update posts set visibility = 'private' where id = :id"), {"id": ids[0]})
    assert "Post 0" not in (await admin.browser.get("/admin/map", params={"space": "look"})).text
    assert (await admin.browser.get("/admin/map", params={"space": "smell"})).status_code == 404


@pytest.fixture(autouse=True)
def forgotten() -> None:
    maps._layouts.clear()
