"""What lets people look into a film before they play it: a sheet of small frames for scrubbing, and a few silent seconds
for cards. Both are made of what the site made of the film, never of a stranger's file that it did not take apart before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strvsocial.media.ffmpeg import CODECS, FORMATS, MAX_FRAME_PIXELS, WITHOUT_METADATA, read_source
from strvsocial.media.ladder import SHORT_SECONDS
from strvsocial.media.products import Product, size_of
from strvsocial.media.sandbox import Limits, run_child, run_ffmpeg
from strvsocial.settings import Settings

STORYBOARD, PREVIEW = "storyboard.webp", "preview.mp4"
MOST_TILES, MOST_COLUMNS, TILE = 100, 10, 160
"""A sheet has at most so many frames, so many beside each other, and their longer side has so many pixels."""
DECODED_PIXELS = 10_000_000_000
"""What is decoded for a sheet at most: 5000 frames of 1920 x 1080, some 15 seconds of a processor."""
PREVIEW_BOX, PREVIEW_FPS = 480, 30
PARTS, PART_SECONDS, ONE_PART_SECONDS = 4, 1.25, 4.0
SHEET_LIMITS = Limits(wall=120, cpu=120, memory=3 << 30)
PICTURE_LIMITS = Limits(wall=30, cpu=30, memory=3 << 30, file_size=64 << 20)
PREVIEW_LIMITS = Limits(wall=120, cpu=240, file_size=16 << 20)


def wanted_previews(seconds: float) -> list[Product]:
    """What a film of this length gets. Through one that is over in some seconds nobody scrubs."""
    sheet = [Product(STORYBOARD, "storyboard")] if seconds > SHORT_SECONDS else []
    return [*sheet, Product(PREVIEW, "preview")]


async def make_storyboard(folder: Path, name: str, seconds: float) -> list[Product]:
    """Writes the sheet of a film called `name`: its frames lie evenly over `seconds`, row by row. Raises DecoderFailed."""
    count = max(1, min(MOST_TILES, int(seconds)))
    request: dict[str, Any] = {"task": "storyboard", "file": name, "count": count, "seconds": seconds}
    request |= {"tile": TILE, "columns": min(count, MOST_COLUMNS), "most_pixels": DECODED_PIXELS}
    request |= {"formats": FORMATS, "codecs": CODECS, "max_pixels": MAX_FRAME_PIXELS}
    sheet = await run_child("film", request, folder, SHEET_LIMITS)
    size = {"width": sheet["width"], "height": sheet["height"]}
    await run_child("picture", {"task": "storyboard", **size}, folder, PICTURE_LIMITS)
    details = {name: sheet[name] for name in ("columns", "rows", "tile_width", "tile_height", "interval", "count")}
    return [Product(STORYBOARD, "storyboard", **size, details=details)]


def preview_parts(seconds: float) -> list[tuple[float, float]]:
    """Where in a film the parts of its preview begin, and how long they are. One from the middle if the film is short."""
    if seconds <= 2 * PARTS * PART_SECONDS:
        length = min(seconds, ONE_PART_SECONDS)
        return [(round((seconds - length) / 2, 3), length)]
    middles = [seconds * (number + 0.5) / PARTS for number in range(PARTS)]
    return [(round(middle - PART_SECONDS / 2, 3), PART_SECONDS) for middle in middles]


async def make_preview(
    settings: Settings, folder: Path, name: str, size: tuple[int, int], seconds: float
) -> list[Product]:
    """Writes the preview of a film called `name` that is shown at `size`. Raises DecoderFailed."""
    scale = min(1, PREVIEW_BOX / max(size))
    width, height = (max(2, round(side * scale / 2) * 2) for side in size)
    parts = preview_parts(seconds)
    inputs, filters = list[str](), list[str]()
    fit = f"fps='min({PREVIEW_FPS},source_fps)',scale={width}:{height}:flags=bicubic,setsar=1,format=yuv420p"
    for number, (start, length) in enumerate(parts):
        at = ["-ss", str(start)] if start else []
        inputs += [*at, "-t", str(max(length, 0.1)), *read_source(name, threads=settings.ffmpeg_threads)]
        filters.append(f"[{number}:v:0]{fit}[part{number}]")
    labels = "".join(f"[part{number}]" for number in range(len(parts)))
    graph = ";".join([*filters, f"{labels}concat=n={len(parts)}:v=1:a=0[film]"])
    encode = [
        "-map", "[film]", "-an", "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-crf", "28",
        "-maxrate", "400k", "-bufsize", "200k", *WITHOUT_METADATA, "-f", "mp4", "-movflags", "+faststart",
    ]  # fmt: skip
    await run_ffmpeg([*inputs, "-filter_complex", graph, *encode, f"file:{PREVIEW}"], folder, PREVIEW_LIMITS)
    length = sum(length for _, length in parts)
    bitrate = round(8 * size_of(folder, PREVIEW) / length) if length else None
    return [Product(PREVIEW, "preview", width, height, bitrate)]
