"""Rows in, vectors and transcripts out, through the real job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sqlalchemy import text

from strvsocial.content.work import want_embedding
from strvsocial.db import Database
from strvsocial.embeddings import vectors
from strvsocial.embeddings.active import ActiveModels
from strvsocial.settings import Settings

from .conftest import Site
from .media import beckett, chords, photograph

JOBS = "select state, attempts, last_error from jobs order by id"
PENDING = "select pending from posts where id = :id"


async def _edit(site: Site, post_id: int, title: str) -> None:
    async with site.database.transaction() as db:
        await db.execute(
            text("update posts set title = :title, version = version + 1, pending = '{embedding}' where id = :id"),
            {"title": title, "id": post_id},
        )
        await want_embedding(db, post_id)


async def test_posts_of_all_kinds_get_their_vectors(tiny_site: Site) -> None:
    words = await tiny_site.post("sunset over the sea", tags=["evening"])
    picture = await tiny_site.post("my cat", media=[("image", photograph("chelsea"), None)])
    speech = await tiny_site.post("a reading", media=[("audio", None, beckett())])
    music = await tiny_site.post("a tune", media=[("audio", None, chords(5))])
    film = await tiny_site.post("talk", media=[("video", np.repeat(photograph("rocket"), 3, axis=0), beckett())])
    await tiny_site.work()

    assert {name for (name,) in await tiny_site.rows("select state from jobs")} == {"done"}
    assert all(pending == ([],) for pending in await tiny_site.rows("select pending from posts"))
    found = {
        name: await tiny_site.vectors(post)
        for name, post in {"words": words, "picture": picture, "speech": speech, "music": music, "film": film}.items()
    }
    assert {name: sorted(spaces) for name, spaces in found.items()} == {
        "words": ["text"],
        "picture": ["look", "text"],
        "speech": ["text"],
        "music": ["sound", "text"],
        "film": ["look", "text"],
    }
    for spaces in found.values():
        for vector in spaces.values():
            assert vector is not None
            assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
    segments = await tiny_site.rows(
        'select s.position, s.start, s."end", s.text, a.language from transcript_segments as s'
        " join attachments as a on a.id = s.attachment_id where a.post_id = :id order by s.position",
        id=speech,
    )
    said = " ".join(str(segment[3]) for segment in segments).lower()
    assert "fail" in said
    assert "better" in said
    assert [segment[0] for segment in segments] == list(range(len(segments)))
    assert all(0 <= segment[1] <= segment[2] <= 10.5 for segment in segments)
    assert {segment[4] for segment in segments} == {"en"}


async def test_a_changed_title_looks_and_listens_at_nothing_again(tiny_site: Site) -> None:
    post = await tiny_site.post(
        "one", media=[("image", photograph("coffee"), None), ("image", photograph("rocket"), None)]
    )
    await tiny_site.work()
    before = await tiny_site.rows("select id, created_at from attachment_analyses order by id")
    changes: dict[str, int] = dict(
        await tiny_site.rows("select s.name, e.change from embeddings e join embedding_spaces s on s.id = space_id")
    )
    # Without the bytes, looking again would find nothing.
    await tiny_site.storage.delete([str(key) for (key,) in await tiny_site.rows("select key from renditions")])
    await _edit(tiny_site, post, "two")
    await tiny_site.work()
    after: dict[str, int] = dict(
        await tiny_site.rows("select s.name, e.change from embeddings e join embedding_spaces s on s.id = space_id")
    )
    assert await tiny_site.rows("select id, created_at from attachment_analyses order by id") == before
    assert len(before) == 2
    assert after["text"] > changes["text"]
    assert after["look"] == changes["look"]


async def test_a_post_that_changed_meanwhile_is_left_to_its_newer_job(tiny_site: Site) -> None:
    post = await tiny_site.post("one")
    active = await tiny_site.context.models.get()
    from strvsocial.content.embedding import store
    from strvsocial.content.embedding_rows import load_posts
    from strvsocial.embeddings.pipeline import keys_of

    async with tiny_site.database.read() as reader:
        read = await load_posts(reader, [post], keys_of(active.profile))
    await _edit(tiny_site, post, "two")
    await store(tiny_site.context, active, read)
    assert await tiny_site.vectors(post) == {}
    assert await tiny_site.rows(PENDING, id=post) == [(["embedding"],)]
    await tiny_site.work()
    assert list(await tiny_site.vectors(post)) == ["text"]
    assert await tiny_site.rows(PENDING, id=post) == [([],)]


async def test_a_vector_that_no_longer_applies_becomes_a_tombstone(tiny_site: Site) -> None:
    post = await tiny_site.post("one", media=[("image", photograph("coffee"), None)])
    await tiny_site.work()
    async with tiny_site.database.transaction() as db:
        await db.execute(text("delete from attachments where post_id = :id"), {"id": post})
    await _edit(tiny_site, post, "words only")
    await tiny_site.work()
    found = await tiny_site.vectors(post)
    assert found["look"] is None
    assert found["text"] is not None


async def test_a_deleted_post_is_buried_and_stays_so(tiny_site: Site) -> None:
    post = await tiny_site.post("gone")
    await tiny_site.work()
    async with tiny_site.database.transaction() as db:
        await want_embedding(db, post)
    async with tiny_site.database.transaction() as db:
        await vectors.bury(db, [post])
        await db.execute(text("delete from posts where id = :id"), {"id": post})
    before = await tiny_site.rows("select change from embeddings")
    await tiny_site.work()
    assert await tiny_site.vectors(post) == {"text": None}
    assert await tiny_site.rows("select change from embeddings") == before


async def test_unreadable_frames_do_not_spoil_the_neighbours(tiny_site: Site) -> None:
    whole = await tiny_site.post("whole", media=[("image", photograph("coffee"), None)])
    torn = await tiny_site.post("torn", media=[("image", photograph("rocket")[0, :100], None)])
    empty = await tiny_site.post("\u200b")
    await tiny_site.work()
    assert sorted(await tiny_site.vectors(whole)) == ["look", "text"]
    assert sorted(await tiny_site.vectors(torn)) == ["text"]
    assert await tiny_site.vectors(empty) == {"text": None}
    assert all(pending == ([],) for pending in await tiny_site.rows("select pending from posts"))


async def test_missing_weights_postpone_and_embedding_catches_up(
    tiny_site: Site, tiny_folder: Path, settings: Settings, database: Database
) -> None:
    first, second = await tiny_site.post("one"), await tiny_site.post("two")
    hidden = tiny_folder / "text" / "tokenizer.json"
    hidden.rename(hidden.with_suffix(".hidden"))
    try:
        await tiny_site.work()
    finally:
        hidden.with_suffix(".hidden").rename(hidden)
    for state, attempts, error in await tiny_site.rows(JOBS):
        assert (state, attempts) == ("queued", 0)
        assert "text weights are missing" in str(error)
        assert "tokenizer.json" in str(error)
    ((fact,),) = await tiny_site.rows("select value ->> 'trouble' from site_facts where name = 'models'")
    assert "complete the folder" in str(fact)

    async with database.transaction() as db:
        await db.execute(text("update jobs set run_after = now()"))
    await tiny_site.work()
    assert list(await tiny_site.vectors(first)) == list(await tiny_site.vectors(second)) == ["text"]
    assert await tiny_site.rows("select value ->> 'trouble' from site_facts where name = 'models'") == [(None,)]


async def test_the_recorded_profile_wins(
    tiny_site: Site, settings: Settings, database: Database, tiny_folder: Path
) -> None:
    await tiny_site.post("one")
    await tiny_site.work()
    other = ActiveModels(settings.model_copy(update={"models": "hub"}), database, patience=0)
    assert (await other.get()).profile.name == str(tiny_folder)
    await other.aclose()
