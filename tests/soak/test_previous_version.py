"""The version before this one goes on working on the new tables, and nothing that it wrote is lost.

"Before" is the last released version (tag v*), else the last commit without the newest migration, taken from the history.
Its web process and its worker run on its own tables; the new migrations come while people read and write through it; it goes on; then the new version takes over.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.front_door import PASSWORD
from tests.keeping.conftest import Databases, databases
from tests.reliability.sent_files import SentFile, make_files

from strvsocial.local.ports import free_port
from strvsocial.settings import ROOT

__all__ = ["databases"]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

WEB = ("-m", "uvicorn", "--factory", "strvsocial.app:create_app", "--host", "127.0.0.1", "--no-access-log", "--port")


async def test_the_previous_version_works_on_the_new_tables(
    servers: tuple[str, str], databases: Databases, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    _check_out(_previous_version(), before)
    files = make_files(tmp_path / "files", 100_000)
    environment = {
        **os.environ, "DATABASE_URL": await databases.make(empty=True), "DATABASE_DIRECT_URL": "", "REDIS_URL": servers[1],
        "STRV_DATA_DIR": str(tmp_path / "data"), "STRV_RATE_LIMITS": "off", "STRV_DEMO": "off",
    }  # fmt: skip
    await _migrate(before, environment)
    answers: list[tuple[str, int]] = []
    async with _running(before, environment) as client:
        made = [await _use(client, files, "before", answers)]
        stop = asyncio.Event()
        using = asyncio.create_task(_keep_using(client, files, answers, stop))
        await _migrate(ROOT, environment)
        stop.set()
        await using
        made.append(await _use(client, files, "between", answers))
    async with _running(ROOT, environment) as client:
        for author, posts in made:
            found = (await client.get(f"/api/v1/users/{author}/posts")).json()["items"]
            assert {item["id"] for item in found} == posts
        made.append(await _use(client, files, "after", answers))
    assert [answer for answer in answers if answer[1] >= 400] == []
    assert len(answers) > 30


def _previous_version() -> str:
    """A commit."""
    released = _git("tag", "--merged", "HEAD", "--sort=-v:refname", "--list", "v*").decode().split()
    if released:
        return released[0]
    newest = max(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))
    added = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", f"migrations/versions/{newest}").decode().strip()
    assert added, "the history does not reach back to the newest migration: fetch all of it (git fetch --unshallow)"
    for commit in _git("rev-list", f"{added}^").decode().split():
        listed = _git("ls-tree", "--name-only", commit, "migrations/versions/").decode().split()
        numbers = [path.rpartition("/")[2][:4] for path in listed if path.endswith(".py")]
        if len(set(numbers)) == len(numbers) and newest[:4] not in numbers:  # One head, and an older one.
            return commit
    raise AssertionError("there is no version before the newest migration")


def _check_out(commit: str, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


async def _migrate(code: Path, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alembic",
        "upgrade",
        "head",
        cwd=code,
        env={**environment, "PYTHONPATH": str(code / "src")},
    )
    assert await process.wait() == 0


@asynccontextmanager
async def _running(code: Path, environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A web process and a worker of that code."""
    port, own = free_port(), {**environment, "PYTHONPATH": str(code / "src")}
    # A built browser bundle is no part of the history; pages need only its list of names.
    if not (code / "static" / "dist").exists() and (ROOT / "static" / "dist").exists():
        (code / "static" / "dist").symlink_to(ROOT / "static" / "dist")
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=code, env=own)
        for arguments in ((*WEB, str(port)), ("-m", "strvsocial.worker", "worker"))
    ]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            async with asyncio.timeout(60):
                while True:
                    try:
                        if (await client.get("/livez")).status_code == 200:
                            break
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
            yield client
    finally:
        for process in processes:
            process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))


async def _keep_using(
    client: httpx.AsyncClient, files: dict[str, SentFile], answers: list[tuple[str, int]], stop: asyncio.Event
) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        await _use(client, files, f"during{number}", answers)


async def _use(
    client: httpx.AsyncClient, files: dict[str, SentFile], name: str, answers: list[tuple[str, int]]
) -> tuple[str, set[str]]:
    """A person signs up, posts a text and a picture, reads, edits, follows, deletes; who, and the posts that remain."""
    email = f"{name}@example.org"

    async def call(method: str, path: str, **options: object) -> httpx.Response:
        answer = await client.request(method, path, **options)  # type: ignore[arg-type]
        answers.append((f"{method} {path}", answer.status_code))
        return answer

    await call("POST", "/api/v1/accounts", json={"username": name, "email": email, "password": PASSWORD})
    signed_in = await call("POST", "/api/v1/tokens", json={"email": email, "password": PASSWORD})
    own = {"Authorization": f"Bearer {signed_in.json()['token']}"}
    text = (await call("POST", "/api/v1/posts", json={"title": f"{name} writes"}, headers=own)).json()["id"]
    sent = {"file": (files["image"].name, files["image"].data, files["image"].mime)}
    picture = (await call("POST", "/api/v1/posts", data={"title": f"{name} shows"}, files=sent, headers=own)).json()[
        "id"
    ]
    async with asyncio.timeout(90):
        while (await client.get(f"/api/v1/posts/{picture}", headers=own)).json()["status"] != "ready":
            await asyncio.sleep(0.2)
    post = (await call("GET", f"/api/v1/posts/{picture}", headers=own)).json()
    await call("GET", post["media"][0]["url"])
    await call("PATCH", f"/api/v1/posts/{text}", json={"title": f"{name} wrote"}, headers=own)
    doomed = (await call("POST", "/api/v1/posts", json={"title": "gone soon"}, headers=own)).json()["id"]
    await call("DELETE", f"/api/v1/posts/{doomed}", headers=own)
    for path in ("/", "/explore", f"/p/{picture}", f"/u/{name}", "/search?q=writes", "/api/v1/feeds/latest"):
        await call("GET", path)
    if name != "before":
        await call("PUT", "/api/v1/users/before/follow", headers=own)
        await call("GET", "/api/v1/feeds/following", headers=own)
    return name, {text, picture}
