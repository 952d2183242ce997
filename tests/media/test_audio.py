"""Sound plays everywhere, says nothing about its owner, and reaches the embedder as PCM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import pyvips

from strvsocial.media.failures import CannotDecode
from strvsocial.media.processing import make
from strvsocial.media.products import Made
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]

TONE = ("-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=44100:duration=2")
PERSONAL = (
    "-metadata",
    "title=Alice at home",
    "-metadata",
    "artist=Alice Example",
    "-metadata",
    "location=+52.52+013.40/",
)


async def _make(settings: Settings, folder: Path) -> Made:
    return await make(settings, folder, "audio", lambda _: None)


def _check(folder: Path, made: Made, name: str, codec: str) -> None:
    assert made.kind == "audio"
    assert made.duration == pytest.approx(2, abs=0.1)
    play = next(product for product in made.products if product.role == "playback")
    assert play.name == name
    assert play.mime == {"play.mp3": "audio/mpeg", "play.m4a": "audio/mp4"}[name]
    assert play.bitrate is not None
    assert 20_000 < play.bitrate < 400_000
    content = (folder / name).read_bytes()
    for word in (b"Alice", b"+52.52"):
        assert word not in content
    with av.open(str(folder / name)) as container:
        assert container.streams.audio[0].codec_context.name.removesuffix("float") == codec
        assert not container.streams.video
        assert sum(frame.samples for frame in container.decode(audio=0)) > 80_000
    pcm = np.fromfile(folder / "pcm", "<i2")
    assert len(pcm) == pytest.approx(32_000, abs=1600)
    assert pcm.size * 2 == (folder / "pcm").stat().st_size
    loudest = np.abs(np.fft.rfft(pcm[:16_000].astype(float))).argmax()
    assert loudest == pytest.approx(1000, abs=2)


@pytest.mark.parametrize(
    ("name", "arguments", "play", "codec"),
    [
        ("tone.mp3", ("-c:a", "libmp3lame", "-b:a", "128k"), "play.mp3", "mp3"),
        ("tone.m4a", ("-c:a", "aac", "-b:a", "128k"), "play.m4a", "aac"),
        ("tone.aac", ("-c:a", "aac", "-f", "adts"), "play.m4a", "aac"),
        ("tone.wav", (), "play.m4a", "aac"),
        ("wide.wav", ("-c:a", "pcm_s24le", "-ar", "96000", "-ac", "2"), "play.m4a", "aac"),
        ("tone.flac", (), "play.m4a", "aac"),
        ("tone.ogg", ("-c:a", "libvorbis"), "play.m4a", "aac"),
        ("tone.opus", ("-c:a", "libopus"), "play.m4a", "aac"),
        ("tone.webm", ("-c:a", "libopus"), "play.m4a", "aac"),
        ("alac.m4a", ("-c:a", "alac"), "play.m4a", "aac"),
    ],
)
async def test_every_kind_of_sound(
    settings: Settings, put: Put, film: Film, name: str, arguments: tuple[str, ...], play: str, codec: str
) -> None:
    folder = put(film(name, *TONE, *arguments, *PERSONAL))
    _check(folder, await _make(settings, folder), play, codec)


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "flac"])
async def test_cover_art_becomes_the_poster(
    settings: Settings, put: Put, film: Film, samples: Path, photo: Any, suffix: str
) -> None:
    cover = samples / "cover.jpg"
    photo.jpegsave(str(cover))
    codec = {"mp3": "libmp3lame", "m4a": "aac", "flac": "flac"}[suffix]
    pictures = ("-i", str(cover), "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic")
    folder = put(film(f"cover.{suffix}", *TONE, *pictures, "-c:a", codec, *PERSONAL))
    made = await _make(settings, folder)
    _check(folder, made, *({"mp3": ("play.mp3", "mp3")}.get(suffix, ("play.m4a", "aac"))))
    poster = pyvips.Image.new_from_file(str(folder / "poster.webp"))
    assert (poster.width, poster.height) == (640, 480)
    assert made.placeholder


@pytest.mark.parametrize(
    "content", [b"ID3\x04" + bytes(500), b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), b"OggS" + bytes(300)]
)
async def test_damaged_sound_is_refused(settings: Settings, folder: Path, content: bytes) -> None:
    (folder / "source").write_bytes(content)
    with pytest.raises(CannotDecode, match="damaged or is not a sound"):
        await _make(settings, folder)
