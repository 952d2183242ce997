"""Films: H.264 with AAC in MP4 keeps its bits and loses its metadata; everything else is transcoded to that.

A film can be watched as soon as there is one file of it: its own bits where browsers play them, else its lowest rung. The
other rungs of the ladder follow in a run of their own that decodes the film once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from strvsocial.media.audio import aac_arguments, pcm_output, pcm_product
from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.ffmpeg import WITHOUT_METADATA, read_source
from strvsocial.media.ladder import LONG_SIDE, SHORT_SECONDS, Rung, climb, encode, rung_products, segment
from strvsocial.media.previews import wanted_previews
from strvsocial.media.probing import Picture, Probe
from strvsocial.media.products import Made, Product, size_of
from strvsocial.media.sandbox import DecoderFailed, Limits, Refused, run_ffmpeg
from strvsocial.media.stills import take_stills
from strvsocial.settings import Settings

MAX_SECONDS = 2 * 3600
SHORT_SIDE, MAX_FPS = 1080, 60
MAX_COPIED_BITRATE = 20_000_000
"""Bits a second: what is above is transcoded even though browsers could play it."""
FRAMES_FOR_EMBEDDER = 8
PLAY = "play.mp4"
"""The whole film in one file, for downloads and old players."""
MP4 = ("-f", "mp4", "-movflags", "+faststart")
TONEMAP = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"

Progress = Callable[[float], None]
"""Hears how much of the work is done, from 0 to 1."""


async def make_video(settings: Settings, folder: Path, probe: Probe, on_progress: Progress) -> Made:
    """Makes what can be watched first, a poster, up to 8 frames, and `pcm` when there is sound. Raises CannotDecode."""
    film = _film_of(probe)
    rungs = ladder_of(probe, film)
    try:
        name = await _play(settings, folder, probe, film, rungs, on_progress)
        # The poster is as sharp as the film, not as its lowest rung; but only what we encoded is not HDR.
        seen = "source" if name != PLAY and not film.is_hdr else name
        stills = await take_stills(folder, seen, FRAMES_FOR_EMBEDDER, probe.duration or 0)
    except DecoderFailed as failure:
        raise explain(failure, "video", settings.max_image_pixels) from failure
    has_audio = size_of(folder, "pcm") > 0
    if name == PLAY:
        width, height, duration = stills.width, stills.height, stills.duration
        bitrate = round(8 * size_of(folder, PLAY) / duration) if duration else None
        products = [Product(PLAY, "playback", width, height, bitrate)]
    else:
        width, height = target_size(*film.shown_size)
        products = rung_products(folder, rungs[0], has_audio=has_audio)
        duration = products[0].details["seconds"]
    made = {product.name for product in products}
    wanted = [Product(rung.file, "rung", rung.width, rung.height) for rung in rungs if rung.file not in made]
    if rungs and PLAY not in made:
        wanted.append(Product(PLAY, "playback", rungs[-1].width, rungs[-1].height))
    wanted += wanted_previews(duration)
    sound = [pcm_product(folder)] if has_audio else []
    return Made(
        "video",
        [*products, *stills.products, *sound],
        width,
        height,
        duration=duration,
        has_audio=has_audio,
        placeholder=stills.placeholder,
        wanted=wanted,
    )


def _film_of(probe: Probe) -> Picture:
    if probe.film is None or probe.film.video is None:
        raise damaged("video")
    if (probe.duration or 0) > MAX_SECONDS:
        raise CannotDecode(f"This video is too long: we take {MAX_SECONDS // 3600} hours.")
    return probe.film.video


def ladder_of(probe: Probe, film: Picture) -> list[Rung]:
    """The rungs that a film gets: none when it is short or small."""
    rungs = climb(*target_size(*film.shown_size))
    is_short = probe.duration is not None and probe.duration <= SHORT_SECONDS
    return [] if is_short or len(rungs) < 2 else rungs


async def _play(
    settings: Settings, folder: Path, probe: Probe, film: Picture, rungs: list[Rung], on_progress: Progress
) -> str:
    """Writes what can be watched first, and `pcm` when there is sound; returns the name of the former."""
    low = rungs[0] if rungs else None
    ways: list[tuple[str, list[str]]] = []
    if can_be_copied(probe, film):
        ways.append((PLAY, [*_maps(probe), "-c", "copy", *_ended(MP4), f"file:{PLAY}"]))
    for tonemap in (True, False) if film.is_hdr else (False,):
        if low is not None:
            ways.append((low.file, [*_transcode(probe, film, low, tonemap=tonemap), *_ended(()), *segment(low)]))
        else:
            ways.append((PLAY, [*_transcode(probe, film, None, tonemap=tonemap), *_ended(MP4), f"file:{PLAY}"]))
    seconds = probe.duration or MAX_SECONDS
    limits = Limits(wall=180 + 8 * seconds, cpu=int(180 + 12 * seconds), file_size=8 << 30)
    pcm = pcm_output(probe.sound, MAX_SECONDS) if probe.sound else []
    for number, (name, way) in enumerate(ways, 1):
        arguments = [*read_source(threads=settings.ffmpeg_threads), *way, *pcm]
        try:
            await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(min(1, now / seconds)))
        except Refused:
            if number == len(ways):
                raise
        else:
            return name
    raise AssertionError("there is always a way")


async def make_rungs(
    settings: Settings, folder: Path, probe: Probe, names: set[str], sound: str | None, on_progress: Progress
) -> list[Product]:
    """Encodes the rungs of `source` that `names` asks for, in one run with one decode. Their sound is taken over as it is
    from `sound`, an earlier product in the folder. Raises DecoderFailed."""
    film = _film_of(probe)
    rungs = [rung for rung in ladder_of(probe, film) if rung.file in names]
    seconds = probe.duration or MAX_SECONDS
    cost = 8 * len(rungs)
    limits = Limits(wall=300 + cost * seconds, cpu=int(300 + 2 * cost * seconds), file_size=8 << 30)
    inputs = read_source(threads=settings.ffmpeg_threads)
    if sound is not None:
        inputs += read_source(sound)
    for tonemap in (True, False) if film.is_hdr else (False,):
        arguments = [*inputs, "-filter_complex", _split(probe, film, rungs, tonemap=tonemap)]
        for rung in rungs:
            heard = ["-map", "1:a", "-c:a", "copy"] if sound is not None else []
            arguments += ["-map", f"[{rung.short}]", *heard, *encode(rung), *_ended(()), *segment(rung)]
        try:
            await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(min(1, now / seconds)))
        except Refused:
            if not tonemap:
                raise
        else:
            break
    return [product for rung in rungs for product in rung_products(folder, rung, has_audio=sound is not None)]


async def join_rung(folder: Path, name: str, size: tuple[int, int]) -> Product:
    """Writes `play.mp4` from the rung called `name`: the same bits with the index in front. Raises DecoderFailed."""
    whole = ["-map", "0", "-c", "copy", *_ended(MP4), f"file:{PLAY}"]
    seconds = 0.0

    def on_seconds(now: float) -> None:
        nonlocal seconds
        seconds = max(seconds, now)

    await run_ffmpeg([*read_source(name), *whole], folder, Limits(wall=600, cpu=600, file_size=8 << 30), on_seconds)
    bitrate = round(8 * size_of(folder, PLAY) / seconds) if seconds else None
    return Product(PLAY, "playback", *size, bitrate)


def _split(probe: Probe, film: Picture, rungs: list[Rung], *, tonemap: bool) -> str:
    """The filters that bring the film down to each rung, from the highest on."""
    assert probe.film is not None
    top = rungs[-1]
    first = ",".join(_fit(film, top, tonemap=tonemap))
    copies = "".join(f"[in{rung.short}]" for rung in rungs)
    parts = [f"[0:{probe.film.index}]{first},split={len(rungs)}{copies}"]
    for rung in rungs:
        scale = "" if rung is top else f"scale={rung.width}:{rung.height}:flags=bicubic,"
        parts.append(f"[in{rung.short}]{scale}setsar=1,format=yuv420p[{rung.short}]")
    return ";".join(parts)


def _fit(film: Picture, size: Rung | None, *, tonemap: bool) -> list[str]:
    width, height = (size.width, size.height) if size else target_size(*film.shown_size)
    filters = [f"fps={MAX_FPS}"] if film.fps > MAX_FPS + 1 else []
    filters += [f"scale={width}:{height}:flags=bicubic", "setsar=1"]
    return [*filters, TONEMAP] if tonemap else filters


def _ended(container: tuple[str, ...]) -> list[str]:
    return ["-t", str(MAX_SECONDS), *WITHOUT_METADATA, *container]


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


def target_size(width: int, height: int) -> tuple[int, int]:
    """Even, and within 1920 x 1080 lying or standing, never larger than it was."""
    scale = min(1, LONG_SIDE / max(width, height), SHORT_SIDE / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _transcode(probe: Probe, film: Picture, rung: Rung | None, *, tonemap: bool) -> list[str]:
    """Output arguments that encode the film as a rung, or at its own size."""
    sound = []
    if probe.sound is not None:
        sound = ["-c:a", "copy"] if probe.sound.codec == "aac" else aac_arguments(probe.sound)
    size = rung or Rung(SHORT_SIDE, *target_size(*film.shown_size))
    filters = ",".join([*_fit(film, rung, tonemap=tonemap), "format=yuv420p"])
    return [*_maps(probe), "-vf", filters, *encode(size), *sound]
