"""Turns a GIF, an animated WebP or an animated PNG into a silent MP4. Runs in the sandbox, imports nothing of ours.

Frame by frame, so that memory stays small: libvips reads GIF and WebP, libav reads animated PNG and writes H.264.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import pyvips

BOX = 1280
MILLISECONDS = Fraction(1, 1000)
AS_BROWSERS_DO, TOO_SHORT = 100, 20
"""Milliseconds: browsers show a frame that wants less than 20 for 100."""
TELL_SECONDS = 0.5


class Refused(Exception):
    """Carried to the worker as `{"refused": reason, …}`."""

    def __init__(self, reason: str, **details: Any) -> None:
        self.answer = {"refused": reason, **details}


def check(frames: int, width: int, height: int, request: dict[str, Any]) -> None:
    if frames > request["max_frames"]:
        raise Refused("too_many_frames", limit=request["max_frames"])
    if width * height > request["max_pixels"]:
        raise Refused("too_large", pixels=width * height)
    if frames * width * height > request["max_total_pixels"]:
        raise Refused("too_large")


def read_pages(request: dict[str, Any]) -> Iterator[tuple[Any, int, float]]:
    """Frames of a GIF or WebP over white, each with its milliseconds and how much of all is read with it."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in ("Webp", "Nsgif"):
        pyvips.operation_block_set(f"VipsForeignLoad{loader}", False)
    pages = pyvips.Image.new_from_file("source", n=-1, access="sequential")
    height = pages.get("page-height") if pages.get_typeof("page-height") else pages.height
    count = pages.height // height
    check(count, pages.width, height, request)
    delays = pages.get("delay") if pages.get_typeof("delay") else []
    if pages.interpretation != "srgb":
        pages = pages.colourspace("srgb")
    if pages.hasalpha():
        pages = pages.flatten(background=[255, 255, 255])
    region = pyvips.Region.new(pages.cast("uchar"))
    for number in range(count):
        content = np.frombuffer(region.fetch(0, number * height, pages.width, height), np.uint8)
        delay = delays[number] if number < len(delays) else AS_BROWSERS_DO
        yield content.reshape(height, pages.width, 3), delay, (number + 1) / count


def read_animated_png(request: dict[str, Any]) -> Iterator[tuple[Any, int, float]]:
    """Frames of an animated PNG over white, as `read_pages` gives them. The file does not say how many there are."""
    options = {"protocol_whitelist": "file", "format_whitelist": "apng", "codec_whitelist": "apng"}
    with av.open("file:source", format="apng", container_options=options) as container:
        stream = container.streams.video[0]
        check(1, stream.codec_context.width, stream.codec_context.height, request)
        before = None
        for number, frame in enumerate(container.decode(stream)):
            check(number + 1, frame.width, frame.height, request)
            if before is not None:
                yield flat(before), round(1000 * ((frame.time or 0) - (before.time or 0))), 0
            before = frame
        if before is not None:
            last = round(1000 * float((before.duration or 0) * (before.time_base or 0)))
            yield flat(before), last or AS_BROWSERS_DO, 1


def flat(frame: Any) -> Any:
    """RGB over white."""
    rgba = frame.reformat(format="rgba").to_ndarray().astype(np.uint16)
    alpha = rgba[..., 3:]
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def target_size(width: int, height: int) -> tuple[int, int]:
    """Even, and at most 1280 pixels wide and high."""
    scale = min(1, BOX / max(width, height))
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def encode(frames: Iterator[tuple[Any, int, float]], threads: int) -> tuple[int, int]:
    """Writes `play.mp4`, saying how far it is; returns the count of frames and the duration in milliseconds."""
    count = now = 0
    told = time.monotonic()
    with av.open("play.mp4", "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as output:
        stream = None
        for picture, delay, done in frames:
            if stream is None:
                width, height = target_size(picture.shape[1], picture.shape[0])
                options = {"preset": "veryfast", "crf": "21", "profile": "high"}
                stream = output.add_stream("libx264", rate=25, options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = MILLISECONDS
                stream.codec_context.thread_count = threads
                stream.codec_context.flags |= av.codec.context.Flags.bitexact
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame = frame.reformat(width=width, height=height, format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = now, MILLISECONDS
            output.mux(stream.encode(frame))
            count += 1
            now += delay if delay >= TOO_SHORT else AS_BROWSERS_DO
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                print(f"progress={done:.3f}", flush=True)  # noqa: T201
        if stream is not None:
            output.mux(stream.encode(None))
    return count, now


def main(request: dict[str, Any]) -> dict[str, Any]:
    """`max_frames`, `max_pixels` of one frame, `max_total_pixels` of all, `threads`."""
    with open("source", "rb") as file:
        is_png = file.read(4) == b"\x89PNG"
    try:
        count, duration = encode(read_animated_png(request) if is_png else read_pages(request), request["threads"])
    except Refused as refused:
        return refused.answer
    except (pyvips.Error, av.error.FFmpegError) as error:
        sys.stderr.write(str(error))
        return {"refused": "damaged"}
    except MemoryError:
        return {"refused": "too_large"}
    return {"count": count, "duration": duration / 1000} if count else {"refused": "damaged"}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
