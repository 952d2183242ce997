"""Files with a few wrong bytes, two hundred of each format: shown or refused, never an escape, a hang or a dead worker.

`STRV_TEST_MUTANTS` changes how many; the seed is the format's name, so that a bad one can be made again by its number.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
import pyvips

from strvsocial.media.failures import CannotDecode
from strvsocial.media.processing import make
from strvsocial.media.sandbox import find_ffmpeg, private_folder
from strvsocial.settings import ROOT, Settings

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

MUTANTS = int(os.environ.get("STRV_TEST_MUTANTS", "200"))
SECONDS = 60.0
"""No mutant of a file of a second may take longer."""
MEMORY = 1_500_000_000
"""Bytes that one child may hold."""
RESULTS = ROOT / "bench" / "results" / "mutants.json"
BARS = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "png": ("image", ()),
    "jpg": ("image", ()),
    "webp": ("image", ()),
    "avif": ("image", ()),
    "tiff": ("image", ()),
    "gif": ("gif", (*BARS,)),
    "apng": ("image", (*BARS, "-plays", "0", "-f", "apng")),
    "mp4": ("video", (*BARS, *TONE, *X264, "-c:a", "aac")),
    "mov": ("video", (*BARS, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")),
    "webm": ("video", (*BARS, *TONE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus")),
    "mkv": ("video", (*BARS, *TONE, "-c:v", "libvpx", "-c:a", "libvorbis")),
    "mp3": ("audio", (*TONE,)),
    "ogg": ("audio", (*TONE, "-c:a", "libvorbis")),
    "flac": ("audio", (*TONE,)),
    "wav": ("audio", (*TONE,)),
    "aiff": ("audio", (*TONE,)),
    "m4a": ("audio", (*TONE, "-c:a", "aac")),
}


def sample(folder: Path, name: str) -> bytes:
    path = folder / f"sample.{name}"
    kind, arguments = FORMATS[name]
    if arguments:
        command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
        subprocess.run(command, check=True, timeout=60)
    else:
        assert kind == "image"
        x = pyvips.Image.xyz(96, 64)
        picture = x[0].bandjoin([x[1], x[0] + x[1]]).cast("uchar").copy(interpretation="srgb")
        picture.write_to_file(str(path))
    return path.read_bytes()


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, and now and then a piece taken out, doubled, or the end cut off."""
    mutant = bytearray(content)
    for _ in range(chance.choice((1, 3, 10, max(4, len(mutant) // 100)))):
        mutant[chance.randrange(len(mutant))] = chance.randrange(256)
    place, length = chance.randrange(len(mutant)), chance.randrange(1, max(2, len(mutant) // 10))
    match chance.randrange(6):
        case 0:
            del mutant[place : place + length]
        case 1:
            mutant[place:place] = mutant[place : place + length]
        case 2:
            del mutant[max(1, place) :]
        case 3:
            mutant[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
    return bytes(mutant)


class Watch:
    """The most memory that a child held, and whether somebody called."""

    def __init__(self) -> None:
        self.most_memory = 0
        self.calls = 0

    async def look(self) -> None:
        me = psutil.Process()
        while True:
            for child in me.children(recursive=True):
                try:
                    self.most_memory = max(self.most_memory, child.memory_info().rss)
                except psutil.Error:
                    continue
            await asyncio.sleep(0.1)

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        writer.close()


@pytest_asyncio.fixture
async def watch() -> AsyncIterator[Watch]:
    watch = Watch()
    servers = [await asyncio.start_server(watch.answer, "127.0.0.1", port) for port in (0, 0)]
    task = asyncio.create_task(watch.look())
    yield watch
    task.cancel()
    for server in servers:
        server.close()


@pytest.mark.parametrize("name", FORMATS)
async def test_mutants(settings: Settings, tmp_path: Path, watch: Watch, name: str) -> None:
    content, chance = sample(tmp_path, name), random.Random(name)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(MUTANTS):
        mutant = mutate(content, chance)
        async with private_folder(tmp_path / "work") as folder:
            (folder / "source").write_bytes(mutant)
            began = time.monotonic()
            try:
                outcomes[(await make(settings, folder, FORMATS[name][0], lambda _: None)).kind] += 1
            except CannotDecode:
                outcomes["refused"] += 1
            except Exception as error:  # What a job would try again is no answer to a file that stays as it is.
                raise AssertionError(f"mutant {number} of {name}: {error!r}") from error
            took = time.monotonic() - began
            assert took < SECONDS, f"mutant {number} of {name} took {took:.0f} s"
            slowest = max(slowest, took)
    assert psutil.Process().children(recursive=True) == []
    assert list((tmp_path / "work").iterdir()) == []
    assert watch.calls == 0
    assert watch.most_memory < MEMORY
    _note(name, {"outcomes": outcomes, "slowest_seconds": round(slowest, 1), "most_memory": watch.most_memory})


def _note(name: str, row: dict[str, object]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**known, name: {"mutants": MUTANTS, **row}}, indent=2) + "\n")
