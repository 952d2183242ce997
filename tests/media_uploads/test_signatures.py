"""Types by content, tried on files that a real encoder wrote and on what people send by mistake or on purpose."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strvsocial.errors import UnsupportedMedia
from strvsocial.media.signatures import ACCEPTED, HEAD_BYTES, Kind, get_kind, sniff

PICTURES = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
ONE = ["-frames:v", "1"]

MADE = {
    "a.jpg": ([*PICTURES, *ONE], Kind("image", "image/jpeg")),
    "a.png": ([*PICTURES, *ONE], Kind("image", "image/png")),
    "moving.apng": (PICTURES, Kind("image", "image/png")),
    "a.webp": ([*PICTURES, *ONE, "-c:v", "libwebp"], Kind("image", "image/webp")),
    "moving.webp": ([*PICTURES, "-c:v", "libwebp_anim"], Kind("image", "image/webp")),
    "a.avif": ([*PICTURES, *ONE, "-c:v", "libsvtav1"], Kind("image", "image/avif")),
    "a.gif": (PICTURES, Kind("gif", "image/gif")),
    "tagged.mp3": ([*SOUND, "-metadata", "title=One"], Kind("audio", "audio/mpeg")),
    "plain.mp3": ([*SOUND, "-id3v2_version", "0", "-write_xing", "0"], Kind("audio", "audio/mpeg")),
    "low.mp3": (
        [*SOUND, "-id3v2_version", "0", "-write_xing", "0", "-ar", "16000", "-b:a", "24k"],
        Kind("audio", "audio/mpeg"),
    ),
    "layer2.mp2": ([*SOUND, "-f", "mp2"], Kind("audio", "audio/mpeg")),
    "a.m4a": (SOUND, Kind("audio", "audio/mp4")),
    "a.flac": (SOUND, Kind("audio", "audio/flac")),
    "opus.ogg": ([*SOUND, "-c:a", "libopus"], Kind("audio", "audio/ogg")),
    "vorbis.ogg": ([*SOUND, "-c:a", "libvorbis"], Kind("audio", "audio/ogg")),
    "flac.oga": ([*SOUND, "-c:a", "flac"], Kind("audio", "audio/ogg")),
    "a.wav": (SOUND, Kind("audio", "audio/wav")),
    "a.aiff": (SOUND, Kind("audio", "audio/aiff")),
    "little.aifc": ([*SOUND, "-c:a", "pcm_s16le", "-f", "aiff"], Kind("audio", "audio/aiff")),
    "a.aac": ([*SOUND, "-f", "adts"], Kind("audio", "audio/aac")),
    "a.mp4": ([*PICTURES, *SOUND, "-c:v", "libx264"], Kind("video", "video/mp4")),
    "silent.mp4": ([*PICTURES, "-c:v", "libx264", "-movflags", "faststart"], Kind("video", "video/mp4")),
    "spoken.mp4": ([*SOUND, "-c:a", "aac", "-movflags", "faststart"], Kind("audio", "audio/mp4")),
    "a.mov": ([*PICTURES, "-c:v", "libx264"], Kind("video", "video/quicktime")),
    "a.3gp": ([*PICTURES, "-c:v", "libx264"], Kind("video", "video/mp4")),
    "a.webm": ([*PICTURES, *SOUND, "-c:v", "libvpx", "-c:a", "libopus"], Kind("video", "video/webm")),
    "spoken.webm": ([*SOUND, "-c:a", "libopus"], Kind("audio", "audio/webm")),
    "a.mkv": ([*PICTURES, "-c:v", "libx264"], Kind("video", "video/x-matroska")),
    "a.mka": ([*SOUND, "-c:a", "flac"], Kind("audio", "audio/x-matroska")),
    "a.ogv": ([*PICTURES, *SOUND, "-c:v", "libtheora", "-c:a", "libvorbis"], Kind("video", "video/ogg")),
}

HEIC = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(64)

REFUSED = {
    "nothing": b"",
    "one byte": b"\xff",
    "text": b"Hello, this is a text.",
    "utf-16 text": "Hello".encode("utf-16"),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "bare svg": b"\xef\xbb\xbf <svg onload=alert(1)>",
    "html": b"<!doctype html><script>alert(1)</script>",
    "xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>',
    "pdf": b"%PDF-1.7\n",
    "zip": b"PK\x03\x04" + bytes(60),
    "gzip": b"\x1f\x8b\x08" + bytes(60),
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "program": b"\x7fELF" + bytes(60),
    "old picture": b"FORM\x00\x00\x00\x20ILBMBMHD" + bytes(20),
    "avi": b"RIFF\x00\x00\x00\x00AVI LIST",
    "tiff": b"II*\x00" + bytes(60),
    "postscript": b"%!PS-Adobe-3.0",
    "unknown brand": struct.pack(">I4s4sI", 16, b"ftyp", b"jp2 ", 0),
    "huge ftyp": struct.pack(">I4s4sI", 1 << 30, b"ftyp", b"isom", 0),
    "mkv of nothing": b"\x1a\x45\xdf\xa3" + bytes(60),
    "ogg of text": b"OggS\x00\x02" + bytes(20) + b"\x01\x08kate\x00\x00\x00\x00",
    "tag of nothing": b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"<html>" * 20,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, (options, _) in MADE.items():
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", *options, str(folder / name)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


@pytest.mark.parametrize("name", MADE)
def test_a_real_file_is_known_by_its_content(made: Path, name: str) -> None:
    content = (made / name).read_bytes()
    assert sniff(content[:HEAD_BYTES]) == MADE[name][1]
    assert MADE[name][1] in ACCEPTED


@pytest.mark.parametrize("name", MADE)
def test_four_thousand_bytes_are_enough(made: Path, name: str) -> None:
    found = sniff((made / name).read_bytes()[:4096])
    assert found is not None
    # Whether an MP4 has pictures stands where it likes; the decoder finds out.
    assert found.media_type == MADE[name][1].media_type or found.mime == "video/mp4"


def test_heic_is_a_picture() -> None:
    assert sniff(HEIC) == Kind("image", "image/heic")


@pytest.mark.parametrize("name", REFUSED)
def test_what_we_do_not_take_is_415(name: str) -> None:
    assert sniff(REFUSED[name]) is None
    with pytest.raises(UnsupportedMedia):
        get_kind(REFUSED[name])


def test_an_svg_is_told_what_to_do() -> None:
    with pytest.raises(UnsupportedMedia, match="save the picture as PNG"):
        get_kind(REFUSED["svg"])


@pytest.mark.parametrize("name", ["a.jpg", "a.gif", "a.png"])
def test_a_polyglot_is_what_it_begins_with(made: Path, name: str) -> None:
    assert sniff((made / name).read_bytes() + b"<script>alert(1)</script>PK\x03\x04") == MADE[name][1]
    assert sniff(b"<script>alert(1)</script>" + (made / name).read_bytes()) is None


def test_a_long_picture_in_an_id3_tag_hides_nothing_from_us() -> None:
    head = b"ID3\x03\x00\x00" + bytes([0, 0x10, 0, 0]) + os.urandom(HEAD_BYTES)
    assert sniff(head[:HEAD_BYTES]) == Kind("audio", "audio/mpeg")


@given(st.binary(max_size=600))
def test_random_bytes_never_raise(head: bytes) -> None:
    found = sniff(head)
    assert found is None or found in ACCEPTED


STARTS = [
    b"RIFF",
    b"OggS\x00\x02",
    b"ID3\x04\x00\x00",
    b"\x1a\x45\xdf\xa3",
    b"\x00\x00\x00\x18ftyp",
    b"\xff\xfb",
    b"\xff\xf1",
]


@given(st.sampled_from(STARTS), st.binary(max_size=600))
def test_random_bytes_behind_a_true_beginning_never_raise(start: bytes, rest: bytes) -> None:
    found = sniff(start + rest)
    assert found is None or found in ACCEPTED
