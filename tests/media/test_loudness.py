"""Nobody reaches for the volume: what is served is as loud as everything else, and its dynamics are its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from strvsocial.db import Database
from strvsocial.media.finishing import finish_at_once
from strvsocial.media.loudness import Loudness, find_gain, is_even, read_loudness
from strvsocial.media.processing import make
from strvsocial.media.products import Made
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.media.video import PLAY
from strvsocial.settings import Settings
from strvsocial.storage import Storage

Put = Callable[[Path], Path]
Film = Callable[..., Path]
SPEECH_LIKE = "anoisesrc=color=pink:seed=7:duration=3:sample_rate=44100,tremolo=f=3:d=0.7"
SUMMARY = """[Parsed_ebur128_2 @ 0x55] Summary:

  Integrated loudness:
    I:         {} LUFS
    Threshold: -27.0 LUFS

  True peak:
    Peak:       {} dBFS
"""


def _noise(decibels: float, *filters: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", ",".join([SPEECH_LIKE, *filters, f"volume={decibels}dB"]))


def _heard(path: Path) -> tuple[float, float]:
    """Loudness and true peak by ffmpeg's other measure, the one inside of loudnorm; mono as from two loudspeakers."""
    measure = "loudnorm=print_format=json:dual_mono=true"
    command = [find_ffmpeg(), "-nostdin", "-v", "info", "-i", str(path), "-af", measure, "-f", "null", "-"]
    told = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stderr
    found: dict[str, str] = json.loads(told[told.rindex("{") : told.rindex("}") + 1])
    return float(found["input_i"]), float(found["input_tp"])


async def _make(settings: Settings, folder: Path) -> dict[str, Any]:
    made = await make(settings, folder, "audio", lambda _: None)
    return {product.name: product for product in made.products}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("decibels", [-14, 9])
async def test_quiet_and_loud_meet(settings: Settings, put: Put, film: Film, decibels: int, channels: int) -> None:
    source = film(f"n{decibels}.{channels}.flac", *_noise(decibels), "-ac", str(channels))
    before, peak = _heard(source)
    assert abs(before + 16) > 3
    folder = put(source)
    original = source.read_bytes()
    products = await _make(settings, folder)
    for name in ("play.m4a", "play.webm"):
        loudness, after = _heard(folder / name)
        assert loudness == pytest.approx(-16, abs=0.7)
        assert after < 0
        told = products[name].details["loudness"]
        assert told["integrated"] == pytest.approx(before, abs=0.4)
        assert told["true_peak"] == pytest.approx(peak, abs=0.5)
        assert told["gain"] == pytest.approx(-16 - before, abs=0.4)
    assert (folder / "source").read_bytes() == original


async def test_dynamics_are_not_squeezed(settings: Settings, put: Put, film: Film) -> None:
    """A loud bang in a quiet sound leaves no room: it becomes as loud as the bang allows, and the bang stays a bang."""
    bang = "volume='if(between(t,1,1.05),12,1)':eval=frame"
    source = film("bang.flac", *_noise(-22, bang))
    before, peak = _heard(source)
    folder = put(source)
    told = (await _make(settings, folder))["play.m4a"].details["loudness"]
    loudness, after = _heard(folder / "play.m4a")
    assert told["gain"] == pytest.approx(-1 - peak, abs=0.4)
    assert 3 < told["gain"] < -16 - before - 2
    assert after < 0.5
    assert after - loudness == pytest.approx(peak - before, abs=1)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("silence.flac", ("-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono:d=2")),
        ("click.wav", ("-f", "lavfi", "-i", "sine=duration=0.3,volume=12dB")),
    ],
)
async def test_silence_and_clicks_are_left_alone(
    settings: Settings, put: Put, film: Film, name: str, source: tuple[str, ...]
) -> None:
    folder = put(film(name, *source))
    products = await _make(settings, folder)
    assert products["play.m4a"].details == {}
    assert _heard(folder / "play.m4a")[1] == pytest.approx(_heard(folder / "source")[1], abs=1)


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(("suffix", "play"), [("mp3", "play.mp3"), ("m4a", "play.m4a"), ("aac", "play.m4a")])
async def test_what_is_even_keeps_its_bits(settings: Settings, put: Put, film: Film, suffix: str, play: str) -> None:
    source = film(f"even.{suffix}", *_noise(2), "-ac", "2", "-b:a", "192k", "-metadata", "title=Alice")
    assert _heard(source)[0] == pytest.approx(-16, abs=0.9)
    folder = put(source)
    products = await _make(settings, folder)
    header = 7 if suffix == "aac" else 0  # ADTS has one before each packet.
    sent, served = [packet[header:] for packet in _packets(folder / "source")], _packets(folder / play)
    assert [packet for packet in served if packet not in sent][1:] == []  # MP3 may begin with a frame that counts.
    assert len(served) >= len(sent) - 1
    assert b"Alice" not in (folder / play).read_bytes()
    assert products[play].details["loudness"]["gain"] == 0
    assert products["play.webm"].bitrate < products[play].bitrate
    assert _heard(folder / "play.webm")[0] == pytest.approx(-16, abs=1.1)


async def test_little_speech_gets_no_second_file(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("small.mp3", *_noise(0.6), "-ac", "1", "-ar", "16000", "-b:a", "24k"))
    products = await _make(settings, folder)
    assert [name for name in products if name.startswith("play")] == ["play.mp3"]


async def test_no_more_bits_than_the_source_has(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("low.ogg", *_noise(-9), "-ac", "1", "-c:a", "libopus", "-b:a", "32k"))
    source = 8 * (folder / "source").stat().st_size / 3
    products = await _make(settings, folder)
    assert products["play.m4a"].bitrate < 2 * source
    assert products["play.webm"].bitrate < 1.2 * source


@pytest.mark.parametrize(
    ("integrated", "peak", "gain"),
    [(-16, -3, 0), (-9, 0.5, -7), (-30, -20, 14), (-30, -5, 4), (-16.5, 0.4, -1.4), (-60, -50, 20), (-23, -9, 7)],
)
def test_one_gain(integrated: float, peak: float, gain: float) -> None:
    assert find_gain(integrated, peak) == pytest.approx(gain)


def test_what_is_nearly_even_is_even() -> None:
    assert is_even(None)
    assert is_even(Loudness(-16.9, -3, 0.9))
    assert is_even(Loudness(-25, -1.5, 0.5))
    assert not is_even(Loudness(-14.9, -3, -1.1))


def test_only_the_last_word_counts() -> None:
    """A title may pretend to be a measurement; the real one comes after it."""
    log = SUMMARY.format(-1, 0) + "\n" + SUMMARY.format(-20.5, -4.2)
    assert read_loudness(log, 10) == (-20.5, -4.2, 3.2)
    assert read_loudness(log, 0.5) is None
    assert read_loudness(SUMMARY.format("-70.0", "-inf"), 10) is None
    assert read_loudness("", 10) is None


BARS = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=3")
LARGE = ("-f", "lavfi", "-i", "testsrc2=size=480x480:rate=5:duration=11")
X264 = ("-c:v", "libx264", "-preset", "ultrafast")


async def _make_film(settings: Settings, folder: Path) -> Made:
    return await make(settings, folder, "video", lambda _: None)


def _pictures(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("name", "codec"), [("film.mp4", "aac"), ("film.mov", "pcm_s16le"), ("film.mkv", "libopus"), ("loud.mp4", "aac")]
)
async def test_films_are_as_loud_as_sounds_and_keep_their_pictures(
    settings: Settings, put: Put, film: Film, name: str, codec: str
) -> None:
    source = film(name, *BARS, *_noise(9 if name == "loud.mp4" else -14), *X264, "-c:a", codec, "-ac", "2")
    before, _ = _heard(source)
    assert abs(before + 16) > 3
    folder = put(source)
    made = await _make_film(settings, folder)
    assert _heard(folder / PLAY)[0] == pytest.approx(-16, abs=0.7)
    assert made.products[0].details["loudness"]["gain"] == pytest.approx(-16 - before, abs=0.4)
    if name != "film.mkv":
        assert _pictures(folder / PLAY) == _pictures(folder / "source")


async def test_an_even_film_keeps_its_sound_too(settings: Settings, put: Put, film: Film) -> None:
    source = film("even.mp4", *BARS, *_noise(2), *X264, "-c:a", "aac", "-ac", "2", "-b:a", "192k")
    folder = put(source)
    made = await _make_film(settings, folder)
    assert made.products[0].details["loudness"]["gain"] == 0
    assert _packets(folder / PLAY) == _packets(folder / "source")


async def test_every_size_of_a_film_takes_the_even_sound_over(
    settings: Settings, put: Put, film: Film, database: Database, storage: Storage
) -> None:
    noise = ("-f", "lavfi", "-i", f"{SPEECH_LIKE.replace('duration=3', 'duration=11')},volume=-12dB")
    folder = put(film("quiet.webm", *LARGE, *noise, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"))
    made = await finish_at_once(settings, database, storage, await _make_film(settings, folder), folder)
    told = {product.name: product for product in made.products}
    assert {"h240.mp4", "h480.mp4", "sound.mp4", PLAY} < set(told)
    for name in ("h240.mp4", "h480.mp4", "sound.mp4", PLAY):
        assert _heard(folder / name)[0] == pytest.approx(-16, abs=1)
    assert told[PLAY].details["loudness"]["gain"] > 3


@pytest.mark.parametrize(
    ("name", "late", "encoding"),
    [
        ("aac.mp4", 0.0, ("-c:a", "aac")),
        ("late.mp4", 0.7, ("-c:a", "aac")),
        ("late.mkv", 0.7, ("-c:a", "pcm_s16le")),
        ("pcm.mov", 0.0, ("-c:a", "pcm_s16le")),
        ("mp3.mkv", 0.3, ("-c:a", "libmp3lame")),
    ],
)
async def test_an_evened_sound_stays_with_its_pictures(
    settings: Settings, put: Put, film: Film, name: str, late: float, encoding: tuple[str, ...]
) -> None:
    beep = ("-f", "lavfi", "-i", "sine=frequency=880:duration=3,volume='if(between(t,1.2,2),0.1,0)':eval=frame")
    arguments = (*BARS, "-itsoffset", str(late), *beep, "-map", "0:v", "-map", "1:a", *X264, "-bf", "2", *encoding)
    folder = put(film(name, *arguments))
    made = await _make_film(settings, folder)
    assert made.products[0].details["loudness"]["gain"] > 3
    assert _onset(folder / PLAY) == pytest.approx(_onset(folder / "source"), abs=0.03)


def _onset(path: Path) -> float:
    """Seconds from the first picture to the first sound."""
    with av.open(str(path)) as container:
        first = min(frame.time for frame in container.decode(video=0) if frame.time is not None)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0) > 0.3 * _most(path))
            if len(loud) and frame.time is not None:
                return float(frame.time + loud[0] / frame.sample_rate / _interleaved(frame) - first)
    raise AssertionError("no sound")


@lru_cache
def _most(path: Path) -> float:
    with av.open(str(path)) as container:
        return max(float(np.abs(frame.to_ndarray().astype(np.float64)).max()) for frame in container.decode(audio=0))


def _interleaved(frame: Any) -> int:
    return 1 if frame.format.is_planar else len(frame.layout.channels)
