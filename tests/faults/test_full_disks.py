"""Disks that are full: PostgreSQL's, the storage's and the worker's. Reading goes on, writing says why, nothing is torn."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.faults.conftest import OpenTown, Town
from tests.faults.walk import WRITTEN

from strvsocial.jobs import Postpone
from strvsocial.local.account import server_account
from strvsocial.local.services import Services
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import Settings

MIB = 1024 * 1024
SMALL = 64
"""MiB of PostgreSQL's disk."""
_FULL = """
create function disk_is_full() returns trigger language plpgsql as
$$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
"""


def may_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False, timeout=10).returncode == 0


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of its own at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True, timeout=10)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    disk, ballast = os.statvfs(folder), folder / "ballast"
    with ballast.open("wb") as file:
        try:
            for _ in range(disk.f_bavail * disk.f_frsize // MIB + 2):
                file.write(bytes(MIB))
                file.flush()
        except OSError:
            pass
    return ballast


@pytest.fixture(scope="module")
def database_disk(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """Where the database's tables lie: a small disk; None where this account may not mount one."""
    if not may_mount():
        yield None
        return
    # Below /tmp: the server's account must be able to enter the folders above.
    folder = Path("/tmp") / f"faults-disk-{secrets.token_hex(4)}"
    with small_disk(folder, SMALL):
        if account := server_account():
            os.chown(folder, account.uid, account.gid)
        yield folder
    folder.rmdir()


@pytest_asyncio.fixture(scope="module")
async def town(open_town: OpenTown, services: Services, database_disk: Path | None) -> AsyncIterator[Town]:
    if database_disk is not None:
        maintenance = await asyncpg.connect(services.database_url.rsplit("/", 1)[0] + "/postgres")
        await maintenance.execute(f"create tablespace small location '{database_disk}'")
        await maintenance.execute("alter database strv set tablespace small")
        await maintenance.close()
    town: Town = await open_town(database_url=services.database_url)
    yield town
    assert services.postgres is not None
    services.postgres.stop()  # Before its disk goes.


@asynccontextmanager
async def full(services: Services, disk: Path | None) -> AsyncIterator[None]:
    """No room for the database: really, or, where no disk can be mounted, as the server would say it."""
    if disk is not None:
        ballast = fill(disk)
        yield
        ballast.unlink()
        return
    connection = await asyncpg.connect(services.database_url)
    await connection.execute(_FULL)
    for table in ("posts", "sessions", "users"):
        await connection.execute(
            f"create trigger full_disk before insert or update on {table} for each row execute function disk_is_full()"
        )
    yield
    await connection.execute("drop function disk_is_full cascade")
    await connection.close()


async def test_reading_goes_on_while_the_databases_disk_is_full(
    town: Town, services: Services, database_disk: Path | None
) -> None:
    async with town.site.database.transaction() as db:  # So old that each visit would be noted.
        await db.execute(text("update sessions set seen_at = now() - interval '1 day'"))
    kept: list[str] = []
    async with full(services, database_disk):
        refusal = None
        for _ in range(2000):  # What is left of the last pages is filled first.
            said = {"title": "More", "text": secrets.token_urlsafe(3700)}
            answer = await town.person.api("POST", "/posts", json=said)
            if answer.status_code != 201:
                refusal = answer
                break
            kept.append(answer.json()["id"])
        assert refusal is not None, "the disk took everything"
        assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "60")
        assert refusal.json()["error"]["message"] == (
            "Nothing new can be saved just now: the site's disk is full. Reading works on."
        )
        assert (await town.read()).are(200)
        alive, ready = await town.site.anonymous.get("/livez"), await town.site.anonymous.get("/readyz")
        assert (alive.status_code, ready.json()["parts"]["database"]) == (200, "ok")
    again = await town.person.api("POST", "/posts", json={"title": "After"})
    assert again.status_code == 201
    for post in [*kept, again.json()["id"]]:
        assert (await town.site.anonymous.get(f"/api/v1/posts/{post}")).status_code == 200
    await _check_indexes(services)


async def _check_indexes(services: Services) -> None:
    """Every index of the database agrees with its table."""
    connection = await asyncpg.connect(services.database_url)
    await connection.execute("create extension if not exists amcheck")
    checked = await connection.fetch(
        "select bt_index_check(c.oid, true) from pg_class c join pg_am a on a.oid = c.relam"
        " where c.relkind = 'i' and a.amname = 'btree' and c.relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    assert len(checked) > 20


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=d=2:s=640x360:r=20", "-pix_fmt", "yuv420p", "-c:v", "libx264")
    subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", *source, str(path)], check=True, timeout=60)
    return path.read_bytes()


@contextmanager
def no_room_to_work(settings: Settings, sent: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Room for what was sent and little else; where no disk can be mounted, any failure finds the disk too full."""
    if may_mount():
        with small_disk(settings.data_dir / "tmp", 1 + -(-sent // MIB)):
            (settings.data_dir / "tmp" / "ballast").write_bytes(bytes(MIB - 60_000 - sent % MIB))
            yield
        return
    with monkeypatch.context() as patch:
        patch.setattr("strvsocial.media.room.LEAST_BYTES", 1 << 62)
        patch.setattr("strvsocial.media.video.make_video", None)
        yield


async def test_a_worker_without_room_tries_again_later(
    settings: Settings, open_town: OpenTown, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    town: Town = await open_town()
    files = {"file": ("a.mp4", film, "video/mp4")}
    posted = (await town.person.api("POST", "/posts", data={"title": "A film"}, files=files)).json()
    storage, stored = town.site.app.state.storage, {item.key async for item in town.site.app.state.storage.list("")}
    with no_room_to_work(town.site.settings, len(film), monkeypatch), pytest.raises(Postpone, match="disk is full"):
        await town.process()
    assert {item.key async for item in storage.list("")} == stored, "something half made was stored"
    waiting = (await town.person.api("GET", f"/posts/{posted['id']}")).json()
    assert (waiting["status"], waiting["failure"]) == ("processing", None)
    await town.process()
    assert (await town.person.api("GET", f"/posts/{posted['id']}")).json()["status"] == "ready"


async def test_a_full_storage_takes_no_files_and_says_so(open_town: OpenTown, monkeypatch: pytest.MonkeyPatch) -> None:
    town: Town = await open_town()
    monkeypatch.setattr("strvsocial.storage.files.LEAST_FREE_BYTES", 1 << 62)
    town.trust_again()
    assert (await town.read()).are(200)
    writing = await town.write()
    assert writing.are(303, but={**WRITTEN, "post picture": 503, "post picture, form": 503})
    assert "storage is full" in writing["post picture, form"].text
    assert (await town.site.anonymous.get("/readyz")).json()["parts"]["storage"] == "The site's storage is full."
