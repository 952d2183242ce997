"""Files with a few wrong bytes, two hundred of each format: shown or refused, never an escape, a hang or a dead worker.

Each is made whole: films with their previews and sizes, sounds in all their codecs.

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
from contextlib import suppress
from pathlib import Path

import pillow_heif
import psutil
import pytest
import pytest_asyncio
import pyvips
from PIL import Image

from strvsocial.db import Database
from strvsocial.media.failures import CannotDecode
from strvsocial.media.finishing import finish_at_once
from strvsocial.media.processing import make
from strvsocial.media.sandbox import find_ffmpeg, private_folder
from strvsocial.settings import ROOT, Settings
from strvsocial.storage import Storage, open_storage

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

MUTANTS = int(os.environ.get("STRV_TEST_MUTANTS", "200"))
SECONDS = 60.0
"""No mutant of a file of a second may take longer."""
MEMORY = 1_500_000_000
"""Bytes that one child may hold."""
SERVERS = ("postgres", "valkey-server", "redis-server")
RESULTS = ROOT / "bench" / "results" / "mutants.json"
BARS = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
LONG = ("-f", "lavfi", "-i", "testsrc2=size=512x288:rate=2:duration=11")
"""Long and large enough for a ladder."""
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
    "heic": ("image", ()),
    "moving.webp": ("gif", (*BARS, "-c:v", "libwebp_anim", "-loop", "0")),
    "3gp": ("video", ("-f", "lavfi", "-i", "testsrc2=size=176x144:rate=10:duration=1", "-c:v", "mpeg4")),
    "av1.mp4": ("video", (*BARS, "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1")),
    "mjpeg.mov": ("video", (*BARS, *TONE, "-c:v", "mjpeg", "-c:a", "pcm_s16be")),
    "surround.mkv": ("video", (*BARS, *TONE, *X264, "-ac", "6", "-c:a", "ac3")),
    "ladder.mp4": ("video", (*LONG, *X264)),
    "ladder.webm": ("video", (*LONG, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")),
    "opus": ("audio", (*TONE, "-c:a", "libopus")),
    "sound.webm": ("audio", (*TONE, "-c:a", "libopus")),
    "mka": ("audio", (*TONE, "-c:a", "vorbis", "-strict", "-2", "-ac", "2")),
    "aac": ("audio", (*TONE, "-c:a", "aac", "-f", "adts")),
    "alac.m4a": ("audio", (*TONE, "-c:a", "alac")),
    "sound.mov": ("audio", (*TONE, "-c:a", "pcm_s24be")),
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
        if name == "heic":
            pillow_heif.from_pillow(Image.fromarray(picture.numpy())).save(path)
        else:
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


def decoders() -> list[psutil.Process]:
    """What runs below this process, but for the servers of the tests."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # It may end while it is asked.
            if child.is_running() and child.name() not in SERVERS:
                found.append(child)
    return found


class Watch:
    """The most memory that a decoder held, and whether one had a connection to anywhere."""

    def __init__(self) -> None:
        self.most_memory = 0
        self.connections: list[str] = []

    async def look(self) -> None:
        while True:
            for child in decoders():
                try:
                    self.most_memory = max(self.most_memory, child.memory_info().rss)
                    self.connections += [str(one) for one in child.net_connections("inet")]
                except psutil.Error:
                    continue
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def watch() -> AsyncIterator[Watch]:
    watch = Watch()
    task = asyncio.create_task(watch.look())
    yield watch
    assert not task.done(), task
    task.cancel()


@pytest_asyncio.fixture(scope="module")
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as storage:
        yield storage


@pytest.mark.parametrize("name", FORMATS)
async def test_mutants(
    settings: Settings, database: Database, storage: Storage, tmp_path: Path, watch: Watch, name: str
) -> None:
    content, chance = sample(tmp_path, name), random.Random(name)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(MUTANTS):
        mutant = mutate(content, chance)
        async with private_folder(tmp_path / "work") as folder:
            (folder / "source").write_bytes(mutant)
            began = time.monotonic()
            try:
                made = await make(settings, folder, FORMATS[name][0], lambda _: None)
                if made.wanted:
                    await finish_at_once(settings, database, storage, made, folder)
                outcomes[made.kind] += 1
            except CannotDecode:
                outcomes["refused"] += 1
            except Exception as error:  # What a job would try again is no answer to a file that stays as it is.
                raise AssertionError(f"mutant {number} of {name}: {error!r}") from error
            took = time.monotonic() - began
            assert took < SECONDS, f"mutant {number} of {name} took {took:.0f} s"
            slowest = max(slowest, took)
    assert decoders() == []
    assert list((tmp_path / "work").iterdir()) == []
    assert watch.connections == []
    assert watch.most_memory < MEMORY
    _note(name, {"outcomes": outcomes, "slowest_seconds": round(slowest, 1), "most_memory": watch.most_memory})


def _note(name: str, row: dict[str, object]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**known, name: {"mutants": MUTANTS, **row}}, indent=2) + "\n")
