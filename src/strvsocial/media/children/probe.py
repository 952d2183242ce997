"""Says what `source` really is: its format, its streams, how it is turned. Runs in the sandbox, imports nothing of ours."""

from __future__ import annotations

import json
import sys
from typing import Any

import av
import av.error
import av.stream

PACKETS_BEFORE_GIVING_UP = 300


def describe_video(container: Any, stream: Any) -> dict[str, Any] | None:
    """The stream as its first frame shows it; None when no frame can be decoded."""
    frame = first_frame(container, stream)
    if frame is None:
        return None
    rate = stream.average_rate or stream.guessed_rate
    ratio = stream.sample_aspect_ratio
    return {
        "width": frame.width,
        "height": frame.height,
        "pixel_ratio": float(ratio) if ratio else 1.0,
        "rotation": int(frame.rotation),
        "fps": float(rate) if rate else 0.0,
        "bits": frame.format.components[0].bits,
        "pixels": frame.format.name,
        "transfer": int(stream.codec_context.color_trc or 0),
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


def main(request: dict[str, Any]) -> dict[str, Any]:
    """`formats` and `codecs` are what may be read; `file` is its name."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(request["formats"]),
        "codec_whitelist": ",".join(request["codecs"]),
        "max_pixels": str(request["max_pixels"]),
    }
    try:
        container = av.open(f"file:{request['file']}", container_options=options, metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError) as error:
        sys.stderr.write(str(error))
        return {"refused": "damaged"}
    streams = [
        describe(container, stream, request["codecs"])
        for stream in container.streams
        if stream.type in ("audio", "video")
    ]
    for found in streams:
        if found["type"] == "video" and found["known"] and not found["is_cover"]:
            stream = container.streams[found["index"]]
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > request["max_pixels"]:
                return {"refused": "too_large"}
            found["video"] = describe_video(container, stream)
            break
    return {
        "format": container.format.name,
        "duration": container.duration / 1e6 if container.duration else None,
        "bitrate": container.bit_rate,
        "streams": streams,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
