"""Work on a film that is taken up again begins where it stopped: what is recorded is not made again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from tests.media.test_processing import attach

from strvsocial.db import Database
from strvsocial.media.finishing import finish
from strvsocial.media.ladder import SOUND
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.previews import PREVIEW, STORYBOARD
from strvsocial.media.processing import process
from strvsocial.media.video import PLAY
from strvsocial.settings import Settings
from strvsocial.storage import Storage

__all__ = ["attach"]

Film = Callable[..., Path]
Attach = Callable[[Path, str], Any]
LARGE = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=20:duration=11", "-f", "lavfi", "-i", "sine=duration=11",
         "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")  # fmt: skip

WORKER = """
import asyncio, sys
from strvsocial.db import Database
from strvsocial.media.finishing import finish
from strvsocial.settings import Settings
from strvsocial.storage import open_storage
async def main():
    settings = Settings()
    async with open_storage(settings) as storage:
        await finish(settings, Database(settings), storage, int(sys.argv[1]))
asyncio.run(main())
"""


async def _rows(database: Database, attachment_id: int) -> dict[str, tuple[str, Any]]:
    """State and time of each rendition."""
    async with database.read() as reader:
        wanted = select(Rendition.name, Rendition.state, Rendition.created_at).where(
            Rendition.attachment_id == attachment_id
        )
        return {row.name: (row.state, row.created_at) for row in await reader.execute(wanted)}


async def test_a_killed_run_loses_one_step(
    settings: Settings, database: Database, storage: Storage, attach: Attach, film: Film
) -> None:
    attachment_id = await attach(film("large.mp4", *LARGE), "video")
    await process(settings, database, storage, attachment_id)
    first = await _rows(database, attachment_id)
    assert {name for name, (state, _) in first.items() if state == "wanted"} == {
        STORYBOARD, PREVIEW, SOUND, "h240.mp4", "h480.mp4", "h720.mp4",
    }  # fmt: skip
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(attachment_id), env={**os.environ, "PYTHONPATH": "src"}
    )
    async with asyncio.timeout(120):
        while not any(path.stat().st_size for path in (settings.data_dir / "tmp").glob("media-*/h720.mp4")):
            await asyncio.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    killed = await _rows(database, attachment_id)
    assert {killed[name][0] for name in (STORYBOARD, PREVIEW, SOUND)} == {"ready"}
    assert {killed[name][0] for name in ("h240.mp4", "h480.mp4", "h720.mp4")} == {"wanted"}

    await finish(settings, database, storage, attachment_id)
    done = await _rows(database, attachment_id)
    assert {state for state, _ in done.values()} == {"ready"}
    for name, (state, at) in killed.items():
        assert state == "wanted" or done[name][1] == at, name
    async with database.read() as reader:
        public_id = await reader.scalar(select(Attachment.public_id).where(Attachment.id == attachment_id))
        keys = set(await reader.scalars(select(Rendition.key).where(Rendition.attachment_id == attachment_id)))
    stored = set[str]()
    for prefix in ("media", "work"):
        stored |= {one.key async for one in storage.list(f"{prefix}/{public_id}/")}
    assert stored == keys
    assert not list((settings.data_dir / "tmp").iterdir())


async def test_the_whole_film_is_joined_from_a_size_that_was_made_before(
    settings: Settings, database: Database, storage: Storage, attach: Attach, film: Film
) -> None:
    source = film("small.webm", "-f", "lavfi", "-i", "testsrc2=size=480x320:rate=5:duration=11", "-c:v", "libvpx")
    attachment_id = await attach(source, "video")
    await process(settings, database, storage, attachment_id)
    await finish(settings, database, storage, attachment_id)
    before = await _rows(database, attachment_id)
    async with database.transaction() as db:
        whole = update(Rendition).where(Rendition.attachment_id == attachment_id, Rendition.name == PLAY)
        await db.execute(whole.values(state="wanted", byte_size=0, created_at=func.now()))
    await finish(settings, database, storage, attachment_id)
    after = await _rows(database, attachment_id)
    assert after[PLAY][0] == "ready"
    assert {name for name in after if after[name] != before[name]} == {PLAY}
