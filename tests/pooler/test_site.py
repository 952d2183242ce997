"""A site behind a pooler: a post becomes ready, its author hears of it, the index follows, migrations go past."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.content.test_processing import make
from tests.front_door import Site, environment_of, outcome
from tests.pgbouncer import Pooler
from tests.vectors import add_space, make_vectors, put

from strvsocial import worker
from strvsocial.live import Listener
from strvsocial.operations.doctor import examine
from strvsocial.operations.findings import Finding
from strvsocial.settings import ROOT, Settings


async def test_a_post_becomes_ready_and_is_announced(site: Site, tmp_path: Path) -> None:
    alice, listener = await site.member("alice"), site.app.state.listener
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        worker.start_lanes(stack, context, {"quick": 2, "long": 1}, worker.WORKER_HANDLERS)
        queue = await stack.enter_async_context(listener.subscribe(alice.id))
        await stack.enter_async_context(asyncio.timeout(60))
        for kind in ("image", "video"):
            files = {"file": ("file", make(tmp_path, kind))}
            made = (await alice.api("POST", "/posts", data={"title": kind}, files=files)).json()
            news = await outcome(queue)
            assert (news.kind, news.data["id"]) == ("post.ready", made["id"])
            post = (await site.anonymous.get(f"/api/v1/posts/{made['id']}")).json()
            assert (post["status"], post["media_type"]) == ("ready", kind)


async def test_the_index_follows(site: Site) -> None:
    index, vectors = site.app.state.index, make_vectors(60)
    space = await add_space(site.database)
    await put(site.database, space, range(1, 31), vectors[:30])
    await put(site.database, space, range(31, 61), vectors[30:])
    async with asyncio.timeout(15):
        await index.until(lambda: 60 in [known.count for known in index.status().spaces])
    found = await index.search("text", np.asarray(vectors[41]), 1)
    assert found[0].post_id == 42


async def test_many_pages_at_once(site: Site) -> None:
    alice = await site.member("alice")
    paths = ["/", "/explore", "/search?q=image", f"/u/{alice.username}"] * 10
    answers = await asyncio.gather(*(alice.browser.get(path) for path in paths))
    assert [(answer.status_code, answer.url.path) for answer in answers if answer.status_code != 200] == []


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_commands_go_through(settings: Settings) -> None:
    for arguments in (("models", "status"), ("embeddings", "status"), ("index", "status"), ("jobs", "list")):
        done = run(settings, "strvsocial", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) is not None


def test_backups_go_past(settings: Settings, tmp_path: Path) -> None:
    made, read = (run(settings, "strvsocial", "backup", what, str(tmp_path), "--json") for what in ("create", "verify"))
    assert (made.returncode, read.returncode) == (0, 0), made.stderr + read.stderr
    assert json.loads(made.stdout)["rows"]["alembic_version"] == 1
    assert json.loads(read.stdout)["ok"]


async def test_migrations_go_past(settings: Settings, pooler: Pooler) -> None:
    name = f"{settings.direct_url.rsplit('/', 1)[1]}_new"
    new = {
        key: url.rsplit("/", 1)[0] + f"/{name}"
        for key, url in (("database_url", settings.database_url), ("database_direct_url", settings.direct_url))
    }
    direct = await asyncpg.connect(settings.direct_url)
    await direct.execute(f"create database {name}")
    try:
        migrated = await asyncio.to_thread(run, settings.model_copy(update=new), "alembic", "upgrade", "head")
        assert migrated.returncode == 0, migrated.stderr
        assert name not in pooler.log.read_text()
    finally:
        await direct.execute(f"drop database {name} with (force)")
        await direct.close()


def test_migrations_do_not_go_through(settings: Settings) -> None:
    told = run(settings.model_copy(update={"database_direct_url": None}), "alembic", "upgrade", "head")
    assert told.returncode == 1
    assert "Set DATABASE_DIRECT_URL to its own address" in told.stderr
    assert "Traceback" not in told.stderr


async def test_a_listener_says_that_it_hears_nothing_here(settings: Settings) -> None:
    connected = asyncio.Event()
    listener = Listener(settings.database_url, on_vectors=connected.set)
    with capture_logs() as said:
        listener.start()
        await asyncio.wait_for(connected.wait(), 10)
        await listener.aclose()
    assert [entry["event"] for entry in said] == ["live.through_a_pooler"]


async def live(settings: Settings, **changed: str | None) -> Finding:
    [found] = [one for one in await examine(settings.model_copy(update=changed)) if one.name == "live"]
    return found


async def test_the_doctor_finds_the_way(settings: Settings) -> None:
    found = await live(settings)
    assert (found.state, found.message) == ("ok", "news arrive (past the pooler)")


async def test_the_doctor_misses_the_direct_address(settings: Settings) -> None:
    found = await live(settings, database_direct_url=None)
    assert (found.state, found.message) == (
        "fail",
        "DATABASE_URL leads to a pooler, and DATABASE_DIRECT_URL is not set",
    )
    assert "Set DATABASE_DIRECT_URL to PostgreSQL's own address" in str(found.hint)


@pytest.mark.parametrize(
    ("host", "name", "message"),
    [("localhost", None, "leads to a pooler, too"), (None, "postgres", "leads to another database")],
)
async def test_the_doctor_sees_a_wrong_direct_address(
    settings: Settings, host: str | None, name: str | None, message: str
) -> None:
    wrong = (
        settings.database_url.replace("127.0.0.1", host) if host else settings.direct_url.rsplit("/", 1)[0] + f"/{name}"
    )
    found = await live(settings, database_direct_url=wrong)
    assert found.state == "fail"
    assert f"DATABASE_DIRECT_URL {message}" in found.message
