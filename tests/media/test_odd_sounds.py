"""Sounds that are not as they should be: strange samples, headers that lie or say nothing, clocks that are wrong.

What counts is how long it is when it is decoded to its end: so long is what plays, to 50 milliseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from strvsocial.media.audio import takes_long
from strvsocial.media.failures import CannotDecode
from strvsocial.media.probing import Probe, Stream, probe
from strvsocial.media.processing import QUICK_RUN_SECONDS, TakesLong, make
from strvsocial.media.products import Made
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]
SECONDS = 1.3
EXACT = 0.05
HOURS = 5 * 3600


def _tone(rate: int = 44_100, *filters: str, seconds: float = SECONDS) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", ",".join([f"sine=frequency=440:sample_rate={rate}:duration={seconds}", *filters]))


SOURCES: dict[str, tuple[str, ...]] = {
    "eight-bits.wav": (*_tone(11_025), "-c:a", "pcm_u8"),
    "studio.wav": (*_tone(96_000), "-c:a", "pcm_s24le", "-ac", "2"),
    "too-loud-for-integers.wav": (*_tone(192_000, "volume=30dB"), "-c:a", "pcm_f32le"),
    "double.wav": (*_tone(), "-c:a", "pcm_f64le"),
    "telephone.wav": (*_tone(8_000), "-c:a", "pcm_alaw"),
    "telephone.aifc": (*_tone(8_000), "-f", "aiff", "-c:a", "pcm_mulaw"),
    "surround.wav": (*_tone(48_000), "-af", "pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0"),
    "quadro.flac": (*_tone(48_000), "-af", "pan=4.0|FL=c0|FR=c0|FC=c0|BC=c0"),
    "surround.m4a": (*_tone(48_000), "-af", "pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0", "-c:a", "aac"),
    "big-endian.aiff": (*_tone(44_100), "-c:a", "pcm_s24be"),
    "clipped.wav": _tone(44_100, "volume=40dB"),
    "from-a-microphone.webm": (*_tone(48_000), "-c:a", "libopus", "-f", "webm", "-live", "1"),
    "begins-late.mka": ("-itsoffset", "3", *_tone(48_000), "-c:a", "flac"),
    "blink.wav": _tone(seconds=0.1),
    "blink.mp3": (*_tone(seconds=0.1), "-c:a", "libmp3lame"),
    "silence.ogg": ("-f", "lavfi", "-i", f"anullsrc=r=44100:cl=stereo:d={SECONDS}", "-c:a", "libvorbis"),
    "long-film-frames.m4a": (*_tone(), "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
}


async def _make(settings: Settings, folder: Path) -> Made:
    return await make(settings, folder, "audio", lambda _: None, quick=True)


def _check(folder: Path, made: Made, seconds: float, exact: float = EXACT) -> None:
    assert made.duration == pytest.approx(seconds, abs=exact)
    plays = [product.name for product in made.products if product.role in ("playback", "variant")]
    assert plays
    for name in plays:
        with av.open(str(folder / name)) as container:
            assert (container.duration or 0) / 1e6 == pytest.approx(made.duration, abs=EXACT)
            sound = container.streams.audio[0].codec_context
            assert sound.channels <= 2
            assert sound.sample_rate <= 48_000
            decoded = sum(frame.samples for frame in container.decode(audio=0)) / sound.sample_rate
        assert decoded == pytest.approx(made.duration, abs=EXACT)


@pytest.mark.parametrize("name", SOURCES)
async def test_odd_but_sound(settings: Settings, put: Put, film: Film, name: str) -> None:
    folder = put(film(name, *SOURCES[name]))
    _check(folder, await _make(settings, folder), 0.1 if name.startswith("blink") else SECONDS)


async def test_frames_that_are_missing_leave_no_hole(settings: Settings, put: Put, film: Film) -> None:
    """Its clock jumps a second; nothing is heard then, and nobody waits for it."""
    holed = film("holed.mka", *_tone(48_000, seconds=3), "-af", "aselect='lt(t,1)+gt(t,2)'", "-c:a", "libopus")
    folder = put(holed)
    _check(folder, await _make(settings, folder), 2)


async def test_raw_frames_know_no_length(settings: Settings, put: Put, film: Film) -> None:
    """Neither ADTS nor MP3 without a first frame that counts say how long they are."""
    for name, arguments in {
        "raw.aac": ("-c:a", "aac", "-f", "adts"),
        "varying.mp3": ("-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0", "-id3v2_version", "0"),
    }.items():
        # As loud as it should be, so that its bits are kept. The encoder's own silence before and after is heard, too.
        folder = put(film(name, *_tone(44_100, "volume=2.2dB"), *arguments))
        _check(folder, await _make(settings, folder), SECONDS, 0.08)


def _patched(content: bytes, mark: bytes, after: int, value: bytes) -> bytes:
    at = content.index(mark) + len(mark) + after
    return content[:at] + value + content[at + len(value) :]


def _wav(length: bytes) -> Callable[[bytes], bytes]:
    return lambda content: _patched(content, b"data", 0, length)


def _claims_hours_m4a(content: bytes) -> bytes:
    for mark, after, scale in ((b"mvhd", 16, 1000), (b"tkhd", 20, 1000), (b"mdhd", 16, 44_100)):
        content = _patched(content, mark, after, struct.pack(">I", scale * HOURS))
    return content


LIES: dict[str, tuple[tuple[str, ...], Callable[[bytes], bytes]]] = {
    "endless.wav": (_tone(), _wav(b"\xff" * 4)),
    "empty.wav": (_tone(), _wav(bytes(4))),
    "hours.wav": (_tone(), _wav(struct.pack("<I", 2 * 44_100 * HOURS))),
    "hours.m4a": ((*_tone(44_100, "volume=2.2dB"), "-c:a", "aac"), _claims_hours_m4a),
    "hours.mp3": (
        (*_tone(), "-c:a", "libmp3lame", "-b:a", "128k"),
        lambda content: _patched(content, b"Info", 4, struct.pack(">I", 38 * 7 * 3600)),
    ),
    "days.flac": (_tone(), lambda content: _patched(content, b"fLaC", 18, b"\xff" * 4)),
}


@pytest.mark.parametrize("name", LIES)
async def test_headers_lie(settings: Settings, folder: Path, film: Film, name: str) -> None:
    arguments, lie = LIES[name]
    content = lie(film(name, *arguments).read_bytes())
    (folder / "source").write_bytes(content)
    _check(folder, await _make(settings, folder), SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_more_than_six_hours_are_refused(settings: Settings, put: Put, film: Film) -> None:
    """Six hours of silence in FLAC are small: what it decodes to is what counts."""
    silence = film("night.flac", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=21610", "-frame_size", "65535")
    folder = put(silence)
    with pytest.raises(CannotDecode, match="too long: we take 6 hours"):
        await make(settings, folder, "audio", lambda _: None)


async def test_a_quick_lane_gives_up_in_time(
    settings: Settings, put: Put, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header may say that it is short; the lane does not wait to find out."""
    assert QUICK_RUN_SECONDS < 120
    monkeypatch.setattr("strvsocial.media.processing.QUICK_RUN_SECONDS", 0.001)
    folder = put(film("short.wav", *_tone()))
    with pytest.raises(TakesLong):
        await _make(settings, folder)
    assert (await make(settings, folder, "audio", lambda _: None)).kind == "audio"


async def test_films_go_to_the_other_lane(settings: Settings, put: Put, film: Film) -> None:
    """Whatever its first bytes said."""
    folder = put(film("film.mkv", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", "-c:v", "libvpx"))
    with pytest.raises(TakesLong):
        await make(settings, folder, "audio", lambda _: None, quick=True)


@pytest.mark.parametrize(
    ("codec", "duration", "size", "is_long"),
    [
        ("mp3float", 1_100.0, 20 << 20, False),
        ("mp3float", 1_300.0, 20 << 20, True),
        ("mp3float", 20_000.0, 1 << 20, False),  # A lie: there are not so many bytes.
        ("opus", None, 3 << 20, False),
        ("opus", None, 30 << 20, True),
        ("flac", None, 30 << 20, False),
    ],
)
async def test_what_takes_long(folder: Path, codec: str, duration: float | None, size: int, is_long: bool) -> None:
    with (folder / "source").open("wb") as file:
        file.truncate(size)
    stream = Stream(0, "audio", codec, known=True, is_cover=False, sample_rate=44_100, channels=2)
    assert takes_long(folder, Probe("mp3", duration, None, [stream])) is is_long


async def test_the_probe_tells_kinds_of_aac_apart(put: Put, film: Film) -> None:
    found = await probe(put(film("plain.m4a", *_tone(), "-c:a", "aac")))
    assert found.sound is not None
    assert found.sound.profile == "LC"
