"""Says what `source` really is: its format, its streams, how it is turned. Runs in the sandbox, imports nothing of ours."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import av
import av.error
import av.stream
import numpy as np

PACKETS_BEFORE_GIVING_UP = 300
PACKETS_UNTIL_HEARD = 2000
SILENT_PACKETS = 200
SECONDS_FOR_PACKETS = 8.0
PLACES, FRAMES_AT_A_PLACE = 4, 3
DIFFERENCE, LEAST_SHARE, LEAST_RATIO = 15, 0.001, 0.75


def length(stream: Any) -> float | None:
    """Seconds that the header gives to one stream; Matroska says it in words."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def sound_after_pictures(video: Any, audio: Any) -> float:
    """Seconds for which the sound goes on after the last picture, as far as headers tell."""
    ends = [length(video), length(audio) if audio else None]
    return max(0.0, ends[1] - ends[0]) if ends[0] and ends[1] else 0.0


def describe_video(container: Any, stream: Any, seconds: float | None) -> dict[str, Any] | None:
    """The stream as its first frame shows it; None when no frame can be decoded."""
    frame = first_frame(container, stream)
    if frame is None:
        return None
    rate = stream.average_rate or stream.guessed_rate
    ratio = stream.sample_aspect_ratio
    context = stream.codec_context
    return {
        "width": frame.width,
        "height": frame.height,
        "pixel_ratio": float(ratio) if ratio else 1.0,
        "rotation": int(frame.rotation),
        "fps": float(rate) if rate else 0.0,
        "bits": frame.format.components[0].bits,
        "pixels": frame.format.name,
        "transfer": int(context.color_trc or 0),
        "primaries": int(context.color_primaries or 0),
        "matrix": int(context.colorspace or 0),
        "interlaced": bool(frame.interlaced_frame) and is_combed(container, stream, seconds or 0),
    }


def first_frame(container: Any, stream: Any) -> Any:
    stream.thread_count = 1
    for number, packet in enumerate(container.demux(stream)):
        try:
            for frame in packet.decode():
                return frame
        except av.error.FFmpegError:
            pass
        if number > PACKETS_BEFORE_GIVING_UP:
            break
    return None


def is_combed(container: Any, stream: Any, seconds: float) -> bool:
    """Whether a stream that calls its frames interlaced has any that show two moments. Many only say so."""
    start, found = float((stream.start_time or 0) * stream.time_base), 0
    for place in range(PLACES):
        try:
            container.seek(int((start + seconds * (place + 0.5) / PLACES) / stream.time_base), stream=stream)
            for number, frame in enumerate(container.decode(stream)):
                found += shows_two_moments(frame)
                if number == FRAMES_AT_A_PLACE or found > 1:
                    break
        except av.error.FFmpegError:
            continue
    return found > 1


def shows_two_moments(frame: Any) -> bool:
    """By the pixels that are like those two lines away, of the same field, and unlike those one line away.

    Fine patterns have such pixels too, but more that are the other way round, as nearer lines are more alike.
    """
    light = frame.reformat(format="gray").to_ndarray().astype(np.int16)
    if len(light) < 5:
        return False
    here = light[2:-2]
    other_field = abs(here - (light[1:-3] + light[3:-1]) // 2)
    same_field = abs(here - (light[:-4] + light[4:]) // 2)
    combed = float((other_field > same_field + DIFFERENCE).mean())
    plain = float((same_field > other_field + DIFFERENCE).mean())
    return combed > LEAST_SHARE and combed > LEAST_RATIO * plain


def is_heard(container: Any, stream: Any) -> bool:
    """False for a stream of sound that is empty or that nothing can be decoded of; what begins late is believed."""
    tried = 0
    for number, packet in enumerate(container.demux()):
        if packet.stream.index == stream.index and packet.size:
            tried += 1
            try:
                if packet.decode():
                    return True
            except av.error.FFmpegError:
                pass
        if tried > SILENT_PACKETS:
            return False
        if number > PACKETS_UNTIL_HEARD:
            return not tried
    return False


def measure(container: Any, size: int) -> float | None:
    """How many seconds there are by the times of all packets, for headers that do not say. What cannot be read in some
    seconds is reckoned up from the bytes that could."""
    started, first, last, place = time.monotonic(), None, 0.0, 0
    try:
        for number, packet in enumerate(container.demux()):
            if packet.pts is None:
                continue
            at = float(packet.pts * packet.time_base)
            first = at if first is None else min(first, at)
            last = max(last, at + float((packet.duration or 0) * packet.time_base))
            place = max(place, packet.pos or 0)
            if number % 500 == 499 and time.monotonic() - started > SECONDS_FOR_PACKETS:
                return (last - first) * size / place if place else None
    except av.error.FFmpegError:
        pass  # As far as it can be read.
    return last - first if first is not None and last > first else None


def describe(container: Any, stream: Any, codecs: list[str]) -> dict[str, Any]:
    name = stream.codec_context.name if stream.codec_context else "unknown"
    found = {
        "index": stream.index,
        "type": stream.type,
        "codec": name,
        "known": name in codecs,
        "is_cover": bool(stream.disposition & av.stream.Disposition.attached_pic),
        "bitrate": stream.codec_context.bit_rate if stream.codec_context else None,
    }
    if found["known"] and stream.type == "audio":
        found["sample_rate"] = stream.codec_context.sample_rate
        found["channels"] = stream.codec_context.channels
        found["profile"] = stream.codec_context.profile
    return found


def open_source(request: dict[str, Any]) -> Any:
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(request["formats"]),
        "codec_whitelist": ",".join(request["codecs"]),
        "max_pixels": str(request["max_pixels"]),
    }
    return av.open(f"file:{request['file']}", container_options=options, metadata_errors="ignore")


def main(request: dict[str, Any]) -> dict[str, Any]:
    """`formats` and `codecs` are what may be read; `file` is its name."""
    try:
        container = open_source(request)
    except (av.error.FFmpegError, ValueError) as error:
        sys.stderr.write(str(error))
        return {"refused": "damaged"}
    streams = [
        describe(container, stream, request["codecs"])
        for stream in container.streams
        if stream.type in ("audio", "video")
    ]
    seconds = container.duration / 1e6 if container.duration and container.duration > 0 else None
    if seconds is None and streams:
        with open_source(request) as again:
            seconds = measure(again, os.path.getsize(request["file"]))
    audio = None
    for found in streams:
        if found["type"] == "audio" and found.get("channels"):
            with open_source(request) as again:
                if is_heard(again, again.streams[found["index"]]):
                    audio = container.streams[found["index"]]
                    break
            found["channels"] = 0
    for found in streams:
        if found["type"] == "video" and found["known"] and not found["is_cover"]:
            stream = container.streams[found["index"]]
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > request["max_pixels"]:
                return {"refused": "too_large"}
            found["video"] = describe_video(container, stream, seconds)
            if found["video"]:
                found["video"]["held"] = sound_after_pictures(stream, audio)
            break
    return {
        "format": container.format.name,
        "duration": seconds,
        "bitrate": container.bit_rate,
        "streams": streams,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
