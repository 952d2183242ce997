"""Real media and a real worker, for what must hold from the front door to the last byte."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site, outcome

from strvsocial import worker
from strvsocial.live import Listener, News
from strvsocial.media.sandbox import find_ffmpeg

SOURCES = {
    "image": ("picture.png", ["-f", "lavfi", "-i", "testsrc=size=320x240", "-frames:v", "1"]),
    "gif": ("loop.gif", ["-f", "lavfi", "-i", "testsrc=size=160x120:duration=1:rate=5"]),
    "audio": ("tone.wav", ["-f", "lavfi", "-i", "sine=duration=1"]),
    "video": (
        "film.mp4",
        ["-f", "lavfi", "-i", "testsrc=size=160x120:duration=1:rate=10", "-f", "lavfi", "-i", "sine=duration=1"],
    ),
}


@pytest.fixture(scope="session")
def media_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of each kind, as ffmpeg makes it."""
    folder, made = tmp_path_factory.mktemp("media"), {}
    for kind, (name, arguments) in SOURCES.items():
        command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True, timeout=60)
        made[kind] = Path(folder / name).read_bytes()
    return made


class Worker:
    """A worker that has begun, and what it tells people."""

    def __init__(self, context: worker.Context) -> None:
        self.context = context

    @asynccontextmanager
    async def news_for(self, member: Member) -> AsyncIterator[asyncio.Queue[News]]:
        """What the member hears while this is open."""
        listener = Listener(self.context.settings.direct_url)
        listening = asyncio.Event()
        listener.on_vectors = listening.set
        listener.start()
        try:
            await listening.wait()
            async with listener.subscribe(member.id) as queue:
                yield queue
        finally:
            await listener.aclose()

    async def settle(self, member: Member, queue: asyncio.Queue[News], posts: int = 1) -> list[News]:
        """The news of so many posts of the member that became ready or failed."""
        for lane in self.context.lanes.values():
            lane.ring()
        async with asyncio.timeout(120):
            return [await outcome(queue) for _ in range(posts)]

    async def publish(self, member: Member, files: list[tuple[str, bytes]], **fields: Any) -> dict[str, Any]:
        """A post with these files, once it has failed or is ready and nothing more is made of its files."""
        async with self.news_for(member) as queue:
            sent = [("file", (name, content)) for name, content in files]
            answer = await member.api("POST", "/posts", data={"title": "A post", **fields}, files=sent)
            assert answer.status_code == 201, answer.text
            while True:
                await self.settle(member, queue)
                post = dict((await member.api("GET", f"/posts/{answer.json()['id']}")).json())
                if "rendition" not in post["pending"]:
                    return post


@pytest_asyncio.fixture
async def working(site: Site) -> AsyncIterator[Worker]:
    """A worker with nothing left to do from other tests."""
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, site.settings)
        async with context.database.transaction() as db:
            await db.execute(text("delete from jobs"))
        worker.start_lanes(stack, context, {"quick": 2, "long": 1}, worker.WORKER_HANDLERS)
        yield Worker(context)
