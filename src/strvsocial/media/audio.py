"""Sound: MP3 and AAC keep their bits and lose their metadata; everything else becomes AAC. And PCM for the embedder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.ffmpeg import WITHOUT_METADATA, read_source
from strvsocial.media.probing import Probe, Stream
from strvsocial.media.products import Made, Product, size_of
from strvsocial.media.sandbox import DecoderFailed, Limits, Refused, run_ffmpeg
from strvsocial.media.stills import take_cover
from strvsocial.media.waveforms import waveform_product
from strvsocial.settings import Settings

MAX_SECONDS = 6 * 3600
PCM_BYTES_A_SECOND = 2 * 16_000


def pcm_output(sound: Stream, max_seconds: int) -> list[str]:
    """Output arguments: mono 16 kHz little-endian int16 in `pcm`."""
    return [
        "-map", f"0:{sound.index}", "-t", str(max_seconds), "-ac", "1", "-ar", "16000",
        "-c:a", "pcm_s16le", "-f", "s16le", "file:pcm",
    ]  # fmt: skip


def pcm_product(folder: Path) -> Product:
    """The `pcm` that was made, with its seconds."""
    return Product("pcm", "pcm", details={"seconds": round(size_of(folder, "pcm") / PCM_BYTES_A_SECOND, 3)})


def aac_arguments(sound: Stream) -> list[str]:
    """Encoding arguments: AAC, at most stereo and 48 kHz."""
    channels = min(2, sound.channels)
    rate = [] if sound.sample_rate in (44_100, 48_000) else ["-ar", "48000"]
    bits = "160k" if channels == 2 else "96k"
    return ["-c:a", "aac", "-aac_coder", "fast", "-b:a", bits, "-ac", str(channels), *rate]


async def make_audio(settings: Settings, folder: Path, probe: Probe, on_progress: Callable[[float], None]) -> Made:
    """Makes `play.mp3` or `play.m4a`, `pcm`, the waveform, and a poster when there is cover art. Raises CannotDecode."""
    sound = probe.sound
    if sound is None:
        raise damaged("audio")
    if (probe.duration or 0) > MAX_SECONDS:
        raise CannotDecode(f"This recording is too long: we take {MAX_SECONDS // 3600} hours.")
    try:
        name = await _play(settings, folder, probe, sound, on_progress)
    except DecoderFailed as failure:
        raise explain(failure, "audio", settings.max_image_pixels) from failure
    pcm = pcm_product(folder)
    duration = pcm.details["seconds"]
    if not duration:
        raise damaged("audio")
    play = Product(name, "playback", bitrate=round(8 * size_of(folder, name) / duration))
    posters, placeholder = await _poster(folder, probe)
    waveform = await waveform_product(folder)
    return Made("audio", [play, pcm, waveform, *posters], duration=duration, has_audio=True, placeholder=placeholder)


async def _play(
    settings: Settings, folder: Path, probe: Probe, sound: Stream, on_progress: Callable[[float], None]
) -> str:
    """Writes what browsers play and `pcm` in one run; returns the name of the former."""
    keeps_mp3 = probe.format == "mp3" and sound.codec.startswith("mp3")
    name = "play.mp3" if keeps_mp3 else "play.m4a"
    wanted = ["-c:a", "copy"] if keeps_mp3 or sound.codec == "aac" else aac_arguments(sound)
    container = ["-f", "mp3", "-id3v2_version", "0"] if keeps_mp3 else ["-f", "ipod", "-movflags", "+faststart"]
    play = ["-map", f"0:{sound.index}", "-t", str(MAX_SECONDS), *wanted, *WITHOUT_METADATA, *container, f"file:{name}"]
    seconds = probe.duration or MAX_SECONDS
    limits = Limits(wall=120 + seconds / 4, cpu=int(120 + seconds / 4))
    arguments = [*read_source(threads=settings.ffmpeg_threads), *play, *pcm_output(sound, MAX_SECONDS)]
    await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(min(1, now / seconds)))
    return name


async def _poster(folder: Path, probe: Probe) -> tuple[list[Product], str | None]:
    """The cover as a poster. A cover that cannot be opened spoils nothing."""
    if probe.cover is None:
        return [], None
    copy = ["-map", f"0:{probe.cover.index}", "-c", "copy", "-frames:v", "1", "-f", "rawvideo", "file:picture"]
    with suppress(Refused):
        await run_ffmpeg([*read_source(), *copy], folder, Limits(wall=30, cpu=30))
        return await take_cover(folder)
    return [], None
