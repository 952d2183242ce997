"""Films: H.264 with AAC in MP4 keeps its bits and loses its metadata; everything else is transcoded to that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from strvsocial.media.audio import aac_arguments, pcm_output, pcm_product
from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.ffmpeg import WITHOUT_METADATA, read_source
from strvsocial.media.probing import Picture, Probe
from strvsocial.media.products import Made, Product, size_of
from strvsocial.media.sandbox import DecoderFailed, Limits, Refused, run_ffmpeg
from strvsocial.media.stills import take_stills
from strvsocial.settings import Settings

MAX_SECONDS = 2 * 3600
LONG_SIDE, SHORT_SIDE, MAX_FPS = 1920, 1080, 60
MAX_COPIED_BITRATE = 20_000_000
"""Bits a second: what is above is transcoded even though browsers could play it."""
FRAMES_FOR_EMBEDDER = 8
KEY_FRAME_SECONDS = 2
TONEMAP = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"

Progress = Callable[[float], None]
"""Hears how much of the work is done, from 0 to 1."""


async def make_video(settings: Settings, folder: Path, probe: Probe, on_progress: Progress) -> Made:
    """Makes `play.mp4`, a poster, up to 8 frames, and `pcm` when there is sound. Raises CannotDecode."""
    if probe.film is None or probe.film.video is None:
        raise damaged("video")
    if (probe.duration or 0) > MAX_SECONDS:
        raise CannotDecode(f"This video is too long: we take {MAX_SECONDS // 3600} hours.")
    try:
        await _play(settings, folder, probe, probe.film.video, on_progress)
        stills = await take_stills(folder, "play.mp4", FRAMES_FOR_EMBEDDER, probe.duration or 0)
    except DecoderFailed as failure:
        raise explain(failure, "video", settings.max_image_pixels) from failure
    bitrate = round(8 * size_of(folder, "play.mp4") / stills.duration) if stills.duration else None
    products = [Product("play.mp4", "playback", stills.width, stills.height, bitrate), *stills.products]
    has_audio = size_of(folder, "pcm") > 0
    if has_audio:
        products.append(pcm_product(folder))
    return Made(
        "video",
        products,
        stills.width,
        stills.height,
        duration=stills.duration,
        has_audio=has_audio,
        placeholder=stills.placeholder,
    )


async def _play(settings: Settings, folder: Path, probe: Probe, film: Picture, on_progress: Progress) -> None:
    """Writes `play.mp4`, and `pcm` when there is sound."""
    ways = [_transcode(probe, film, tonemap=False)]
    if film.is_hdr:
        ways.insert(0, _transcode(probe, film, tonemap=True))
    if can_be_copied(probe, film):
        ways.insert(0, _copy(probe))
    seconds = probe.duration or MAX_SECONDS
    limits = Limits(wall=180 + 8 * seconds, cpu=int(180 + 12 * seconds), file_size=8 << 30)
    pcm = pcm_output(probe.sound, MAX_SECONDS) if probe.sound else []
    for way in ways:
        play = [
            *way,
            "-t",
            str(MAX_SECONDS),
            *WITHOUT_METADATA,
            "-f",
            "mp4",
            "-movflags",
            "+faststart",
            "file:play.mp4",
        ]
        arguments = [*read_source(threads=settings.ffmpeg_threads), *play, *pcm]
        try:
            await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(min(1, now / seconds)))
        except Refused:
            if way is ways[-1]:
                raise
        else:
            return


def can_be_copied(probe: Probe, film: Picture) -> bool:
    """True when every browser plays the streams as they are."""
    return bool(
        probe.film
        and probe.film.codec == "h264"
        and film.pixels in ("yuv420p", "yuvj420p")
        and max(film.shown_size) <= LONG_SIDE
        and min(film.shown_size) <= SHORT_SIDE
        and 0 < film.fps <= MAX_FPS + 1
        and (probe.bitrate or 0) <= MAX_COPIED_BITRATE
        and (probe.sound is None or probe.sound.codec == "aac")
    )


def _maps(probe: Probe) -> list[str]:
    streams = [stream for stream in (probe.film, probe.sound) if stream is not None]
    return [argument for stream in streams for argument in ("-map", f"0:{stream.index}")]


def _copy(probe: Probe) -> list[str]:
    return [*_maps(probe), "-c", "copy"]


def target_size(width: int, height: int) -> tuple[int, int]:
    """Even, and within 1920 x 1080 lying or standing, never larger than it was."""
    scale = min(1, LONG_SIDE / max(width, height), SHORT_SIDE / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _transcode(probe: Probe, film: Picture, *, tonemap: bool) -> list[str]:
    width, height = target_size(*film.shown_size)
    filters = [f"scale={width}:{height}:flags=bicubic", "setsar=1"]
    if tonemap:
        filters.append(TONEMAP)
    if film.fps > MAX_FPS + 1:
        filters.insert(0, f"fps={MAX_FPS}")
    sound = []
    if probe.sound is not None:
        sound = ["-c:a", "copy"] if probe.sound.codec == "aac" else aac_arguments(probe.sound)
    return [
        *_maps(probe),
        "-vf", ",".join([*filters, "format=yuv420p"]),
        "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-crf", "23",
        "-force_key_frames", f"expr:gte(t,n_forced*{KEY_FRAME_SECONDS})",
        *sound,
    ]  # fmt: skip
