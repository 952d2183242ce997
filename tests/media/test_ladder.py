"""The ladder of a film: which sizes it gets, and that each plays by itself and beside the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from strvsocial.media.ladder import Stream, climb, write_master
from strvsocial.media.previews import PREVIEW, STORYBOARD
from strvsocial.media.probing import probe
from strvsocial.media.processing import make
from strvsocial.media.products import Made, Product
from strvsocial.media.video import PLAY, join_rung, make_rungs
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]

SECONDS = 12
WIDE = ("-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=25:duration={SECONDS}")
TONE = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={SECONDS}")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "800k")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize(
    ("size", "rungs"),
    [
        ((1920, 1080), ["240 426x240", "480 854x480", "720 1280x720", "1080 1920x1080"]),
        ((1280, 720), ["240 426x240", "480 854x480", "720 1280x720"]),
        ((720, 1280), ["240 240x426", "480 480x854", "720 720x1280"]),
        ((1000, 600), ["240 400x240", "480 800x480", "600 1000x600"]),
        ((900, 500), ["240 432x240", "480 864x480"]),
        ((160, 120), ["120 160x120"]),
        ((1920, 400), ["240 1152x240", "400 1920x400"]),
        ((3, 1), ["1 4x2"]),
    ],
)
def test_the_rungs_of_a_size(size: tuple[int, int], rungs: list[str]) -> None:
    assert [f"{rung.short} {rung.width}x{rung.height}" for rung in climb(*size)] == rungs


def test_the_master_playlist_begins_with_a_middle_size() -> None:
    streams = [
        Stream(f"h{size}.m3u8", 1000 * size, 900 * size, 2 * size, size, "avc1.64001f,mp4a.40.2")
        for size in (720, 240, 480)
    ]
    streams.insert(0, Stream("sound.m3u8", 50_000, 48_000, None, None, "mp4a.40.2"))
    assert write_master(streams).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-STREAM-INF:BANDWIDTH=480000,AVERAGE-BANDWIDTH=432000,RESOLUTION=960x480,CODECS="avc1.64001f,mp4a.40.2"',
        "h480.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=240000,AVERAGE-BANDWIDTH=216000,RESOLUTION=480x240,CODECS="avc1.64001f,mp4a.40.2"',
        "h240.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=720000,AVERAGE-BANDWIDTH=648000,RESOLUTION=1440x720,CODECS="avc1.64001f,mp4a.40.2"',
        "h720.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=50000,AVERAGE-BANDWIDTH=48000,CODECS="mp4a.40.2"',
        "sound.m3u8",
    ]


async def _climb(settings: Settings, folder: Path) -> tuple[Made, list[Product]]:
    """Both stages, as the two jobs run them. What is nice to have is not made here."""
    made = await make(settings, folder, "video", lambda _: None)
    sound = next(one.name for one in made.products if one.role in ("rung", "playback")) if made.has_audio else None
    wanted = {one.name: one for one in made.wanted}
    assert {STORYBOARD, PREVIEW} < set(wanted)
    progress: list[float] = []
    products = await make_rungs(settings, folder, await probe(folder), set(wanted), sound, progress.append)
    assert progress == sorted(progress)
    if PLAY in wanted:
        top = products[-2]
        products += await join_rung(folder, top.name, Product(PLAY, "playback", top.width, top.height))
    return made, products


def _key_frames(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        start = None
        times = []
        for packet in container.demux(stream):
            if packet.is_keyframe and packet.pts is not None:
                start = packet.pts if start is None else start
                times.append(round(float((packet.pts - start) * stream.time_base), 2))
        return times


def _check_rung(folder: Path, product: Product, *, has_audio: bool) -> None:
    """The file plays from its beginning, and its playlist covers every byte of it behind the header."""
    with av.open(str(folder / product.name)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.width, video.codec_context.height) == (product.width, product.height)
        assert video.codec_context.pix_fmt == "yuv420p"
        assert bool(container.streams.audio) == has_audio
        frames = sum(1 for _ in container.decode(video))
    assert frames == 25 * SECONDS
    playlist = (folder / product.details["playlist"]).read_text()
    spans = [(int(size), int(start)) for size, start in re.findall(r"BYTERANGE[:=]\"?(\d+)@(\d+)", playlist)]
    assert spans[0][1] == 0
    assert all(size + start == following[1] for (size, start), following in itertools.pairwise(spans))
    assert sum(spans[-1]) == (folder / product.name).stat().st_size
    assert set(re.findall(r"^[^#\n].*$", playlist, re.MULTILINE)) == {product.name}
    assert product.details["codecs"].startswith("avc1.64")
    assert product.bitrate is not None
    assert 0 < product.bitrate <= product.details["bandwidth"]
    assert product.details["seconds"] == pytest.approx(SECONDS, abs=0.2)


async def test_a_film_that_no_browser_plays_is_watched_by_its_lowest_rung_first(
    settings: Settings, put: Put, film: Film
) -> None:
    folder = put(film("wide.webm", *WIDE, *TONE, *VP9, "-c:a", "libopus"))
    made, products = await _climb(settings, folder)
    assert [one.name for one in made.products] == ["h240.mp4", "h240.m3u8", "poster.webp", "frames", "pcm"]
    assert (made.width, made.height, made.has_audio) == (1280, 720, True)
    assert made.duration == pytest.approx(SECONDS, abs=0.2)
    assert [one.name for one in products] == ["h480.mp4", "h480.m3u8", "h720.mp4", "h720.m3u8", PLAY]
    rungs = [one for one in [*made.products, *products] if one.role == "rung"]
    for rung in rungs:
        _check_rung(folder, rung, has_audio=True)
    assert len({tuple(_key_frames(folder / rung.name)) for rung in rungs}) == 1
    with av.open(str(folder / PLAY)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (1280, 720)
        assert len(container.streams.audio) == 1
    assert (folder / PLAY).read_bytes()[:4096].find(b"moov") > 0


async def test_a_film_that_browsers_play_is_watched_as_it_is(settings: Settings, put: Put, film: Film) -> None:
    portrait = ("-f", "lavfi", "-i", f"testsrc2=size=360x640:rate=25:duration={SECONDS}")
    folder = put(film("portrait.mp4", *portrait, *X264))
    made, products = await _climb(settings, folder)
    assert [one.name for one in made.products] == [PLAY, "poster.webp", "frames"]
    assert [one.name for one in products] == ["h240.mp4", "h240.m3u8", "h360.mp4", "h360.m3u8"]
    for rung in products[::2]:
        _check_rung(folder, rung, has_audio=False)


@pytest.mark.parametrize("sample", [("short.mp4", "640x480", 3), ("small.mp4", "160x120", SECONDS)])
async def test_short_and_small_films_have_one_size(
    settings: Settings, put: Put, film: Film, sample: tuple[str, str, int]
) -> None:
    name, size, seconds = sample
    folder = put(film(name, "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=10:duration={seconds}", *X264))
    made = await make(settings, folder, "video", lambda _: None)
    assert [one.name for one in made.wanted] == ([STORYBOARD, PREVIEW] if seconds > 10 else [PREVIEW])
    assert "rung" not in {one.role for one in made.products}


async def test_a_turned_film_stands_upright_on_every_rung(settings: Settings, put: Put, film: Film) -> None:
    lying = film("lying.mp4", *WIDE, *X264)
    turned = film("turned.mp4", "-display_rotation", "90", "-i", str(lying), "-c", "copy")
    folder = put(turned)
    made, products = await _climb(settings, folder)
    assert (made.width, made.height) == (720, 1280)
    for rung in (one for one in products if one.role == "rung"):
        assert rung.width is not None
        assert rung.height is not None
        assert rung.width < rung.height
        _check_rung(folder, rung, has_audio=False)
