"""Files made to escape end in a refusal: nothing outside is read, nobody is called. Broken ones never break the worker."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.media import hostile_files
from tests.media.hostile_files import BARS, ELSEWHERE, ESCAPES, SECRET, TONE, X264, Bait, ffmpeg

from strvsocial.media.failures import CannotDecode
from strvsocial.media.ffmpeg import read_source
from strvsocial.media.previews import make_preview, make_storyboard
from strvsocial.media.processing import make
from strvsocial.media.sandbox import DecoderFailed, Limits, Refused, find_ffmpeg, run_ffmpeg
from strvsocial.media.stills import take_stills
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]
KINDS = ("image", "video")
"""GIFs are opened as pictures first, sound is probed as film is."""
GOOD_BAIT = ["hls-beside", "hls-file", "ffconcat", "magicyuv.avi", ELSEWHERE]
"""What ffmpeg reads when nothing holds it back."""


def made_in(folder: Path) -> list[str]:
    """What lies in the folder with something in it, but for the hostile file and its bait."""
    given = ("source", SECRET, "whole.mov")
    return [path.name for path in folder.iterdir() if not path.name.startswith(given) and path.stat().st_size]


@pytest_asyncio.fixture
async def called() -> AsyncIterator[list[int]]:
    """A server's port, then a 1 for everybody who called."""
    called: list[int] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    called.append(server.sockets[0].getsockname()[1])
    yield called
    server.close()


@pytest.fixture
def bait(called: list[int], film: Film) -> Bait:
    return Bait(film(SECRET, *BARS, *X264), called[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ESCAPES)
async def test_a_hostile_file_is_refused(
    settings: Settings, folder: Path, bait: Bait, called: list[int], name: str, kind: str
) -> None:
    hostile_files.write(name, bait, folder / "source")
    with pytest.raises(CannotDecode):
        await make(settings, folder, kind, lambda _: None)
    assert len(called) == 1
    assert not made_in(folder)


@pytest.mark.parametrize("name", ESCAPES)
async def test_ffmpeg_alone_refuses_it_too(folder: Path, bait: Bait, called: list[int], name: str) -> None:
    """The probe stands before ffmpeg, but ffmpeg must not depend on it, nor on the name that we give to files."""
    source = folder / ("source.m3u8" if name.startswith("hls") else "source")
    hostile_files.write(name, bait, source)
    with pytest.raises(Refused):
        await run_ffmpeg([*read_source(source.name), "-f", "mp4", "file:play.mp4"], folder, Limits(wall=20))
    assert len(called) == 1


@pytest.mark.parametrize("name", GOOD_BAIT)
async def test_each_of_those_who_look_into_films_refuses_it_too(
    settings: Settings, folder: Path, bait: Bait, called: list[int], name: str
) -> None:
    source = folder / ("source.m3u8" if name.startswith("hls") else "source")
    hostile_files.write(name, bait, source)
    ways: list[Callable[[], Awaitable[Any]]] = [
        lambda: take_stills(folder, source.name, 4, 1),
        lambda: make_storyboard(folder, source.name, 1),
        lambda: make_preview(settings, folder, source.name, (64, 64), 1),
    ]
    for way in ways:
        with pytest.raises(DecoderFailed):
            await way()
    assert len(called) == 1
    assert not made_in(folder)


@pytest.mark.parametrize("name", GOOD_BAIT)
def test_without_walls_it_would_be_read(folder: Path, bait: Bait, name: str) -> None:
    """Else the refusals would show nothing."""
    source = folder / ("source.m3u8" if name.startswith("hls") else "source")
    hostile_files.write(name, bait, source)
    trusting = ["-enable_drefs", "1"] if name == ELSEWHERE else []
    command = [find_ffmpeg(), "-v", "error", *trusting, "-i", source.name, "-f", "mp4", "read.mp4"]
    subprocess.run(command, check=True, cwd=folder, timeout=60, capture_output=True)
    assert (folder / "read.mp4").stat().st_size > 1000


async def test_a_cover_that_is_an_address_is_not_fetched(
    settings: Settings, folder: Path, called: list[int], tmp_path: Path
) -> None:
    """ID3v2.4, 4.14: a picture of the type `-->` is a link to one."""
    picture = b"\x00-->\x00\x03\x00" + f"http://127.0.0.1:{called[0]}/cover.jpg".encode()
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame
    (folder / "source").write_bytes(tag + ffmpeg(tmp_path / "tone.mp3", *TONE, "-id3v2_version", "0"))
    assert (await make(settings, folder, "audio", lambda _: None)).kind == "audio"
    assert len(called) == 1


async def test_what_a_film_carries_beside_pictures_and_sound_stays_behind(
    settings: Settings, folder: Path, tmp_path: Path
) -> None:
    """Subtitles, fonts, chapters, other attachments: nothing of them is opened or served."""
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nsubtitle-word\n")
    font = tmp_path / "font.ttf"
    font.write_bytes(b"attachment-word" * 10)
    more = ("-i", str(words), "-c:s", "ass", "-attach", str(font), "-metadata:s:t", "mimetype=application/x-font")
    content = ffmpeg(tmp_path / "more.mkv", *BARS, *more, *X264, "-metadata", "title=title-word")
    carried = (b"subtitle-word", b"attachment-word", b"title-word")
    assert all(word in content for word in carried)
    (folder / "source").write_bytes(content)
    await make(settings, folder, "video", lambda _: None)
    served = (folder / "play.mp4").read_bytes()
    assert not [word for word in carried if word in served]


async def test_a_film_of_huge_frames_is_refused(settings: Settings, put: Put, film: Film) -> None:
    source = film("huge.mp4", "-f", "lavfi", "-i", "color=black:size=10240x8192:rate=1:duration=1", "-c:v", "mjpeg")
    with pytest.raises(CannotDecode):
        await make(settings, put(source), "video", lambda _: None)


@pytest.mark.parametrize("tail", [b"PK\x03\x04 a zip behind", b"<script>alert(1)</script>"])
async def test_what_follows_a_film_is_not_served(settings: Settings, folder: Path, film: Film, tail: bytes) -> None:
    source = film("tail.mp4", *BARS, *X264)
    (folder / "source").write_bytes(source.read_bytes() + tail)
    await make(settings, folder, "video", lambda _: None)
    assert tail not in (folder / "play.mp4").read_bytes()


MUTATED = {
    "tail.mp4": ("video", (*BARS, *X264)),
    "mutated.gif": ("gif", BARS),
    "mutated.webm": ("video", (*BARS, "-c:v", "libvpx")),
    "mutated.mp3": ("audio", TONE),
}


@pytest.mark.parametrize("name", MUTATED)
async def test_mutated_files_are_shown_or_refused_but_never_break_the_worker(
    settings: Settings, folder: Path, film: Film, name: str
) -> None:
    kind, arguments = MUTATED[name]
    content = film(name, *arguments).read_bytes()
    chance = random.Random(name)
    outcomes = set()
    for _ in range(6):
        mutant = bytearray(content)
        for _ in range(max(4, len(mutant) // 200)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        for left in os.listdir(folder):
            os.unlink(folder / left)
        (folder / "source").write_bytes(mutant)
        try:
            outcomes.add((await make(settings, folder, kind, lambda _: None)).kind)
        except CannotDecode:
            outcomes.add("refused")
    assert outcomes
