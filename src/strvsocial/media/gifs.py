"""Animations (GIF, WebP, PNG) as looping silent films: a tenth of the bytes, and they can be paused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from strvsocial.media.failures import explain
from strvsocial.media.products import Made, Product
from strvsocial.media.sandbox import DecoderFailed, Limits, run_child
from strvsocial.media.stills import take_stills
from strvsocial.settings import Settings

MAX_FRAMES = 500
MAX_TOTAL_PIXELS = 1_000_000_000
FRAMES_FOR_EMBEDDER = 4
LIMITS = Limits(wall=150, cpu=120, memory=3 << 30)


async def make_gif(settings: Settings, folder: Path, on_progress: Callable[[float], None]) -> Made:
    """Makes `play.mp4`, a poster and up to 4 frames of `source`. Raises CannotDecode."""
    request = {
        "max_frames": MAX_FRAMES,
        "max_pixels": settings.max_image_pixels,
        "max_total_pixels": MAX_TOTAL_PIXELS,
        "threads": settings.ffmpeg_threads,
    }
    try:
        answer = await run_child("animation", request, folder, LIMITS, on_progress)
        stills = await take_stills(folder, "play.mp4", FRAMES_FOR_EMBEDDER, answer["duration"])
    except DecoderFailed as failure:
        raise explain(failure, "gif", settings.max_image_pixels) from failure
    play = Product("play.mp4", "playback", stills.width, stills.height)
    return Made(
        "gif",
        [play, *stills.products],
        stills.width,
        stills.height,
        duration=answer["duration"],
        has_audio=False,
        placeholder=stills.placeholder,
    )
