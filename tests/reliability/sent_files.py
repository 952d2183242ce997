"""Real small files of every kind, made on the spot, and one large film for uploads that are cut off."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pyvips

from strvsocial.media.sandbox import find_ffmpeg


@dataclass(frozen=True)
class SentFile:
    name: str
    mime: str
    data: bytes = field(repr=False)
    sha256: bytes


def make_files(folder: Path, large_bytes: int) -> dict[str, SentFile]:
    """A file for each kind, and a `large` film of about `large_bytes` that costs no more to process than a small one."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = pyvips.Image.gaussnoise(1200, 900, mean=128, sigma=40).cast("uchar")
    noise.bandjoin([noise.rot180(), noise.fliphor()]).copy(interpretation="srgb").jpegsave(str(folder / "a.jpg"), Q=85)
    _ffmpeg(folder / "a.gif", "-f", "lavfi", "-i", "testsrc=d=1.5:s=240x180:r=8")
    _ffmpeg(folder / "a.mp3", "-f", "lavfi", "-i", "sine=f=330:d=3", "-b:a", "64k")
    film = ("-f", "lavfi", "-i", "testsrc2=d=3:s=426x240:r=20", "-f", "lavfi", "-i", "sine=f=220:d=3")
    _ffmpeg(folder / "a.mp4", *film, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-shortest")
    padding = secrets.token_bytes(large_bytes)
    # A box of the kind `free`: players pass over it.
    large = (folder / "a.mp4").read_bytes() + (len(padding) + 8).to_bytes(4, "big") + b"free" + padding
    return {
        "image": _sent("picture.jpg", "image/jpeg", (folder / "a.jpg").read_bytes()),
        "gif": _sent("moving.gif", "image/gif", (folder / "a.gif").read_bytes()),
        "audio": _sent("sound.mp3", "audio/mpeg", (folder / "a.mp3").read_bytes()),
        "video": _sent("film.mp4", "video/mp4", (folder / "a.mp4").read_bytes()),
        "large": _sent("long film.mp4", "video/mp4", large),
    }


def _sent(name: str, mime: str, data: bytes) -> SentFile:
    return SentFile(name, mime, data, hashlib.sha256(data).digest())


def _ffmpeg(path: Path, *arguments: str) -> None:
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
