"""What a file of sound or film really is. The decoder has the last word, not its name and not its first bytes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from strvsocial.media.ffmpeg import CODECS, FORMATS, MAX_FRAME_PIXELS
from strvsocial.media.sandbox import Limits, run_child

LIMITS = Limits(wall=30, cpu=30, memory=3 << 30)
PQ, HLG = 16, 18
"""Transfers, as ITU-T H.273 numbers them."""


class Picture(msgspec.Struct, frozen=True):
    """A video stream's frames as they are coded. `rotation` is in degrees, against the clock, to stand upright.

    `transfer`, `primaries` and `matrix` are numbers of ITU-T H.273. `interlaced` is true where frames show two moments,
    one in every other line. `held` is for how many seconds the sound goes on after the last frame.
    """

    width: int
    height: int
    pixel_ratio: float
    rotation: int
    fps: float
    bits: int
    pixels: str
    transfer: int
    primaries: int
    matrix: int
    interlaced: bool
    held: float

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height on the screen."""
        size = max(1, round(self.width * self.pixel_ratio)), self.height
        return (size[1], size[0]) if round(self.rotation / 90) % 2 else size

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (PQ, HLG)

    @property
    def is_rgb(self) -> bool:
        return self.pixels.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "pal8"))


class Stream(msgspec.Struct, frozen=True):
    index: int
    type: str
    codec: str
    known: bool
    is_cover: bool
    bitrate: int | None = None
    sample_rate: int = 0
    channels: int = 0
    profile: str | None = None
    video: Picture | None = None


class Probe(msgspec.Struct, frozen=True):
    """`duration` is in seconds, counted where the header does not say, and None where nothing tells; `format` is libav's
    name. A stream of sound that cannot be heard has no `channels`."""

    format: str
    duration: float | None
    bitrate: int | None
    streams: list[Stream]

    @property
    def film(self) -> Stream | None:
        """The stream of moving pictures."""
        return next((one for one in self.streams if one.video is not None), None)

    @property
    def sound(self) -> Stream | None:
        return next((one for one in self.streams if one.type == "audio" and one.known and one.channels), None)

    @property
    def cover(self) -> Stream | None:
        return next((one for one in self.streams if one.is_cover and one.known), None)


async def probe(folder: Path, name: str = "source") -> Probe:
    """Probes a file in a private folder. Raises Refused for what we do not read."""
    request = {"file": name, "formats": FORMATS, "codecs": CODECS, "max_pixels": MAX_FRAME_PIXELS}
    return msgspec.convert(await run_child("probe", request, folder, LIMITS), Probe)
