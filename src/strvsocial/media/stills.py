"""Stills of a film: the poster that stands in for it, its placeholder, and frames for the embedder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strvsocial.media.ffmpeg import CODECS, FORMATS, MAX_FRAME_PIXELS
from strvsocial.media.products import Product, pictures, size_of
from strvsocial.media.sandbox import Limits, Refused, run_child

FILM_LIMITS = Limits(wall=90, cpu=90, memory=3 << 30)
POSTER_LIMITS = Limits(wall=30, cpu=30, memory=3 << 30, file_size=64 << 20)
MAX_COVER_PIXELS = 40_000_000
POSTER_BOX = 1280

Redraw = Callable[[float], Awaitable[dict[str, int]]]
"""Writes the frame at a time (seconds) as raw RGB to `redrawn`; returns its `width` and `height`. Raises Refused."""


@dataclass(frozen=True)
class Stills:
    """`width`, `height`: as shown. `duration`: seconds, as the file says."""

    products: list[Product]
    width: int
    height: int
    duration: float
    placeholder: str


async def take_stills(
    folder: Path, name: str, count: int, seconds: float | None, redraw: Redraw | None = None
) -> Stills:
    """Takes up to `count` frames over `seconds` (else as the header says) and a poster from a film. Where its own frames
    are smaller than the film is, `redraw` writes the poster's. Raises DecoderFailed."""
    request: dict[str, Any] = {"task": "stills", "file": name, "count": count, "seconds": seconds}
    request |= {"formats": FORMATS, "codecs": CODECS, "max_pixels": MAX_FRAME_PIXELS}
    answer = await run_child("film", request, folder, FILM_LIMITS)
    (folder / "poster").rename(folder / "picture")
    poster = answer["poster"]
    size = {"width": poster["width"], "height": poster["height"]}
    if redraw is not None:
        with suppress(Refused):
            drawn_size = await redraw(poster["seconds"])
            if size_of(folder, "redrawn") == 3 * drawn_size["width"] * drawn_size["height"]:
                (folder / "redrawn").rename(folder / "picture")
                size = drawn_size
    drawn = await run_child("picture", {"task": "poster", **size}, folder, POSTER_LIMITS)
    posters, placeholder = pictures(drawn, "poster")
    frames = Product("frames", "frames", 256, 256, details={"count": answer["count"]})
    return Stills([*posters, frames], answer["width"], answer["height"], answer["duration"], placeholder)


async def take_cover(folder: Path) -> tuple[list[Product], str]:
    """Makes a poster of an encoded picture called `picture`. Raises DecoderFailed."""
    request = {"task": "poster", "max_pixels": MAX_COVER_PIXELS}
    return pictures(await run_child("picture", request, folder, POSTER_LIMITS), "poster")
