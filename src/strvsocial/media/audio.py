"""Sound: evened in loudness, as AAC for everything that plays and as Opus for whoever takes fewer bytes.

MP3 and AAC that are as loud as they should be keep their bits and lose their metadata. The first run decodes once and
measures, and writes PCM for the embedder and the waveform; the second encodes. Of a long sound the Opus follows later.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.ffmpeg import WITHOUT_METADATA, read_source
from strvsocial.media.loudness import CONTIGUOUS, Loudness, evened, is_even, measuring_output, read_loudness
from strvsocial.media.probing import Probe, Stream
from strvsocial.media.products import Made, Product, size_of
from strvsocial.media.progress import Progress
from strvsocial.media.sandbox import DecoderFailed, Limits, Refused, run_ffmpeg
from strvsocial.media.stills import take_cover
from strvsocial.media.waveforms import waveform_product
from strvsocial.settings import Settings

MAX_SECONDS = 6 * 3600
LONG_SECONDS = 20 * 60
"""What is longer is work for minutes: it has its own lane, and its Opus comes after it can be heard."""
PCM_BYTES_A_SECOND = 2 * 16_000
LEAST_BITRATE = 6_000
"""Bits a second below which no codec that we take says anything: headers that promise longer sounds lie."""
LIKELY_BITRATE, LIKELY_LOSSLESS_BITRATE = 32_000, 400_000
"""Bits a second at least of nearly everything, by which a sound is judged that does not say how long it is."""
M4A, MP3, OPUS = "play.m4a", "play.mp3", "play.webm"
CONTAINERS = {
    M4A: ("-f", "ipod", "-movflags", "+faststart"),
    MP3: ("-f", "mp3", "-id3v2_version", "0"),
    OPUS: ("-f", "webm", "-cues_to_front", "1"),
}
NARROW = 24_000
"""Hertz: what is sampled at less, telephones and old voice recorders, has no heights to spend bits on."""
AAC_BITRATES = {(1, False): 96_000, (2, False): 160_000, (1, True): 48_000, (2, True): 80_000}
OPUS_BITRATES = {(1, False): 64_000, (2, False): 96_000, (1, True): 32_000, (2, True): 48_000}
"""Bits a second at most by channels, and whether it is narrow."""
PLAIN_AAC = ("LC", "HE-AAC", "HE-AACv2")
WORTH_IT = 0.8
"""Opus is made where it takes at most so much of the bytes of what plays everywhere."""


class Heard(NamedTuple):
    """A sound that was decoded to its end, which alone says how long it is. `loudness` is None where there is hardly any."""

    seconds: float
    loudness: Loudness | None


def pcm_output(sound: Stream, max_seconds: int) -> list[str]:
    """Output arguments: mono 16 kHz little-endian int16 in `pcm`."""
    return [
        "-map", f"0:{sound.index}", "-t", str(max_seconds), "-ac", "1", "-ar", "16000",
        "-c:a", "pcm_s16le", "-f", "s16le", "file:pcm",
    ]  # fmt: skip


def pcm_product(folder: Path) -> Product:
    """The `pcm` that was made, with its seconds."""
    return Product("pcm", "pcm", details={"seconds": round(size_of(folder, "pcm") / PCM_BYTES_A_SECOND, 3)})


def aac_arguments(sound: Stream, bitrate: int = 0) -> list[str]:
    """Encoding arguments: AAC, at most stereo and 48 kHz, at `bitrate` or as good as it need be."""
    channels, is_narrow = min(2, sound.channels), _is_narrow(sound)
    rate = [] if sound.sample_rate in (44_100, 48_000) else ["-ar", str(NARROW if is_narrow else 48_000)]
    bits = bitrate or AAC_BITRATES[channels, is_narrow]
    return ["-c:a", "aac", "-aac_coder", "fast", "-b:a", str(bits), "-ac", str(channels), *rate]


async def listen(
    settings: Settings,
    folder: Path,
    sound: Stream,
    limits: Limits,
    max_seconds: int,
    on_progress: Progress,
    *,
    is_alone: bool = True,
) -> Heard:
    """Decodes the sound of `source` once: writes `pcm` and measures its loudness. Raises DecoderFailed.

    Sound that is not alone keeps its clock, by which pictures go.
    """
    pcm = [*(["-af", CONTIGUOUS] if is_alone else []), *pcm_output(sound, max_seconds)]
    arguments = ["-v", "info", "-nostats", *read_source(threads=settings.ffmpeg_threads)]
    log = await run_ffmpeg([*arguments, *measuring_output(sound, max_seconds), *pcm], folder, limits, on_progress)
    seconds = size_of(folder, "pcm") / PCM_BYTES_A_SECOND
    return Heard(seconds, read_loudness(log, seconds))


async def make_audio(
    settings: Settings, folder: Path, probe: Probe, on_progress: Progress, *, wall: float | None = None
) -> Made:
    """Makes what plays, `pcm`, the waveform, and a poster when there is cover art.

    No run lasts longer than `wall` seconds. Raises CannotDecode, TimedOut.
    """
    sound = probe.sound
    if sound is None:
        raise damaged("audio")
    expected = _expected_seconds(folder, probe)
    limits = _limits(wall, folder, expected)
    try:
        heard = await listen(
            settings, folder, sound, limits, MAX_SECONDS + 1, lambda now: on_progress(0.3 * now / expected)
        )
        if not heard.seconds:
            raise damaged("audio")
        if heard.seconds > MAX_SECONDS:
            raise CannotDecode(f"This recording is too long: we take {MAX_SECONDS // 3600} hours.")
        made = await _encode(settings, folder, probe, heard, limits, on_progress)
    except DecoderFailed as failure:
        raise explain(failure, "audio", settings.max_image_pixels) from failure
    waveform = await waveform_product(folder)
    posters, placeholder = await _poster(folder, probe)
    width, height = (posters[0].width, posters[0].height) if posters else (None, None)
    return Made(
        "audio",
        [*made.products, pcm_product(folder), waveform, *posters],
        width,
        height,
        duration=round(heard.seconds, 3),
        has_audio=True,
        placeholder=placeholder,
        wanted=made.wanted,
    )


def takes_long(folder: Path, probe: Probe) -> bool:
    """Whether it seems to be work for minutes."""
    return _expected_seconds(folder, probe) > LONG_SECONDS


def _expected_seconds(folder: Path, probe: Probe) -> float:
    """How long the sound may be: what its header says where the bytes allow that, else by the bytes. At least a second."""
    bits = 8 * size_of(folder, "source")
    claims_enough = probe.duration and probe.duration <= bits / LEAST_BITRATE
    is_lossless = probe.sound is not None and probe.sound.codec.startswith(("pcm", "flac", "alac"))
    likely = bits / (LIKELY_LOSSLESS_BITRATE if is_lossless else LIKELY_BITRATE)
    return max(1.0, probe.duration if claims_enough and probe.duration else likely)


class _Encoded(NamedTuple):
    products: list[Product]
    wanted: list[Product]


async def _encode(
    settings: Settings, folder: Path, probe: Probe, heard: Heard, limits: Limits, on_progress: Progress
) -> _Encoded:
    """Makes what plays everywhere and, beside it or later, Opus."""
    sound = probe.sound
    assert sound is not None
    kept = _kept(probe, sound, heard)
    name = kept or M4A
    loudness = heard.loudness._replace(gain=0.0) if heard.loudness and kept else heard.loudness
    source_bits = 8 * size_of(folder, "source") / heard.seconds
    opus_bits = _fitting(OPUS_BITRATES, sound, source_bits)
    aac_bits = _fitting(AAC_BITRATES, sound, 1.5 * source_bits)
    wants_opus = opus_bits <= WORTH_IT * (source_bits if kept else aac_bits)
    is_long = heard.seconds > LONG_SECONDS
    gain = loudness.gain if loudness else 0.0
    outputs = _output(
        sound, name, ["-c:a", "copy"] if kept else [*_filter(sound, gain), *aac_arguments(sound, aac_bits)]
    )
    if wants_opus and not is_long:
        outputs += _opus_output(sound, gain, opus_bits)
    arguments = [*read_source(threads=settings.ffmpeg_threads), *outputs]
    await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(0.3 + 0.7 * now / heard.seconds))
    details = loudness.details if loudness else {}
    products = [_playing(folder, name, "playback", heard.seconds, details)]
    if not wants_opus:
        return _Encoded(products, [])
    if is_long:
        return _Encoded(products, [Product(OPUS, "variant", bitrate=opus_bits, details=details)])
    opus = _playing(folder, OPUS, "variant", heard.seconds, details)
    return _Encoded([*products, opus] if size_of(folder, OPUS) < size_of(folder, name) else products, [])


async def finish_audio(
    settings: Settings, folder: Path, probe: Probe, wanted: Product, seconds: float, on_progress: Progress
) -> list[Product]:
    """Makes the Opus of a long sound, as `make_audio` wanted it. Raises DecoderFailed."""
    sound = probe.sound
    assert sound is not None
    gain = wanted.details.get("loudness", {}).get("gain", 0.0)
    outputs = _opus_output(sound, gain, wanted.bitrate or OPUS_BITRATES[min(2, sound.channels), _is_narrow(sound)])
    arguments = [*read_source(threads=settings.ffmpeg_threads), *outputs]
    limits = _limits(None, folder, seconds)
    await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(now / seconds))
    return [_playing(folder, OPUS, "variant", seconds, wanted.details)]


def _kept(probe: Probe, sound: Stream, heard: Heard) -> str | None:
    """The name of what plays when the source's own bits do: every browser plays them, and they are as loud as others."""
    if not is_even(heard.loudness) or sound.channels > 2 or sound.sample_rate > 48_000:
        return None
    if probe.format == "mp3" and sound.codec in ("mp3", "mp3float"):
        return MP3
    if sound.codec != "aac" or sound.profile not in PLAIN_AAC:
        return None
    # A film's container may cut and shift the sound; then its samples are encoded anew, as they are heard.
    agrees = probe.duration is not None and abs(probe.duration - heard.seconds) <= 0.1
    return M4A if probe.format == "aac" or agrees else None


def _filter(sound: Stream, gain: float) -> list[str]:
    return ["-af", f"{CONTIGUOUS},{evened(sound, gain)}"]


def _opus_output(sound: Stream, gain: float, bitrate: int) -> list[str]:
    encoding = ["-c:a", "libopus", "-b:a", str(bitrate), "-ar", "48000"]
    return _output(sound, OPUS, [*_filter(sound, gain), *encoding])


def _output(sound: Stream, name: str, encoding: list[str]) -> list[str]:
    limit = ["-map", f"0:{sound.index}", "-t", str(MAX_SECONDS)]
    return [*limit, *encoding, *WITHOUT_METADATA, *CONTAINERS[name], f"file:{name}"]


def _playing(folder: Path, name: str, role: str, seconds: float, details: dict[str, Any]) -> Product:
    return Product(name, role, bitrate=round(8 * size_of(folder, name) / seconds), details=details)


def _is_narrow(sound: Stream) -> bool:
    return 0 < sound.sample_rate <= NARROW


def _fitting(bitrates: dict[tuple[int, bool], int], sound: Stream, source_bits: float) -> int:
    """Bits a second: not many more than the source has, as they would carry nothing."""
    channels = min(2, sound.channels)
    least, most = bitrates[channels, True] // 2 * (1 if _is_narrow(sound) else 2), bitrates[channels, _is_narrow(sound)]
    return round(min(most, max(least, source_bits)))


def _limits(wall: float | None, folder: Path, seconds: float) -> Limits:
    """Encoding takes a fiftieth of the sound on an idle machine. Headers may lie, so the bytes have a say."""
    possible = min(MAX_SECONDS, max(seconds, 8 * size_of(folder, "source") / LEAST_BITRATE))
    most = 120 + possible / 4
    return Limits(wall=min(most, wall or most), cpu=int(most), file_size=2 << 30)


async def _poster(folder: Path, probe: Probe) -> tuple[list[Product], str | None]:
    """The cover as a poster. A cover that cannot be opened spoils nothing."""
    if probe.cover is None:
        return [], None
    copy = ["-map", f"0:{probe.cover.index}", "-c", "copy", "-frames:v", "1", "-f", "rawvideo", "file:picture"]
    with suppress(Refused):
        await run_ffmpeg([*read_source(), *copy], folder, Limits(wall=30, cpu=30))
        return await take_cover(folder)
    return [], None
