"""An attachment is processed once, however often it is tried, and leaves nothing behind when it is gone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from sqlalchemy import select, text, update

from strvsocial.content.models import Post
from strvsocial.db import Database
from strvsocial.ids import new_id
from strvsocial.jobs import Claimed
from strvsocial.media import sandbox
from strvsocial.media.attachments import detach
from strvsocial.media.jobs import DELETE_OBJECTS
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.processing import CannotDecode, process
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.users.accounts import create_account

Film = Callable[..., Path]
Attach = Callable[[Path, str], Any]
SLOW = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=5", "-f", "lavfi", "-i", "sine=duration=5",
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p", "-c:a", "libopus")  # fmt: skip


@pytest_asyncio.fixture
async def attach(database: Database, storage: Storage) -> AsyncIterator[Attach]:
    """`await attach(sample, kind)` stores a sample and makes it the attachment of a new post; returns its id."""
    async with database.transaction() as db:
        name = f"user_{new_id()[:8]}"
        user = await create_account(db, username=name, email=f"{name}@example.com", password=None)

    async def attach_sample(sample: Path, kind: str) -> int:
        key = f"originals/{new_id()}"
        await storage.put_file(key, sample, "application/octet-stream")
        async with database.transaction() as db:
            post = Post(public_id=new_id(), author_id=user.id, title="A title", media_type=kind)
            db.add(post)
            await db.flush()
            content = await asyncio.to_thread(sample.read_bytes)
            attachment = Attachment(
                public_id=new_id(), post_id=post.id, kind=kind, source_key=key, source_mime="application/octet-stream",
                byte_size=len(content), sha256=hashlib.sha256(content).digest(), alt="; touch /tmp/x -i @file ../../x",
            )  # fmt: skip
            db.add(attachment)
            await db.flush()
            return attachment.id

    yield attach_sample


@pytest.fixture
def jpeg(samples: Path, photo: Any) -> Path:
    path = samples / "photo.jpg"
    photo.jpegsave(str(path))
    return path


async def _get(database: Database, attachment_id: int) -> tuple[Attachment, list[Rendition]]:
    async with database.transaction() as db:
        attachment = await db.get_one(Attachment, attachment_id)
        rows = select(Rendition).where(Rendition.attachment_id == attachment_id).order_by(Rendition.name)
        return attachment, list(await db.scalars(rows))


async def _stored(storage: Storage, public_id: str) -> dict[str, int]:
    return {
        found.key: found.byte_size
        for prefix in (f"media/{public_id}/", f"work/{public_id}/")
        async for found in storage.list(prefix)
    }


async def test_a_picture_becomes_ready(
    settings: Settings, database: Database, storage: Storage, attach: Attach, jpeg: Path
) -> None:
    attachment_id = await attach(jpeg, "image")
    assert await process(settings, database, storage, attachment_id) == "image"
    attachment, renditions = await _get(database, attachment_id)
    assert (attachment.status, attachment.progress, attachment.kind) == ("ready", 100, "image")
    assert (attachment.width, attachment.height) == (640, 480)
    assert attachment.placeholder
    assert {(one.name, one.role, one.mime, one.width) for one in renditions} == {
        ("frames", "frames", "application/octet-stream", 256),
        ("w320.avif", "variant", "image/avif", 320),
        ("w320.webp", "variant", "image/webp", 320),
        ("w640.avif", "variant", "image/avif", 640),
        ("w640.webp", "variant", "image/webp", 640),
    }
    assert {one.key: one.byte_size for one in renditions} == await _stored(storage, attachment.public_id)
    assert [one.key for one in renditions if one.name == "frames"] == [f"work/{attachment.public_id}/frames"]
    assert not list((settings.data_dir / "tmp").iterdir())


async def test_processing_again_changes_nothing(
    settings: Settings, database: Database, storage: Storage, attach: Attach, jpeg: Path
) -> None:
    attachment_id = await attach(jpeg, "image")
    await process(settings, database, storage, attachment_id)
    attachment, first = await _get(database, attachment_id)
    assert await process(settings, database, storage, attachment_id) == "image"
    async with database.transaction() as db:
        again = update(Attachment).where(Attachment.id == attachment_id).values(status="processing", kind="gif")
        await db.execute(again)
        db.add(
            Rendition(
                attachment_id=attachment_id, name="w99.webp", role="variant", key="media/old/w99.webp",
                mime="image/webp", byte_size=1,
            )
        )  # fmt: skip
    await asyncio.gather(*(process(settings, database, storage, attachment_id) for _ in range(2)))
    attachment, second = await _get(database, attachment_id)
    assert [(one.id, one.name, one.byte_size) for one in first] == [(one.id, one.name, one.byte_size) for one in second]
    assert {one.key: one.byte_size for one in second} == await _stored(storage, attachment.public_id)
    async with database.read() as reader:
        wanted = await reader.scalars(text("select payload from jobs where kind = 'media.delete_objects'"))
        assert {"keys": ["media/old/w99.webp"]} in list(wanted)


async def test_a_hopeless_file_leaves_nothing(
    settings: Settings, database: Database, storage: Storage, attach: Attach, samples: Path
) -> None:
    path = samples / "hopeless"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    attachment_id = await attach(path, "image")
    with pytest.raises(CannotDecode):
        await process(settings, database, storage, attachment_id)
    attachment, renditions = await _get(database, attachment_id)
    assert (attachment.status, renditions) == ("processing", [])
    assert await _stored(storage, attachment.public_id) == {}
    assert not list((settings.data_dir / "tmp").iterdir())


@pytest.mark.parametrize(
    ("program", "hopeless"),
    [("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", True), ("import no_such_library", False)],
)
async def test_a_broken_file_is_told_from_a_broken_machine(
    settings: Settings, database: Database, storage: Storage, attach: Attach, jpeg: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, hopeless: bool,
) -> None:  # fmt: skip
    (tmp_path / "launch.py").write_bytes((sandbox.CHILDREN / "launch.py").read_bytes())
    (tmp_path / "picture.py").write_text(program)
    monkeypatch.setattr(sandbox, "CHILDREN", tmp_path)
    with pytest.raises(CannotDecode if hopeless else sandbox.Crashed):
        await process(settings, database, storage, await attach(jpeg, "image"))


async def test_a_film_reports_its_progress_and_no_name_reaches_a_command_line(
    settings: Settings, database: Database, storage: Storage, attach: Attach, film: Film
) -> None:
    attachment_id = await attach(film("slow.mkv", *SLOW), "video")
    task = asyncio.create_task(process(settings, database, storage, attachment_id))
    seen: set[int] = set()
    lines: set[str] = set()
    while not task.done():
        async with database.read() as reader:
            seen.add(await reader.scalar(select(Attachment.progress).where(Attachment.id == attachment_id)) or 0)
        lines |= set(_command_lines())
        await asyncio.sleep(0.1)
    assert await task == "video"
    assert any(0 < percent < 100 for percent in seen)
    attachment, renditions = await _get(database, attachment_id)
    assert any("ffmpeg" in line for line in lines)
    for line in lines:
        assert "touch" not in line
        assert attachment.source_key not in line
    assert {one.name for one in renditions} == {"play.mp4", "poster.webp", "frames", "pcm", "preview.mp4"}
    assert {one.name: one.details for one in renditions if one.name == "frames"} == {"frames": {"count": 8}}
    assert attachment.duration == pytest.approx(5, abs=0.1)


def _command_lines() -> list[str]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            found.append(" ".join(child.cmdline()))
        except psutil.Error:
            continue
    return found


async def test_an_attachment_deleted_meanwhile_leaves_no_bytes(
    settings: Settings, database: Database, storage: Storage, attach: Attach, film: Film
) -> None:
    attachment_id = await attach(film("slow.mkv", *SLOW), "video")
    task = asyncio.create_task(process(settings, database, storage, attachment_id))
    await _until_film_is_written(settings)
    attachment, _ = await _get(database, attachment_id)
    async with database.transaction() as db:
        # Another test's film of the same bytes may name the same original.
        others = (Attachment.source_key == attachment.source_key, Attachment.id != attachment_id)
        await db.execute(update(Attachment).where(*others).values(source_key="-"))
        await detach(db, [attachment_id])
    assert await task is None
    assert await _stored(storage, attachment.public_id) == {}
    assert await process(settings, database, storage, attachment_id) is None
    async with database.read() as reader:
        query = text("select id, payload from jobs where kind = 'media.delete_objects' order by id desc limit 1")
        row = (await reader.execute(query)).one()
    assert row.payload == {"keys": [attachment.source_key]}
    context = type("Context", (), {"storage": storage, "database": database})
    for _ in range(2):
        await DELETE_OBJECTS.run(context, [Claimed(row.id, "media.delete_objects", row.payload, 1, 0, 1)])
    assert await storage.stat(attachment.source_key) is None


WORKER = """
import asyncio, sys
from strvsocial.db import Database
from strvsocial.media.processing import process
from strvsocial.settings import Settings
from strvsocial.storage import open_storage
async def main():
    settings = Settings()
    async with open_storage(settings) as storage:
        await process(settings, Database(settings), storage, int(sys.argv[1]))
asyncio.run(main())
"""


async def test_a_worker_killed_in_the_middle_is_made_good(
    settings: Settings, database: Database, storage: Storage, attach: Attach, film: Film,
) -> None:  # fmt: skip
    attachment_id = await attach(film("slow.mkv", *SLOW), "video")
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(attachment_id), env={**os.environ, "PYTHONPATH": "src"}
    )
    await _until_film_is_written(settings)
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    attachment, renditions = await _get(database, attachment_id)
    assert (attachment.status, renditions) == ("processing", [])
    assert await process(settings, database, storage, attachment_id) == "video"
    attachment, renditions = await _get(database, attachment_id)
    assert attachment.status == "ready"
    made = {one.key: one.byte_size for one in renditions if one.state == "ready"}
    assert made == await _stored(storage, attachment.public_id)
    assert not list((settings.data_dir / "tmp").iterdir())


async def _until_film_is_written(settings: Settings) -> None:
    async with asyncio.timeout(30):
        while not any(path.stat().st_size for path in (settings.data_dir / "tmp").glob("media-*/play.mp4")):
            await asyncio.sleep(0.05)
