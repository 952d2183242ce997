"""Animations and films come out as MP4 that every browser plays, with a poster and frames, and without metadata."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import pyvips

from strvsocial.media.failures import CannotDecode
from strvsocial.media.processing import make
from strvsocial.media.products import Made
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]

BARS = ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=3")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=3")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
PERSONAL = (
    "-metadata", "title=Alice at home", "-metadata", "location=+52.5200+013.4050/",
    "-metadata", "artist=Alice Example", "-metadata", "creation_time=2020-01-02T03:04:05Z",
    "-metadata:s:v", "handler_name=Alice's Phone",
)  # fmt: skip


async def _make(settings: Settings, folder: Path, kind: str) -> Made:
    progress: list[float] = []
    made = await make(settings, folder, kind, progress.append)
    assert all(0 <= one <= 1 for one in progress)
    return made


def _play(folder: Path) -> dict[str, Any]:
    """What a player would find in `play.mp4`."""
    with av.open(str(folder / "play.mp4")) as container:
        video = container.streams.video[0]
        frames = sum(1 for _ in container.decode(video))
        return {
            "codec": video.codec_context.name,
            "pixels": video.codec_context.pix_fmt,
            "size": (video.codec_context.width, video.codec_context.height),
            "frames": frames,
            "sound": [stream.codec_context.name for stream in container.streams.audio],
            "tags": {**container.metadata, **video.metadata},
            "faststart": (folder / "play.mp4").read_bytes()[:4096].find(b"moov") > 0,
        }


def _stream_digest(path: Path, stream: str) -> str:
    """A digest of a stream's coded bits."""
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def _check_stills(folder: Path, made: Made, most: int) -> None:
    frames = next(product for product in made.products if product.name == "frames")
    assert 1 <= frames.details["count"] <= most
    assert (folder / "frames").stat().st_size == frames.details["count"] * 256 * 256 * 3
    poster = pyvips.Image.new_from_file(str(folder / "poster.webp"))
    assert made.width is not None
    assert made.height is not None
    assert abs(poster.width / poster.height - made.width / made.height) < 0.03
    assert made.placeholder


@pytest.fixture
def animated(samples: Path, photo: Any) -> Callable[[str], Path]:
    """`animated(kind)`: twelve frames, 80 ms each, that darken."""

    def write(kind: str) -> Path:
        path = samples / f"animated.{kind}"
        frames = [photo.thumbnail_image(200).linear(1 - n / 12, 0).cast("uchar") for n in range(12)]
        sheet = pyvips.Image.arrayjoin(frames, across=1).copy()
        sheet.set_type(pyvips.GValue.gint_type, "page-height", 150)
        sheet.set_type(pyvips.GValue.array_int_type, "delay", [80] * 12)
        getattr(sheet, f"{kind}save")(str(path))
        return path

    return write


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
async def test_an_animation_becomes_a_silent_film(
    settings: Settings, put: Put, film: Film, animated: Callable[[str], Path], kind: str
) -> None:
    if kind == "apng":
        source = film("animated.apng", "-i", str(animated("gif")), "-f", "apng", "-plays", "0")
    else:
        source = animated(kind)
    folder = put(source)
    made = await _make(settings, folder, "image" if kind != "gif" else "gif")
    assert (made.kind, made.width, made.height, made.has_audio) == ("gif", 200, 150, False)
    assert made.duration == pytest.approx(0.96, abs=0.05)
    found = _play(folder)
    assert (found["codec"], found["pixels"], found["size"], found["frames"]) == ("h264", "yuv420p", (200, 150), 12)
    assert found["sound"] == []
    assert found["faststart"]
    _check_stills(folder, made, 4)


async def test_a_gif_of_one_frame_is_a_picture(settings: Settings, put: Put, samples: Path, photo: Any) -> None:
    path = samples / "still.gif"
    photo.gifsave(str(path))
    made = await _make(settings, put(path), "gif")
    assert made.kind == "image"


async def test_a_small_odd_transparent_gif(settings: Settings, put: Put, samples: Path) -> None:
    path = samples / "odd.gif"
    frame = pyvips.Image.black(33, 17, bands=4)
    sheet = pyvips.Image.arrayjoin([frame, frame], across=1).copy(interpretation="srgb")
    sheet.set_type(pyvips.GValue.gint_type, "page-height", 17)
    sheet.set_type(pyvips.GValue.array_int_type, "delay", [0, 0])
    sheet.gifsave(str(path), keep_duplicate_frames=True)
    folder = put(path)
    made = await _make(settings, folder, "gif")
    assert (made.width, made.height, made.duration) == (32, 16, 0.2)
    assert min((folder / "frames").read_bytes()) > 240  # White shows where nothing is.


@pytest.mark.parametrize("kind", ["gif", "apng"])
async def test_an_animation_of_too_many_frames_is_refused(settings: Settings, put: Put, film: Film, kind: str) -> None:
    source = film(f"endless.{kind}", "-f", "lavfi", "-i", "testsrc2=size=16x16:rate=50:duration=10.4", "-f", kind)
    started = time.monotonic()
    with pytest.raises(CannotDecode, match="we take 500 frames"):
        await _make(settings, put(source), "gif")
    assert time.monotonic() - started < 5


async def test_a_damaged_gif_is_refused(settings: Settings, folder: Path) -> None:
    (folder / "source").write_bytes(b"GIF89a" + os.urandom(500))
    with pytest.raises(CannotDecode, match="damaged"):
        await _make(settings, folder, "gif")


async def test_a_plain_mp4_keeps_its_bits_and_loses_its_tags(settings: Settings, put: Put, film: Film) -> None:
    even = ("-af", "volume=3dB")
    source = film("plain.mp4", *BARS, *TONE, *X264, *even, "-c:a", "aac", *PERSONAL, "-movflags", "use_metadata_tags")
    assert b"Alice" in source.read_bytes()
    folder = put(source)
    made = await _make(settings, folder, "video")
    assert (made.kind, made.width, made.height, made.has_audio) == ("video", 640, 360, True)
    assert made.duration == pytest.approx(3, abs=0.1)
    for stream in ("v:0", "a:0"):
        assert _stream_digest(folder / "play.mp4", stream) == _stream_digest(source, stream)
    content = (folder / "play.mp4").read_bytes()
    for word in (b"Alice", b"+52.5", b"2020"):
        assert word not in content
    found = _play(folder)
    assert found["faststart"]
    assert "creation_time" not in found["tags"]
    _check_stills(folder, made, 8)
    pcm = next(product for product in made.products if product.name == "pcm")
    assert pcm.details["seconds"] == pytest.approx(3, abs=0.1)
    assert (folder / "pcm").stat().st_size == round(pcm.details["seconds"] * 32_000)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("vp9.webm", (*BARS, *TONE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"), (640, 360)),
        ("hevc.mp4", (*BARS, *TONE, "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-c:a", "aac"), (640, 360)),
        ("deep.mp4", (*BARS, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le"), (640, 360)),
        ("chroma.mkv", (*BARS, *TONE, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p", "-c:a", "flac"), (640, 360)),
        ("odd.mkv", ("-f", "lavfi", "-i", "testsrc2=size=321x241:duration=1", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"), (320, 240)),
        ("tall.mp4", ("-f", "lavfi", "-i", "testsrc2=size=1440x2560:rate=10:duration=1", *X264), (1080, 1920)),
        ("fast.mp4", ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=120:duration=1", *X264), (160, 120)),
        ("mpeg4.mp4", (*BARS, *TONE, "-c:v", "mpeg4", "-c:a", "libmp3lame"), (640, 360)),
    ],
)  # fmt: skip
async def test_other_films_become_h264(
    settings: Settings, put: Put, film: Film, name: str, arguments: tuple[str, ...], size: tuple[int, int]
) -> None:
    folder = put(film(name, *arguments))
    made = await _make(settings, folder, "video")
    found = _play(folder)
    assert (found["codec"], found["pixels"], found["size"]) == ("h264", "yuv420p", size)
    assert (made.width, made.height) == size
    assert found["sound"] == (["aac"] if made.has_audio else [])
    assert made.has_audio == any("-c:a" in argument for argument in arguments)
    if name == "fast.mp4":
        assert found["frames"] == pytest.approx(60, abs=2)
    _check_stills(folder, made, 8)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
async def test_a_phone_film_is_shown_upright(settings: Settings, put: Put, film: Film, codec: str) -> None:
    # The left half is red; held upright, that is the upper half.
    draw = "color=blue:size=320x240:rate=10:duration=1,drawbox=x=0:y=0:w=160:h=240:color=red:t=fill"
    encoder = X264 if codec == "h264" else ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    lying = film(f"lying-{codec}.mp4", "-f", "lavfi", "-i", draw, *encoder)
    source = film(f"upright-{codec}.mp4", "-display_rotation", "-90", "-i", str(lying), "-c", "copy")
    folder = put(source)
    made = await _make(settings, folder, "video")
    assert (made.width, made.height) == (240, 320)
    poster = pyvips.Image.new_from_file(str(folder / "poster.webp"))
    assert (poster.width, poster.height) == (240, 320)
    upper, lower = poster(120, 40), poster(120, 280)
    assert upper[0] > 150 > 100 > upper[2]
    assert lower[2] > 150 > 100 > lower[0]
    if codec == "h264":
        assert _stream_digest(folder / "play.mp4", "v:0") == _stream_digest(source, "v:0")
        with av.open(str(folder / "play.mp4")) as container:
            assert next(container.decode(video=0)).rotation == -90
    else:
        assert _play(folder)["size"] == (240, 320)


async def test_a_film_of_one_frame(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("one.mp4", *BARS, "-frames:v", "1", *X264))
    made = await _make(settings, folder, "video")
    assert _play(folder)["frames"] == 1
    _check_stills(folder, made, 1)


async def test_the_poster_is_not_black(settings: Settings, put: Put, film: Film) -> None:
    fade = "testsrc2=size=320x240:rate=10:duration=6,fade=in:st=0:d=3"
    folder = put(film("fade.mp4", "-f", "lavfi", "-i", fade, *X264, "-g", "10"))
    await _make(settings, folder, "video")
    assert pyvips.Image.new_from_file(str(folder / "poster.webp")).avg() > 28


async def test_hdr_is_brought_down_to_what_every_screen_shows(settings: Settings, put: Put, film: Film) -> None:
    hdr = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params",
           "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:log-level=none")  # fmt: skip
    folder = put(film("hdr.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10:duration=1", *hdr))
    await _make(settings, folder, "video")
    assert _play(folder)["pixels"] == "yuv420p"
    with av.open(str(folder / "play.mp4")) as container:
        assert container.streams.video[0].codec_context.color_trc == 1


async def test_a_film_without_pictures_is_a_sound(settings: Settings, put: Put, film: Film) -> None:
    made = await _make(settings, put(film("sound.mp4", *TONE, "-c:a", "aac")), "video")
    assert made.kind == "audio"
    made = await _make(settings, put(film("sound.webm", *TONE, "-c:a", "libopus")), "video")
    assert made.kind == "audio"


async def test_a_sound_with_moving_pictures_is_a_film(settings: Settings, put: Put, film: Film) -> None:
    even = ("-af", "volume=3dB")
    source = film("plain.mp4", *BARS, *TONE, *X264, *even, "-c:a", "aac", *PERSONAL, "-movflags", "use_metadata_tags")
    assert (await _make(settings, put(source), "audio")).kind == "video"


async def test_a_film_that_is_too_long_is_refused(
    settings: Settings, put: Put, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "color=black:size=32x32:rate=1/60:duration=7300"
    with pytest.raises(CannotDecode, match="too long: we take 2 hours"):
        await _make(settings, put(film("long.mp4", "-f", "lavfi", "-i", slow, *X264)), "video")


async def test_what_takes_longer_says_how_far_it_is(settings: Settings, put: Put, film: Film) -> None:
    """A GIF, a sound and a film, each of them long enough to be asked for."""
    frames = film("many.gif", "-f", "lavfi", "-i", "testsrc2=size=480x360:rate=20:duration=18")
    sound = film("long.wav", "-f", "lavfi", "-i", "sine=sample_rate=44100:duration=60")
    for source, kind in ((frames, "gif"), (sound, "audio"), (film("bars.mp4", *BARS, *X264, "-bf", "0"), "video")):
        progress: list[float] = []
        await make(settings, put(source), kind, progress.append)
        assert progress, kind
        assert progress == sorted(progress), kind
        assert 0 < progress[-1] <= 1, kind
