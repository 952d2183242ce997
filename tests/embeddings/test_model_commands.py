"""The console: what is missing is shown, made up for, and other models take over while searching goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from strvsocial.content import switching
from strvsocial.embeddings.active import Active
from strvsocial.embeddings.encoders.loader import Models
from strvsocial.embeddings.profiles import read_profile
from strvsocial.embeddings.spaces import begin_switch
from strvsocial.embeddings.weights import locate
from strvsocial.errors import BadInput

from .conftest import Site
from .media import chords, photograph


async def _console(*arguments: str, models: Path | None = None) -> tuple[int, str, str]:
    environment = {**os.environ, "STRV_MODELS": str(models) if models else "packaged"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "strvsocial", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def other_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny models with other weights: another revision, hence other spaces."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_folder, tmp_path_factory.mktemp("other") / "models")
    for part in ("text", "look"):
        path = folder / part / "model.safetensors"
        generator = torch.Generator().manual_seed(9)
        weights = {
            name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in load_file(path).items()
        }
        save_file(weights, path, metadata={"format": "pt"})
    return folder


async def _three_posts(site: Site) -> list[int]:
    return [
        await site.post("words"),
        await site.post("a cat", media=[("image", photograph("chelsea"), None)]),
        await site.post("a tune", media=[("audio", None, chords(3))]),
    ]


async def test_status_run_and_retry(tiny_site: Site, tiny_folder: Path) -> None:
    posts = await _three_posts(tiny_site)
    await tiny_site.work()
    async with tiny_site.database.transaction() as db:
        await db.execute(text("delete from embeddings where post_id = :id"), {"id": posts[1]})
        await db.execute(
            text(
                "insert into jobs (queue, kind, payload, state) values"
                " ('embed', 'content.embed_post', jsonb_build_object('post_id', cast(:id as bigint)), 'dead')"
            ),
            {"id": posts[0]},
        )
    code, out, _ = await _console("embeddings", "status", "--json", models=tiny_folder)
    assert code == 0
    found = json.loads(out)
    counts = {space["name"]: (space["vectors"], space["missing"]) for space in found["spaces"]}
    assert counts == {"look": (0, 1), "sound": (1, 0), "text": (2, 1)}
    assert found["jobs"] == {"queued": 0, "running": 0, "dead": 1}

    code, out, err = await _console("embeddings", "run", "--here", "--json", models=tiny_folder)
    assert (code, json.loads(out)) == (0, {"queued": 1, "done": 1}), err
    assert sorted(await tiny_site.vectors(posts[1])) == ["look", "text"]

    code, out, _ = await _console("embeddings", "retry", "--json", models=tiny_folder)
    assert json.loads(out) == {"retried": 1}
    assert await tiny_site.rows("select pending from posts where id = :id", id=posts[0]) == [(["embedding"],)]
    await tiny_site.work()
    assert await tiny_site.rows("select pending from posts where id = :id", id=posts[0]) == [([],)]


async def test_models_status_reports_a_mismatch(tiny_site: Site, tiny_folder: Path) -> None:
    await tiny_site.post("words")
    await tiny_site.work()
    code, out, _ = await _console("models", "status", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["profile"] == str(tiny_folder)
    assert found["weights"] == "complete"
    assert "strvsocial models switch packaged" in found["mismatch"]
    code, _, err = await _console("models", "fetch", "/no/such/folder")
    assert code == 1
    assert "must be packaged, hub or the absolute path" in err


async def test_a_switch_makes_new_vectors_beside_and_then_swaps(
    tiny_site: Site, tiny_folder: Path, other_folder: Path
) -> None:
    posts = await _three_posts(tiny_site)
    await tiny_site.work()
    before = {post: await tiny_site.vectors(post) for post in posts}
    code, out, _ = await _console("models", "switch", str(other_folder), "--dry-run", models=tiny_folder)
    assert (code, "Would make" in out) == (0, True)
    code, out, err = await _console("models", "switch", str(other_folder), "--json", models=tiny_folder)
    assert (code, json.loads(out)["switched"]) == (0, True), err
    after = {post: await tiny_site.vectors(post) for post in posts}
    for post in posts:
        assert sorted(after[post]) == sorted(before[post])
        assert (after[post]["text"] != before[post]["text"]).any()  # type: ignore[union-attr]
    assert (after[posts[2]]["sound"] == before[posts[2]]["sound"]).all()  # type: ignore[union-attr]
    states: dict[str, int] = dict(await tiny_site.rows("select state, count(*) from embedding_spaces group by state"))
    assert states == {"active": 3, "retired": 2}
    assert await tiny_site.rows(
        "select count(*) from embeddings as e join embedding_spaces as s on s.id = e.space_id where s.state = 'retired'"
    ) == [(0,)]
    # The embedder changes over by itself.
    late = await tiny_site.post("late")
    await tiny_site.work()
    assert (await tiny_site.context.models.get()).profile.name == str(other_folder)
    assert list(await tiny_site.vectors(late)) == ["text"]
    code, _, err = await _console("models", "switch", str(other_folder), models=tiny_folder)
    assert code == 1
    assert "already" in err


async def test_an_interrupted_switch_goes_on_and_misses_nothing(tiny_site: Site, other_folder: Path) -> None:
    posts = [await tiny_site.post(f"post number {number}") for number in range(6)]
    await tiny_site.work()
    target = read_profile(str(other_folder))
    models = Models(locate(target, tiny_site.context.settings.data_dir))

    async def begin() -> Active:
        async with tiny_site.database.transaction() as db:
            return Active(target, models, await begin_switch(db, target))

    def interrupt(done: int, _total: int) -> None:
        if done >= 2:
            raise BadInput("interrupted")

    first = await begin()
    with pytest.raises(BadInput):
        await switching.build(tiny_site.context, first, 2, interrupt)
    assert {
        row[0]
        for row in await tiny_site.rows(
            "select e.space_id from embeddings as e join embedding_spaces as s on"
            " s.id = e.space_id where s.state = 'active'"
        )
    } != set()
    second = await begin()
    assert second.spaces == first.spaces
    seen: list[int] = []
    await switching.build(tiny_site.context, second, 2, lambda done, _: seen.append(done))
    assert seen[0] == 2
    assert seen[-1] == 6
    # Edited, published and deleted while the new vectors were made.
    async with tiny_site.database.transaction() as db:
        await db.execute(
            text("update posts set title = 'edited', version = version + 1, updated_at = now() where id = :id"),
            {"id": posts[0]},
        )
    published = await tiny_site.post("published meanwhile")
    assert await switching.finish(tiny_site.context, second) >= 2
    await models.aclose()
    edited = (await tiny_site.vectors(posts[0]))["text"]
    await tiny_site.work()
    assert list(await tiny_site.vectors(published)) == ["text"]
    assert ((await tiny_site.vectors(posts[0]))["text"] != edited).any()  # type: ignore[union-attr]
