"""What runs in the sandbox sees nothing, reaches nobody, and never outlives its limits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from strvsocial import worker
from strvsocial.db import Database
from strvsocial.jobs import Claimed, Handler, enqueue
from strvsocial.media import sandbox
from strvsocial.media.capabilities import capabilities
from strvsocial.media.sandbox import Crashed, Limits, TimedOut, private_folder, run_child
from strvsocial.settings import Settings

BY_SESSIONS = Path("/proc/self/autogroup").exists()
"""Whether the kernel can share the processors out by sessions."""


@pytest.fixture
def poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Lets a child of the test's own making run in the place of a decoder."""
    children = tmp_path / "children"
    children.mkdir()
    launcher = sandbox.CHILDREN / "launch.py"
    (children / "launch.py").write_bytes(launcher.read_bytes())
    monkeypatch.setattr(sandbox, "CHILDREN", children)
    return lambda program: (children / "poison.py").write_text(program)


async def test_a_child_sees_and_reaches_nothing(wall: str, folder: Path, tmp_path: Path) -> None:
    os.environ["STRV_TEST_SECRET"] = "secret"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    connections = []
    server = await asyncio.start_server(lambda reader, writer: connections.append(writer), "127.0.0.1", 0)
    (folder / "source").write_bytes(b"x")
    try:
        port = server.sockets[0].getsockname()[1]
        request = {"file": str(secret), "port": port, "pid": os.getpid()}
        seen = await run_child("look_around", request, folder, Limits(wall=20, memory=3 << 30))
    finally:
        server.close()
        del os.environ["STRV_TEST_SECRET"]
    assert not seen["reads_files"]
    assert not seen["writes_files"]
    assert not seen["connects"]
    assert not connections
    assert not seen["sees_processes"]
    assert seen["folder"] == ["source"]
    assert set(seen["environment"]) <= {"PATH", "LANG", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LC_CTYPE", "PWD"}
    assert (seen["core"], seen["memory"]) == (0, 3 << 30)
    assert seen["nice"] >= 5


async def test_what_holds_is_found_by_trying(wall: str) -> None:
    found = await capabilities()
    assert found.no_network is found.no_other_files is found.no_other_processes is True
    assert found.wall == ("bubblewrap" if wall == "bubblewrap" else "namespaces and Landlock")


async def test_a_child_that_never_ends_is_killed_with_its_children(
    wall: str, folder: Path, poison: Callable[[str], object]
) -> None:
    poison("import os, time\nif os.fork() == 0: os.setsid()\nwhile True: time.sleep(1)")
    started = time.monotonic()
    with pytest.raises(TimedOut, match="after 1 seconds"):
        await run_child("poison", {}, folder, Limits(wall=1))
    assert time.monotonic() - started < 5
    assert not _running_in(folder)


async def test_a_child_that_loops_is_stopped_by_its_processor_limit(
    wall: str, folder: Path, poison: Callable[[str], object]
) -> None:
    poison("while True: pass")
    with pytest.raises(Crashed) as crash:
        await run_child("poison", {}, folder, Limits(wall=30, cpu=1))
    assert crash.value.by_file


@pytest.mark.parametrize(
    ("program", "by_file"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", True),
        ("import ctypes; ctypes.string_at(0)", True),
        ("raise SystemExit(3)", False),
        ("open('big', 'wb').write(bytes(3_000_000))", False),
    ],
)
async def test_a_child_that_falls_over_is_told_from_a_refusal(
    wall: str, folder: Path, poison: Callable[[str], object], program: str, by_file: bool
) -> None:
    poison(program)
    with pytest.raises(Crashed) as crash:
        await run_child("poison", {}, folder, Limits(wall=20, file_size=1_000_000))
    assert crash.value.by_file is by_file


async def test_memory_and_output_are_bounded(wall: str, folder: Path, poison: Callable[[str], object]) -> None:
    poison("import sys; sys.stderr.write('y' * 100_000); bytes(2 << 30)")
    with pytest.raises(Crashed, match="status 1") as crash:
        await run_child("poison", {}, folder, Limits(wall=20, memory=1 << 30))
    assert "MemoryError" in crash.value.log
    assert len(crash.value.log) <= sandbox.STDERR_BYTES
    poison("while True: print('z' * 60_000)")
    with pytest.raises(Crashed, match="SIGKILL"):
        await run_child("poison", {}, folder, Limits(wall=20))
    assert not _running_in(folder)


async def test_cancelling_kills_the_child(wall: str, folder: Path, poison: Callable[[str], object]) -> None:
    poison("import time\nopen('begun', 'w').close()\nwhile True: time.sleep(1)")
    task = asyncio.create_task(run_child("poison", {}, folder, Limits(wall=60)))
    async with asyncio.timeout(10):
        while not (folder / "begun").exists():
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _running_in(folder)


WORKER = """
import asyncio, sys
from pathlib import Path
from strvsocial.media import sandbox, walls
sandbox.CHILDREN = Path(sys.argv[1])
walls._bubblewrap = None if sys.argv[3] == "bubblewrap" else ""
async def main():
    async with sandbox.private_folder(Path(sys.argv[2])) as folder:
        await sandbox.run_child("poison", {}, folder, sandbox.Limits(wall=60))
asyncio.run(main())
"""


async def test_a_killed_worker_takes_its_decoders_along(
    wall: str, tmp_path: Path, poison: Callable[[str], object]
) -> None:
    poison("import time\nopen('begun', 'w').close()\nwhile True: time.sleep(1)")
    parent = tmp_path / "killed"
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(sandbox.CHILDREN), str(parent), wall
    )
    async with asyncio.timeout(15):
        while not list(parent.glob("media-*/begun")):
            await asyncio.sleep(0.05)
        left = next(parent.glob("media-*"))
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        while _running_in(left):
            await asyncio.sleep(0.05)
    assert left.exists()
    async with private_folder(parent) as folder:
        assert list(parent.iterdir()) == [folder]
        assert folder.stat().st_mode & 0o777 == 0o700
        async with private_folder(parent) as other:
            assert sorted(parent.iterdir()) == sorted([folder, other])
    assert not list(parent.iterdir())


async def test_decoders_stand_back_by_their_lane(
    wall: str, settings: Settings, database: Database, tmp_path: Path, poison: Callable[[str], object]
) -> None:
    """What the kernel says of the real children of a quick lane and of a ladder's."""
    poison("import time\nopen('begun', 'w').close()\nwhile True: time.sleep(1)")

    async def run(_: Any, jobs: list[Claimed]) -> None:
        async with private_folder(tmp_path / jobs[0].payload["lane"]) as folder:
            await run_child("poison", {}, folder, Limits(wall=60))

    quiet = settings.model_copy(update={"decoder_niceness": 12})
    async with AsyncExitStack() as stack:
        context = await worker.open_context(stack, quiet)
        async with database.transaction() as db:
            for queue in ("quick", "ladder"):
                await enqueue(db, f"test.{queue}", {"lane": queue}, queue=queue)
        handlers = {f"test.{queue}": Handler(queue, run) for queue in ("quick", "ladder")}
        worker.start_lanes(stack, context, {"quick": 1, "ladder": 1}, handlers)
        async with asyncio.timeout(20):
            for queue in ("quick", "ladder"):
                while not (begun := list((tmp_path / queue).glob("media-*/begun"))):
                    await asyncio.sleep(0.02)
                wanted = 12 if queue == "ladder" else 6
                own, session = min(19, os.nice(0) + wanted), wanted if BY_SESSIONS else None
                while _niceness_in(begun[0].parent) != {(own, session)}:  # The session follows its process in a moment.
                    await asyncio.sleep(0.02)


def _niceness_in(folder: Path) -> set[tuple[int, int | None]]:
    """Of the processes in the folder, each with its session's where the kernel shares the processors out by sessions."""
    found: set[tuple[int, int | None]] = set()
    for pid in _running_in(folder):
        own = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])
        session = Path(f"/proc/{pid}/autogroup").read_text().split()[-1] if BY_SESSIONS else None
        found.add((own, None if session is None else int(session)))
    return found


def _running_in(folder: Path) -> list[int]:
    """Processes whose working directory is the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
