"""Writes the demo content's pictures, sounds and films as files that people would upload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from strvsocial.demo.sounds import RATE, Samples

FRAMES_PER_SECOND = 24
FILM_SIZE = (1280, 720)

Frame = NDArray[np.uint8]


def write_jpeg(path: Path, picture: Image.Image) -> None:
    picture.save(path, quality=90)


def write_gif(path: Path, frames: Iterable[Image.Image], milliseconds: int) -> None:
    """A GIF that loops for ever."""
    first, *rest = (frame.convert("P", palette=Image.Palette.ADAPTIVE, colors=64) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0)


def write_sound(path: Path, samples: Samples) -> None:
    """An MP3, mono, about 96 kbit/s."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44_100)
        stream.layout = "mono"
        stream.bit_rate = 96_000
        _encode_sound(container, stream, _resample(samples, 44_100), 44_100)


def write_film(path: Path, frames: Iterator[Frame], sound: Samples | None) -> None:
    """An MP4 with H.264 and, when there is sound, AAC. Frames are RGB uint8 (720, 1280, 3)."""
    import av

    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "veryfast", "crf": "24"})
        film.width, film.height = FILM_SIZE
        film.pix_fmt = "yuv420p"
        voice = container.add_stream("aac", rate=44_100) if sound is not None else None
        if voice is not None:
            voice.layout = "mono"
        for frame in frames:
            container.mux(film.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(film.encode(None))
        if voice is not None and sound is not None:
            _encode_sound(container, voice, _resample(sound, 44_100), 44_100)


def _encode_sound(container: object, stream: object, samples: Samples, rate: int) -> None:
    import av

    whole = (np.clip(samples, -1, 1) * 32767).astype("<i2")[None, :]
    for start in range(0, whole.shape[1], 1152 * 32):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(whole[:, start : start + 1152 * 32]), format="s16", layout="mono"
        )
        frame.sample_rate = rate
        frame.pts = start
        container.mux(stream.encode(frame))  # type: ignore[attr-defined]
    container.mux(stream.encode(None))  # type: ignore[attr-defined]


def _resample(samples: Samples, rate: int) -> Samples:
    places = np.arange(0, samples.size - 1, RATE / rate)
    resampled: Samples = np.interp(places, np.arange(samples.size), samples).astype(np.float32)
    return resampled


def drift(
    picture: Image.Image, seconds: float, start: tuple[float, float, float], end: tuple[float, float, float]
) -> Iterator[Frame]:
    """Moves slowly over a picture. `start` and `end` are the centre (x, y) and the width of the view, as fractions."""
    count = int(seconds * FRAMES_PER_SECOND)
    for step in range(count):
        t = step / max(count - 1, 1)
        t = t * t * (3 - 2 * t)
        x, y, wide = (a + (b - a) * t for a, b in zip(start, end, strict=True))
        width = min(wide * picture.width, picture.height * FILM_SIZE[0] / FILM_SIZE[1])
        height = width * FILM_SIZE[1] / FILM_SIZE[0]
        left = min(max(x * picture.width - width / 2, 0), picture.width - width)
        top = min(max(y * picture.height - height / 2, 0), picture.height - height)
        yield np.asarray(picture.resize(FILM_SIZE, Image.Resampling.BILINEAR, (left, top, left + width, top + height)))
