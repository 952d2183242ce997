"""The ladder of a film: H.264 with AAC in several sizes, each a fragmented MP4 that HLS reads by byte ranges.

A rung is one file and its playlist, so storage holds two objects a size whatever the length of the film. Key frames lie
at the same times in all of them, so that players change the size between any two segments (RFC 8216, section 6.2.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from strvsocial.media.ffmpeg import WITHOUT_METADATA
from strvsocial.media.products import Product, size_of

RUNGS = (240, 480, 720, 1080)
LONG_SIDE = 1920
NEARLY = 1.2
"""A film that is less than this much larger than a rung gets no rung of its own size above it."""
MAX_BITRATES = {240: 400, 480: 1_200, 720: 2_800, 1080: 5_500}
"""Kilobits a second that a rung's pictures take at most, over two seconds."""
SOUND, SOUND_PLAYLIST = "sound.mp4", "sound.m3u8"
SOUND_BITRATE = 48_000
"""Bits a second, in mono: a voice is clear, and a line that carries it carries hardly any picture."""
AAC = "mp4a.40.2"
KEY_FRAME_SECONDS, SEGMENT_SECONDS = 2, 4
SHORT_SECONDS = 10.0
"""Films up to this length have one size: they are here before a player could choose."""

_EXTINF = re.compile(r"#EXTINF:([\d.]+),\n#EXT-X-BYTERANGE:(\d+)@")
_AVCC = re.compile(rb"avcC\x01(...)", re.DOTALL)


class Rung(NamedTuple):
    """One size of a film; `short` is its shorter side, by which people call it."""

    short: int
    width: int
    height: int

    @property
    def file(self) -> str:
        return f"h{self.short}.mp4"

    @property
    def playlist(self) -> str:
        return f"h{self.short}.m3u8"

    @property
    def bitrate(self) -> int:
        """Kilobits a second at most."""
        return next((most for size, most in MAX_BITRATES.items() if self.short <= size), MAX_BITRATES[1080])


def climb(width: int, height: int) -> list[Rung]:
    """The rungs of a film that is shown at this size, the lowest first; none is larger than the film."""
    short = min(width, height)
    sizes = [size for size in RUNGS if size <= short]
    if short < RUNGS[-1] and (not sizes or short >= NEARLY * sizes[-1]):
        sizes.append(short)
    rungs: dict[tuple[int, int], Rung] = {}
    for size in sizes:
        scale = min(1, size / short, LONG_SIDE / max(width, height))
        box = _even(width * scale), _even(height * scale)
        rungs.setdefault(box, Rung(size, *box))
    return list(rungs.values())


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)


def encode(rung: Rung) -> list[str]:
    """Output arguments of the pictures of a rung."""
    return [
        "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-crf", "23",
        "-maxrate", f"{rung.bitrate}k", "-bufsize", f"{2 * rung.bitrate}k", "-sc_threshold", "0",
        "-force_key_frames", f"expr:gte(t,n_forced*{KEY_FRAME_SECONDS})",
    ]  # fmt: skip


def segment(file: str, playlist: str) -> list[str]:
    """Output arguments of the file and the playlist of a rung. Frames keep their times, however far apart they lie.

    Where a stream begins is said by its fragments: an edit list that says it is heeded by some browsers only, and in the
    others a sound that begins late would be heard early.
    """
    return [
        "-fps_mode", "vfr", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_flags", "single_file+independent_segments",
        "-hls_segment_options", "movflags=+frag_discont",
        "-hls_playlist_type", "vod", "-hls_time", str(SEGMENT_SECONDS),
        "-hls_segment_filename", file, f"file:{playlist}",
    ]  # fmt: skip


def rung_products(folder: Path, rung: Rung, *, has_audio: bool) -> list[Product]:
    """What was made of a rung: its file, which knows what a master playlist says of it, and its playlist."""
    codecs = _codecs(folder / rung.file, has_audio)
    return _products(folder, Product(rung.file, "rung", rung.width, rung.height), rung.playlist, codecs)


def sound_arguments() -> list[str]:
    """Output arguments of the rung without pictures: what a line still carries that is too bad for any."""
    encode = ["-map", "0:a:0", "-c:a", "aac", "-aac_coder", "fast", "-b:a", str(SOUND_BITRATE), "-ac", "1"]
    return [*encode, *WITHOUT_METADATA, *segment(SOUND, SOUND_PLAYLIST)]


def sound_products(folder: Path) -> list[Product]:
    """What was made of the rung without pictures. It has no width and no height."""
    return _products(folder, Product(SOUND, "rung"), SOUND_PLAYLIST, AAC)


def _products(folder: Path, file: Product, name: str, codecs: str) -> list[Product]:
    playlist = (folder / name).read_text()
    segments = [(float(seconds), int(size)) for seconds, size in _EXTINF.findall(playlist)]
    seconds = sum(length for length, _ in segments) or 1.0
    peak = max((8 * size / length for length, size in segments if length), default=0.0)
    details: dict[str, Any] = {"bandwidth": round(peak), "codecs": codecs, "playlist": name}
    details["seconds"] = round(seconds, 3)
    bitrate = round(8 * size_of(folder, file.name) / seconds)
    return [replace(file, bitrate=bitrate, details=details), Product(name, "playlist")]


def _codecs(path: Path, has_audio: bool) -> str:
    """As RFC 6381 writes them: profile, constraints and level from the file's own header."""
    with path.open("rb") as file:
        found = _AVCC.search(file.read(64 * 1024))
    video = f"avc1.{found[1].hex()}" if found else "avc1.640028"
    return f"{video},{AAC}" if has_audio else video


class Stream(NamedTuple):
    """A rung as the master playlist names it; one without width and height is heard only."""

    playlist: str
    bandwidth: int
    average: int
    width: int | None
    height: int | None
    codecs: str


def write_master(streams: Sequence[Stream]) -> str:
    """The playlist of playlists. The first is what players begin with: the smallest but one, where there are several.
    What is heard only comes last, for players that have tried everything else."""
    ordered = sorted((stream for stream in streams if stream.width), key=lambda stream: stream.bandwidth)
    if len(ordered) > 2:
        ordered = [ordered[1], ordered[0], *ordered[2:]]
    ordered += [stream for stream in streams if not stream.width]
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for stream in ordered:
        size = f"RESOLUTION={stream.width}x{stream.height}," if stream.width else ""
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={stream.bandwidth},AVERAGE-BANDWIDTH={stream.average},"
            f'{size}CODECS="{stream.codecs}"'
        )
        lines.append(stream.playlist)
    return "\n".join(lines) + "\n"
