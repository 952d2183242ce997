"""Files made to escape: they end in a refusal, nothing outside is read, nobody is called."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from strvsocial.media.failures import CannotDecode
from strvsocial.media.ffmpeg import read_source
from strvsocial.media.processing import make
from strvsocial.media.sandbox import Limits, Refused, run_ffmpeg
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]
KINDS = ("image", "video")
"""GIFs are opened as pictures first, sound is probed as film is."""
ESCAPES = [
    "hls-file", "hls-text", "hls-http", "ffconcat", "ffconcat-absolute", "dash", "sdp", "svg", "svg-http", "html", "zip", "script", "ffmetadata",
    "magicyuv.avi", "magicyuv.mkv", "ffv1.mkv", "noise",
]  # fmt: skip


class Trap:
    """A server that notes every connection, and a film that a playlist would like to read."""

    def __init__(self, port: int, film: Path) -> None:
        self.port = port
        self.film = film
        self.connections = 0


@pytest_asyncio.fixture
async def trap(film: Film) -> AsyncIterator[Trap]:
    secret = film("secret.ts", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", "-c:v", "libx264")

    async def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        laid.connections += 1
        writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    laid = Trap(server.sockets[0].getsockname()[1], secret)
    yield laid
    server.close()


def _playlist(address: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{address}\n#EXT-X-ENDLIST\n".encode()


def _write(name: str, trap: Trap, film: Film, source: Path) -> None:
    """Writes the hostile file `name` to `source`."""
    noise = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1")
    http = f"http://127.0.0.1:{trap.port}/x.ts"
    dash = f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{http}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    texts = {
        "hls-file": _playlist(f"file://{trap.film}"),
        "hls-text": _playlist("file:///etc/passwd"),
        "hls-http": _playlist(http),
        "ffconcat": f"ffconcat version 1.0\nfile {trap.film.name}\n".encode(),
        "ffconcat-absolute": f"ffconcat version 1.0\nfile {trap.film}\n".encode(),
        "dash": dash.encode(),
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>',
        "svg-http": f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="{http}"/></svg>'.encode(),
        "html": b"<!doctype html><script>alert(1)</script>" * 100,
        "zip": b"PK\x03\x04\x14\x00" + bytes(500) + b"PK\x05\x06" + bytes(18),
        "script": b"#!/bin/sh\ntouch /tmp/escaped\n",
        "ffmetadata": b";FFMETADATA1\ntitle=x\n",
        "noise": random.Random(1).randbytes(200_000),
    }
    if name.startswith("magicyuv"):
        source.write_bytes(film(name, *noise, "-c:v", "magicyuv", "-pix_fmt", "gbrp").read_bytes())
    elif name == "ffv1.mkv":
        source.write_bytes(film(name, *noise, "-c:v", "ffv1").read_bytes())
    else:
        source.write_bytes(texts[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ESCAPES)
async def test_a_hostile_file_is_refused(
    settings: Settings, folder: Path, trap: Trap, film: Film, name: str, kind: str
) -> None:
    _write(name, trap, film, folder / "source")
    with pytest.raises(CannotDecode):
        await make(settings, folder, kind, lambda _: None)
    assert trap.connections == 0
    assert not [left for left in os.listdir(folder) if left.startswith(("play", "w", "poster", "frames"))]


@pytest.mark.parametrize("name", ESCAPES)
async def test_ffmpeg_alone_refuses_it_too(folder: Path, trap: Trap, film: Film, name: str) -> None:
    """The probe stands before ffmpeg, but ffmpeg must not depend on it."""
    _write(name, trap, film, folder / "source")
    with pytest.raises(Refused):
        await run_ffmpeg([*read_source(), "-f", "mp4", "file:play.mp4"], folder, Limits(wall=20))
    assert trap.connections == 0


async def test_a_film_of_huge_frames_is_refused(settings: Settings, put: Put, film: Film) -> None:
    source = film("huge.mp4", "-f", "lavfi", "-i", "color=black:size=10240x8192:rate=1:duration=1", "-c:v", "mjpeg")
    with pytest.raises(CannotDecode):
        await make(settings, put(source), "video", lambda _: None)


@pytest.mark.parametrize("tail", [b"PK\x03\x04 a zip behind", b"<script>alert(1)</script>"])
async def test_what_follows_a_film_is_not_served(settings: Settings, folder: Path, film: Film, tail: bytes) -> None:
    source = film(
        "tail.mp4",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x64:rate=10:duration=1",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
    )
    (folder / "source").write_bytes(source.read_bytes() + tail)
    await make(settings, folder, "video", lambda _: None)
    assert tail not in (folder / "play.mp4").read_bytes()


@pytest.mark.parametrize("name", ["tail.mp4", "mutated.gif", "mutated.webm", "mutated.mp3"])
async def test_mutated_files_are_shown_or_refused_but_never_break_the_worker(
    settings: Settings, folder: Path, film: Film, name: str
) -> None:
    arguments = {
        "tail.mp4": (
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x64:rate=10:duration=1",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
        ),
        "mutated.gif": ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1"),
        "mutated.webm": ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", "-c:v", "libvpx"),
        "mutated.mp3": ("-f", "lavfi", "-i", "sine=duration=1"),
    }[name]
    content = film(name, *arguments).read_bytes()
    chance = random.Random(name)
    kind = {"mp4": "video", "webm": "video", "gif": "gif", "mp3": "audio"}[name.rpartition(".")[2]]
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
