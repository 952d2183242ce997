"""Sound plays everywhere, says nothing about its owner, and reaches the embedder as PCM."""

from __future__ import annotations

import base64
import struct
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

TONE = ("-f", "lavfi", "-i", "aevalsrc=0.1*sin(2000*PI*t)+0.1*(random(0)-0.5):s=44100:d=2")
"""With noise, so that it takes as many bits as other sounds do."""
PERSONAL = (
    *("-metadata", "title=Alice at home", "-metadata", "artist=Alice Example"),
    *("-metadata", "comment=Alice said", "-metadata", "location=+52.52+013.40/"),
)
CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Alice wakes\n"
OF_NOBODY = {"major_brand", "minor_version", "compatible_brands", "encoder"}
PLAYS = {"play.m4a": ("audio/mp4", "aac"), "play.webm": ("audio/webm; codecs=opus", "opus")}


async def _make(settings: Settings, folder: Path) -> Made:
    return await make(settings, folder, "audio", lambda _: None)


def _check(folder: Path, made: Made) -> None:
    assert made.kind == "audio"
    assert made.duration == pytest.approx(2, abs=0.1)
    plays = {product.name: product for product in made.products if product.role in ("playback", "variant")}
    assert {name: product.role for name, product in plays.items()} == {"play.m4a": "playback", "play.webm": "variant"}
    assert (plays["play.webm"].bitrate or 0) < (plays["play.m4a"].bitrate or 0) < 200_000
    for name, product in plays.items():
        mime, codec = PLAYS[name]
        assert product.mime == mime
        content = (folder / name).read_bytes()
        for word in (b"Alice", b"+52.52"):
            assert word not in content
        with av.open(str(folder / name)) as container:
            assert {key.lower() for key in container.metadata} <= OF_NOBODY
            assert container.metadata.get("encoder", "Lavf").startswith("Lavf")
            assert not container.chapters()
            assert container.streams.audio[0].codec_context.name == codec
            assert not container.streams.video
            assert sum(frame.samples for frame in container.decode(audio=0)) > 80_000
    pcm = np.fromfile(folder / "pcm", "<i2")
    assert len(pcm) == pytest.approx(32_000, abs=1600)
    assert pcm.size * 2 == (folder / "pcm").stat().st_size
    loudest = np.abs(np.fft.rfft(pcm[:16_000].astype(float))).argmax()
    assert loudest == pytest.approx(1000, abs=2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tone.mp3", ("-c:a", "libmp3lame", "-b:a", "128k")),
        ("tone.m4a", ("-c:a", "aac", "-b:a", "128k")),
        ("tone.aac", ("-c:a", "aac", "-f", "adts")),
        ("tone.mp2", ("-f", "mp2")),
        ("tone.wav", ()),
        ("tone.aiff", ("-write_id3v2", "1")),
        ("little.aifc", ("-c:a", "pcm_s16le", "-f", "aiff")),
        ("tone.flac", ()),
        ("tone.ogg", ("-c:a", "libvorbis", "-b:a", "128k")),
        ("tone.opus", ("-c:a", "libopus", "-b:a", "128k")),
        ("tone.webm", ("-c:a", "libopus", "-b:a", "128k")),
        ("alac.m4a", ("-c:a", "alac")),
    ],
)
async def test_every_kind_of_sound(
    settings: Settings, put: Put, film: Film, samples: Path, name: str, arguments: tuple[str, ...]
) -> None:
    chapters = samples / "chapters.txt"
    chapters.write_text(CHAPTERS)
    with_chapters = ("-i", str(chapters), "-map_chapters", "1") if name.endswith(("mp3", "m4a", "webm")) else ()
    source = film(name, *TONE, *with_chapters, *arguments, *PERSONAL)
    # ADTS and MPEG-1 layer II have no place for names.
    assert name.endswith(("aac", "mp2", "aifc")) or b"Alice" in source.read_bytes()
    folder = put(source)
    _check(folder, await _make(settings, folder))


def _picture_block(jpeg: bytes, size: tuple[int, int]) -> str:
    """A FLAC picture block (RFC 9639, section 8.8) as Ogg's comments carry it."""
    mime = b"image/jpeg"
    head = struct.pack(">II", 3, len(mime)) + mime + struct.pack(">IIIIII", 0, *size, 24, 0, len(jpeg))
    return base64.b64encode(head + jpeg).decode()


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "flac", "ogg", "opus", "mka"])
async def test_cover_art_becomes_the_poster(
    settings: Settings, put: Put, film: Film, samples: Path, photo: Any, suffix: str
) -> None:
    cover = samples / "cover.jpg"
    photo.jpegsave(str(cover), Q=50)
    codec = {"mp3": "libmp3lame", "m4a": "aac", "mka": "libvorbis", "ogg": "libvorbis", "opus": "libopus"}
    sound = (*TONE, "-c:a", codec.get(suffix, "flac"), "-b:a", "128k", *PERSONAL)
    attached = ("-disposition:v", "attached_pic", "-c:v", "copy", "-map", "0:a", "-map", "1:v")
    if suffix in ("ogg", "opus"):
        block = _picture_block(cover.read_bytes(), (640, 480))
        source = film(f"cover.{suffix}", *sound, "-metadata", f"METADATA_BLOCK_PICTURE={block}")
    elif suffix == "mka":
        pinned = ("-attach", str(cover), "-metadata:s:t", "mimetype=image/jpeg", "-metadata:s:t", "filename=cover.jpg")
        source = film("cover.mka", *sound, *pinned)
    else:
        source = film(f"cover.{suffix}", *TONE, "-i", str(cover), *attached, *sound[len(TONE) :])
    folder = put(source)
    made = await _make(settings, folder)
    _check(folder, made)
    poster = pyvips.Image.new_from_file(str(folder / "poster.webp"))
    assert (poster.width, poster.height) == (made.width, made.height) == (640, 480)
    assert made.placeholder


async def test_a_cover_that_is_no_picture_spoils_nothing(
    settings: Settings, put: Put, film: Film, samples: Path
) -> None:
    jpeg = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8
    source = film(
        "bad.ogg", *TONE, "-b:a", "128k", "-metadata", f"METADATA_BLOCK_PICTURE={_picture_block(jpeg, (9, 9))}"
    )
    folder = put(source)
    made = await _make(settings, folder)
    _check(folder, made)
    assert (made.width, made.height, made.placeholder) == (None, None, None)


@pytest.mark.parametrize(
    "content", [b"ID3\x04" + bytes(500), b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), b"OggS" + bytes(300)]
)
async def test_damaged_sound_is_refused(settings: Settings, folder: Path, content: bytes) -> None:
    (folder / "source").write_bytes(content)
    with pytest.raises(CannotDecode, match="damaged or is not a sound"):
        await _make(settings, folder)
