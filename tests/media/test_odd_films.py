"""Films as cameras, phones and old tapes make them come out right on every rung: times, shapes, colours, lines, sound."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import pyvips

from strvsocial.media.ladder import SOUND, sound_products
from strvsocial.media.probing import Probe, probe
from strvsocial.media.processing import make
from strvsocial.media.products import Made
from strvsocial.media.video import PLAY, make_rungs, make_sound
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")


def bars(size: str = "480x320", rate: str = "5", seconds: float = 11) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}")


def tone(seconds: float = 11) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}")


class Rung(NamedTuple):
    """What a player finds in a rung: its size, when each frame is shown, its frames in grey, and its streams' names."""

    size: tuple[int, int]
    times: list[float]
    frames: list[Any]
    streams: list[str]
    colours: tuple[int, int, int]


class Climbed(NamedTuple):
    probe: Probe
    made: Made
    rungs: list[Rung]
    progress: list[float]


def look(path: Path) -> Rung:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.codec_context.pix_fmt == "yuv420p"
        assert video.sample_aspect_ratio in (None, 0, 1)
        shown = [(frame.time, frame.to_ndarray(format="gray").astype(np.int16)) for frame in container.decode(video)]
        start = shown[0][0]
        return Rung(
            (video.codec_context.width, video.codec_context.height),
            [round(at - start, 3) for at, _ in shown],
            [grey for _, grey in shown],
            [stream.codec_context.name for stream in container.streams],
            (video.codec_context.color_primaries, video.codec_context.color_trc, video.codec_context.colorspace),
        )


async def climb(settings: Settings, folder: Path) -> Climbed:
    """Both stages, as the two jobs run them."""
    progress: list[float] = []
    made = await make(settings, folder, "video", progress.append)
    found = await probe(folder)
    sound = next(one.name for one in made.products if one.role in ("rung", "playback")) if made.has_audio else None
    names = {one.name for one in made.wanted if one.role == "rung" and one.width}
    await make_rungs(settings, folder, found, names, sound, progress.append)
    names = {one.name for one in [*made.products, *made.wanted] if one.role == "rung" and one.width}
    rungs = [look(folder / name) for name in sorted(names)]
    assert len(rungs) >= 2
    return Climbed(found, made, rungs, progress)


@pytest.mark.parametrize(
    ("name", "arguments", "sizes", "frames"),
    [
        ("upright.mp4", (*bars("320x480"), *X264), [(240, 360), (320, 480)], 55),
        ("odd.mkv", (*bars("481x323"), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"),
         [(358, 240), (480, 322)], 55),
        ("deep.mp4", (*bars(), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le"),
         [(360, 240), (480, 320)], 55),
        ("four-two-two.mov", (*bars(), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv422p10le"),
         [(360, 240), (480, 320)], 55),
        ("anamorphic.mp4", (*bars("360x300"), *X264, "-aspect", "16:9"), [(426, 240), (532, 300)], 55),
        ("fast.mp4", (*bars("400x300", "120"), *X264), [(320, 240), (400, 300)], 660),
    ],
)  # fmt: skip
async def test_shapes_and_rates(
    settings: Settings, put: Put, film: Film, name: str, arguments: tuple[str, ...],
    sizes: list[tuple[int, int]], frames: int,
) -> None:  # fmt: skip
    climbed = await climb(settings, put(film(name, *arguments)))
    assert [rung.size for rung in climbed.rungs] == sizes
    for rung in climbed.rungs:
        assert len(rung.frames) == pytest.approx(frames, abs=1)
        assert rung.times[-1] == pytest.approx(11 - 11 / frames, abs=0.05)
        assert rung.streams == ["h264"]
    assert climbed.made.duration == pytest.approx(11, abs=0.2)


async def test_a_turned_film_of_wide_pixels(settings: Settings, put: Put, film: Film) -> None:
    lying = film("wide-pixels.mp4", *bars("360x300"), *X265, "-aspect", "16:9", "-x265-params", "log-level=none")
    folder = put(film("wide-pixels-turned.mp4", "-display_rotation", "90", "-i", str(lying), "-c", "copy"))
    climbed = await climb(settings, folder)
    assert (climbed.made.width, climbed.made.height) == (300, 532)
    assert [rung.size for rung in climbed.rungs] == [(240, 426), (300, 532)]


async def test_frames_keep_their_times(settings: Settings, put: Put, film: Film) -> None:
    """Ten a second, then thirty, then two: as phones film when it gets dark."""
    thinned = "select='if(lt(t,4),not(mod(n,3)),if(lt(t,8),1,not(mod(n,15))))'"
    folder = put(
        film("varying.mkv", *bars(rate="30"), "-vf", thinned, "-fps_mode", "vfr", *X264, "-pix_fmt", "yuv444p")
    )
    with av.open(str(folder / "source")) as container:
        times = [round(float(frame.time), 3) for frame in container.decode(video=0)]
    assert len(times) == 40 + 120 + 6
    climbed = await climb(settings, folder)
    for rung in climbed.rungs:
        # The first frame of a segment comes when the one before it would end at the film's usual pace.
        moved = [abs(shown - taken) for shown, taken in zip(rung.times, times, strict=True)]
        assert sum(one > 0.002 for one in moved) <= 2
        assert max(moved) < 0.5
        assert rung.times[-1] == pytest.approx(times[-1], abs=0.002)


def combs(frame: Any) -> float:
    """How much lines differ from those beside them."""
    return float(abs(2 * frame[1:-1] - frame[:-2] - frame[2:]).mean())


async def test_two_moments_in_one_frame_are_taken_apart(settings: Settings, put: Put, film: Film) -> None:
    still = look(film("whole.mp4", *bars(rate="50"), *X264, "-crf", "10"))
    woven = ("-vf", "interlace=lowpass=off", *X264, "-crf", "10", "-flags", "+ilme+ildct")
    folder = put(film("woven.mp4", *bars(rate="50"), *tone(), *woven, "-c:a", "aac"))
    source = look(folder / "source")
    climbed = await climb(settings, folder)
    assert PLAY not in {one.name for one in climbed.made.products}
    top = climbed.rungs[-1]
    assert (top.size, len(top.frames)) == (source.size, len(source.frames))
    plain = np.mean([combs(frame) for frame in still.frames])
    before, after = (np.mean([combs(frame) for frame in one.frames]) for one in (source, top))
    assert before > 1.3 * plain
    assert after < 1.1 * plain
    poster = pyvips.Image.new_from_file(str(folder / "poster.webp")).colourspace("b-w").numpy().astype(np.int16)
    assert poster.shape == (320, 480)
    assert combs(poster) < 1.1 * plain


async def test_whole_frames_that_only_say_that_they_are_woven_keep_their_bits(
    settings: Settings, put: Put, film: Film
) -> None:
    said = ("-vf", "setfield=tff", *X264, "-flags", "+ilme+ildct")
    folder = put(film("said.mp4", *bars(rate="25", seconds=2), *said))
    found = await probe(folder)
    assert found.film is not None
    assert found.film.video is not None
    assert not found.film.video.interlaced
    made = await make(settings, folder, "video", lambda _: None)
    assert made.products[0].name == PLAY
    with av.open(str(folder / PLAY)) as container:
        assert next(container.decode(video=0)).interlaced_frame


def lights(pattern: str, *tags: str) -> tuple[str, ...]:
    """A film in PQ whose luma is `pattern`; 572 is 203 candela a square metre, 510 half of that, 64 is none."""
    drawn = f"color=black:size=960x480:rate=1:duration=11,format=yuv420p10le,geq=lum='{pattern}':cb=512:cr=512"
    parameters = ":".join(["lossless=1", "log-level=none", "transfer=smpte2084", *tags])
    return ("-f", "lavfi", "-i", drawn, *X265, "-x265-params", parameters)


async def test_light_is_mixed_as_light_and_what_hdr_does_not_say_is_assumed(
    settings: Settings, put: Put, film: Film
) -> None:
    """Stripes of light and dark, seen from afar, are as bright as half the light everywhere."""
    tags = "colorprim=bt2020", "colormatrix=bt2020nc"
    brightness = {}
    for name, pattern, said in (
        ("even", "510", tags),
        ("striped", "if(mod(X,2),572,64)", tags),
        ("untold", "510", ()),
    ):
        folder = put(film(f"{name}.mp4", *lights(pattern, *said)))
        climbed = await climb(settings, folder)
        assert [rung.size for rung in climbed.rungs] == [(480, 240), (960, 480)]
        assert {rung.colours for rung in climbed.rungs} == {(1, 1, 1)}
        brightness[name] = float(climbed.rungs[0].frames[5].mean())
        poster = pyvips.Image.new_from_file(str(folder / "poster.webp"))
        assert (poster.width, poster.height) == (960, 480)
    assert 60 < brightness["even"] < 220
    assert brightness["striped"] == pytest.approx(brightness["even"], abs=6)
    assert brightness["untold"] == pytest.approx(brightness["even"], abs=1)


@pytest.mark.parametrize("spoil", ["noise=amount=1", "noise=drop=1"])
async def test_a_film_whose_sound_is_broken_or_empty_is_shown_without(
    settings: Settings, put: Put, film: Film, spoil: str
) -> None:
    sounding = film("sounding.mkv", *bars(), *tone(), *VP9, "-c:a", "flac")
    spoilt = film(f"spoilt-{spoil[6]}.mkv", "-i", str(sounding), "-map", "0", "-c", "copy", "-bsf:a", spoil)
    folder = put(spoilt)
    with av.open(str(spoilt)) as container:
        assert len(container.streams.audio) == 1
    climbed = await climb(settings, folder)
    assert climbed.made.has_audio is False
    assert SOUND not in {one.name for one in climbed.made.wanted}
    assert not any(one.name == "pcm" for one in climbed.made.products)
    assert [rung.streams for rung in climbed.rungs] == [["h264"]] * 2
    assert "mp4a" not in climbed.made.products[0].details["codecs"]


async def test_sound_that_begins_late_is_heard(settings: Settings, put: Put, film: Film) -> None:
    late = ("-itsoffset", "9", *tone(2))
    folder = put(film("late.mp4", *bars(rate="10"), *late, *X264, "-c:a", "aac", "-map", "0:v", "-map", "1:a"))
    climbed = await climb(settings, folder)
    assert climbed.made.has_audio is True
    assert [rung.streams for rung in climbed.rungs] == [["h264", "aac"]] * 2


async def test_a_header_without_a_length(settings: Settings, put: Put, film: Film) -> None:
    """As browsers record."""
    folder = put(film("live.webm", *bars(), *tone(), *VP9, "-c:a", "libopus", "-f", "webm", "-live", "1"))
    with av.open(str(folder / "source")) as container:
        assert container.duration is None
    climbed = await climb(settings, folder)
    assert climbed.probe.duration == pytest.approx(11, abs=0.1)
    assert climbed.made.duration == pytest.approx(11, abs=0.2)
    assert max(climbed.progress) > 0.9


async def test_a_short_film_without_a_length_has_one_size(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("live-short.webm", *bars(seconds=2), *VP9, "-f", "webm", "-live", "1"))
    made = await make(settings, folder, "video", lambda _: None)
    assert [one.name for one in made.wanted] == ["preview.mp4"]
    assert made.duration == pytest.approx(2, abs=0.1)


async def test_a_header_that_says_two_hours_of_seconds(settings: Settings, put: Put, film: Film, samples: Path) -> None:
    content = film("told.mkv", *bars(), *VP9).read_bytes()
    at = content.index(b"\x44\x89\x88") + 3
    lying = samples / "lying.mkv"
    lying.write_bytes(content[:at] + struct.pack(">d", 7_190_000.0) + content[at + 8 :])
    climbed = await climb(settings, put(lying))
    assert climbed.probe.duration == 7190
    assert climbed.made.duration == pytest.approx(11, abs=0.2)
    frames = next(one for one in climbed.made.products if one.name == "frames")
    assert frames.details["count"] == 8


async def test_two_hours(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("two-hours.mp4", *bars(rate="1/10", seconds=7190), *X264, "-g", "5"))
    climbed = await climb(settings, folder)
    assert climbed.made.products[0].name == PLAY
    assert climbed.made.duration == pytest.approx(7190, abs=1)
    for rung in climbed.rungs:
        assert (len(rung.times), rung.times[-1]) == (719, 7180)


async def test_one_frame_that_is_heard_for_long(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("slide.mkv", *bars(), *tone(), "-vf", "select='eq(n,0)'", *VP9, "-c:a", "libopus"))
    climbed = await climb(settings, folder)
    for rung in climbed.rungs:
        assert (len(rung.frames), rung.streams) == (55, ["h264", "aac"])
    assert climbed.made.duration == pytest.approx(11, abs=0.3)


async def test_colours_without_a_name_get_the_one_that_players_guess(settings: Settings, put: Put, film: Film) -> None:
    for size, matrix in (("480x320", 6), ("1280x720", 1)):
        folder = put(film(f"unnamed-{size}.webm", *bars(size, "1"), *VP9))
        for rung in (await climb(settings, folder)).rungs:
            assert rung.colours[2] == matrix


async def test_the_rung_that_is_only_heard(settings: Settings, put: Put, film: Film) -> None:
    stereo = ("-f", "lavfi", "-i", "aevalsrc='sin(440*2*PI*t)|sin(660*2*PI*t)':s=48000:d=11")
    folder = put(film("stereo.mp4", *bars(), *stereo, *X264, "-c:a", "aac"))
    made = await make(settings, folder, "video", lambda _: None)
    wanted = next(one for one in made.wanted if one.name == SOUND)
    assert (wanted.role, wanted.width, wanted.mime) == ("rung", None, "audio/mp4")
    file, playlist = await make_sound(folder, PLAY, 11.0)
    assert [file, playlist] == sound_products(folder)
    assert (file.name, playlist.name, file.details["codecs"]) == (SOUND, "sound.m3u8", "mp4a.40.2")
    assert file.bitrate is not None
    assert 24_000 < file.bitrate <= file.details["bandwidth"] < 80_000
    assert file.details["seconds"] == pytest.approx(11, abs=0.1)
    with av.open(str(folder / SOUND)) as container:
        [stream] = container.streams
        assert (stream.codec_context.name, container.streams.audio[0].codec_context.channels) == ("aac", 1)
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(11 * 48_000, abs=4096)
