"""Takes stills from a film. Runs in the sandbox, imports nothing of ours.

The request names a `task`:
`stills`      writes `frames` (n x 256 x 256 RGB, shorter side resized, centre cropped) and `poster` (raw RGB of one that
              is neither black nor blurred);
`storyboard`  writes `sheet` (raw RGB): small frames that lie evenly over the film, row by row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import av
import av.error
import numpy as np

FRAME = 256
POSTER_BOX = 1280
DECODED_AFTER_A_SEEK = 48
DARK, FLAT = 28, 10
LOOKED_AT, SHARP_ENOUGH = 640, 0.5


def open_film(request: dict[str, Any]) -> tuple[Any, Any]:
    """The container and its stream of pictures; None for the latter where there is none."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(request["formats"]),
        "codec_whitelist": ",".join(request["codecs"]),
        "max_pixels": str(request["max_pixels"]),
    }
    container = av.open(f"file:{request['file']}", container_options=options)
    stream = container.streams.video[0] if container.streams.video else None
    if stream is not None:
        stream.thread_count = 2
    return container, stream


def frame_at(container: Any, stream: Any, seconds: float, near: float = 1e-3, most: int = DECODED_AFTER_A_SEEK) -> Any:
    """The frame shown at a time, or one that is as `near`: after a seek at most so many more frames are decoded."""
    start = begin(stream)
    try:
        container.seek(int((start + seconds) / stream.time_base), stream=stream, backward=True)
        last = None
        for number, frame in enumerate(container.decode(stream)):
            last = frame
            if number >= most or (frame.time or 0) - start >= seconds - near:
                break
        return last
    except av.error.FFmpegError:
        return None


def begin(stream: Any) -> float:
    """Seconds at which the stream's clock stands at its first frame."""
    return float((stream.start_time or 0) * stream.time_base)


def pixels(frame: Any, width: int, height: int) -> Any:
    """The frame as upright RGB. `width` and `height` are meant before turning."""
    picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.rot90(picture, round(frame.rotation / 90) % 4)


def square(frame: Any, ratio: float) -> Any:
    """256 x 256 RGB: shorter side resized, centre cropped."""
    wide = frame.width * ratio
    scale = FRAME / min(wide, frame.height)
    picture = pixels(frame, max(FRAME, round(wide * scale)), max(FRAME, round(frame.height * scale)))
    top, left = (picture.shape[0] - FRAME) // 2, (picture.shape[1] - FRAME) // 2
    return np.ascontiguousarray(picture[top : top + FRAME, left : left + FRAME])


def poster(frame: Any, ratio: float) -> Any:
    wide = frame.width * ratio
    scale = min(1, POSTER_BOX / max(wide, frame.height))
    return np.ascontiguousarray(pixels(frame, max(1, round(wide * scale)), max(1, round(frame.height * scale))))


def is_telling(picture: Any) -> bool:
    """Neither black nor of one colour."""
    return bool(picture.mean() > DARK and picture.std() > FLAT)


def sharpness(frame: Any) -> float:
    """How much neighbouring pixels differ from what a smooth picture would have there (the spread of the Laplacian)."""
    scale = min(1, LOOKED_AT / max(frame.width, frame.height))
    size = {"width": max(3, round(frame.width * scale)), "height": max(3, round(frame.height * scale))}
    light = frame.reformat(**size, format="gray").to_ndarray().astype(np.int16)
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float((4 * light[1:-1, 1:-1] - around).std())


def best_of(stills: list[Any], squares: list[Any]) -> int:
    """The number of the first still that is telling and about as sharp as the sharpest of those that are."""
    telling = [number for number, picture in enumerate(squares) if is_telling(picture)]
    if not telling:
        return max(range(len(squares)), key=lambda number: squares[number].std())
    sharp = {number: sharpness(stills[number]) for number in telling}
    return next(number for number in telling if sharp[number] >= SHARP_ENOUGH * max(sharp.values()))


def upright(frame: Any, ratio: float) -> tuple[int, int]:
    """Width and height of a frame as it is shown."""
    size = max(1, round(frame.width * ratio)), int(frame.height)
    return (size[1], size[0]) if round(frame.rotation / 90) % 2 else size


def tile(frame: Any, ratio: float, width: int, height: int) -> Any:
    """The frame as it is shown, at this size."""
    turned = round(frame.rotation / 90) % 2
    return pixels(frame, *((height, width) if turned else (width, height)))


def passing(container: Any, stream: Any, times: list[float]) -> Iterator[Any]:
    """For each of the rising times the frame that is shown then, or the last one. Every frame is decoded, once."""
    start, last, number = begin(stream), None, 0
    try:
        for frame in container.decode(stream):
            while last is not None and number < len(times) and (frame.time or 0) - start > times[number]:
                yield last
                number += 1
            last = frame
            if number == len(times):
                return
    except av.error.FFmpegError:
        pass  # What is behind the damage looks like what is before it.
    for _ in times[number:]:
        yield last


def leaping(container: Any, stream: Any, times: list[float], near: float, most: int) -> Iterator[Any]:
    """For each time a frame that is near to it. Where key frames are far apart, `most` frames are decoded to get near."""
    for wanted in times:
        yield frame_at(container, stream, wanted, near, most)


def take_storyboard(request: dict[str, Any]) -> dict[str, Any]:
    """`count` frames over `seconds` whose longer side has `tile` pixels, in so many `columns`; some `most_pixels` are
    decoded at most, beside one frame for each."""
    container, stream = open_film(request)
    if stream is None:
        return {"refused": "damaged"}
    count, columns = request["count"], request["columns"]
    interval = request["seconds"] / count
    times = [interval * (number + 0.5) for number in range(count)]
    most = request["most_pixels"] // max(1, stream.width * stream.height)
    if request["seconds"] * float(stream.average_rate or 25) <= most:
        frames = passing(container, stream, times)
    else:
        frames = leaping(container, stream, times, interval / 2, most // count)
    ratio = float(stream.sample_aspect_ratio or 1)
    rows = -(-count // columns)
    sheet, last, width, height = None, None, 0, 0
    for number, frame in enumerate(frames):
        if frame is not None:
            if sheet is None:
                shown = upright(frame, ratio)
                width, height = (max(1, round(side * request["tile"] / max(shown))) for side in shown)
                sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
            last = tile(frame, ratio, width, height)
        if sheet is not None and last is not None:
            top, left = number // columns * height, number % columns * width
            sheet[top : top + height, left : left + width] = last
    if sheet is None:
        return {"refused": "damaged"}
    with open("sheet", "wb") as file:
        file.write(sheet.tobytes())
    return {
        "columns": columns,
        "rows": rows,
        "tile_width": width,
        "tile_height": height,
        "interval": round(interval, 3),
        "count": count,
        "width": sheet.shape[1],
        "height": sheet.shape[0],
    }


def take_stills(request: dict[str, Any]) -> dict[str, Any]:
    """`file` to read, `count` of frames at most, over `seconds`, or over what the header says."""
    container, stream = open_film(request)
    if stream is None:
        return {"refused": "damaged"}
    duration = request["seconds"] or (container.duration or 0) / 1e6
    ratio = float(stream.sample_aspect_ratio or 1)
    found: dict[int, Any] = {}
    for number in range(request["count"]):
        frame = frame_at(container, stream, duration * (number + 0.5) / request["count"])
        if frame is not None:
            found.setdefault(frame.pts or 0, frame)
    if not found and (frame := frame_at(container, stream, 0)) is not None:
        found[0] = frame
    if not found:
        return {"refused": "damaged"}
    stills = list(found.values())
    squares = [square(frame, ratio) for frame in stills]
    best = best_of(stills, squares)
    picture = poster(stills[best], ratio)
    with open("frames", "wb") as file:
        file.writelines(one.tobytes() for one in squares)
    with open("poster", "wb") as file:
        file.write(picture.tobytes())
    width, height = upright(stills[0], ratio)
    return {
        "count": len(squares),
        "duration": duration,
        "width": width,
        "height": height,
        "poster": {
            "width": picture.shape[1],
            "height": picture.shape[0],
            "seconds": round(max(0.0, (stills[best].time or 0) - begin(stream)), 3),
        },
    }


TASKS = {"stills": take_stills, "storyboard": take_storyboard}


def main(request: dict[str, Any]) -> dict[str, Any]:
    return TASKS[request["task"]](request)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
