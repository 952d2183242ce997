"""Takes stills from the film that the site made. Runs in the sandbox, imports nothing of ours.

Writes `frames` (n x 256 x 256 RGB, shorter side resized, centre cropped) and `poster` (raw RGB of one that is not black).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import av
import av.error
import numpy as np

FRAME = 256
POSTER_BOX = 1280
DECODED_AFTER_A_SEEK = 48
DARK, FLAT = 28, 10


def frame_at(container: Any, stream: Any, seconds: float) -> Any:
    """The frame shown at a time, or a near one: after a seek only so many frames are decoded."""
    start = float((stream.start_time or 0) * stream.time_base)
    try:
        container.seek(int((start + seconds) / stream.time_base), stream=stream, backward=True)
        last = None
        for number, frame in enumerate(container.decode(stream)):
            last = frame
            if number >= DECODED_AFTER_A_SEEK or (frame.time or 0) - start >= seconds - 1e-3:
                break
        return last
    except av.error.FFmpegError:
        return None


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


def main(request: dict[str, Any]) -> dict[str, Any]:
    """`file` to read, `count` of frames at most, `fallback_duration` in seconds when the file does not say."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(request["formats"]),
        "codec_whitelist": ",".join(request["codecs"]),
        "max_pixels": str(request["max_pixels"]),
    }
    container = av.open(f"file:{request['file']}", container_options=options)
    if not container.streams.video:
        return {"refused": "damaged"}
    stream = container.streams.video[0]
    stream.thread_count = 2
    duration = container.duration / 1e6 if container.duration else request["fallback_duration"]
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
    best = next(
        (n for n, one in enumerate(squares) if is_telling(one)),
        max(range(len(squares)), key=lambda n: squares[n].std()),
    )
    picture = poster(stills[best], ratio)
    with open("frames", "wb") as file:
        file.writelines(one.tobytes() for one in squares)
    with open("poster", "wb") as file:
        file.write(picture.tobytes())
    turned = round(stills[0].rotation / 90) % 2
    size = (round(stills[0].width * ratio), stills[0].height)
    return {
        "count": len(squares),
        "duration": duration,
        "width": size[turned],
        "height": size[1 - turned],
        "has_audio": bool(container.streams.audio),
        "poster": {"width": picture.shape[1], "height": picture.shape[0]},
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
