"""Films: H.264 keeps its bits and loses its metadata; everything else is transcoded to that, with AAC.

A film can be watched as soon as there is one file of it: its own bits where browsers play them, else its lowest rung. The
other rungs of the ladder follow in a run of their own that decodes the film once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from strvsocial.media.audio import Heard, pcm_product
from strvsocial.media.failures import CannotDecode, damaged, explain
from strvsocial.media.ffmpeg import WITHOUT_METADATA, read_source
from strvsocial.media.filters import MAX_FPS, fit, fit_again
from strvsocial.media.ladder import (
    LONG_SIDE,
    SHORT_SECONDS,
    SOUND,
    Rung,
    climb,
    encode,
    rung_products,
    segment,
    sound_arguments,
    sound_products,
)
from strvsocial.media.previews import wanted_previews
from strvsocial.media.probing import Picture, Probe
from strvsocial.media.products import Made, Product, size_of
from strvsocial.media.progress import Progress
from strvsocial.media.sandbox import DecoderFailed, Limits, Refused, run_ffmpeg
from strvsocial.media.soundtracks import hear, soundtrack_arguments, soundtrack_details
from strvsocial.media.stills import POSTER_BOX, take_stills
from strvsocial.settings import Settings

MAX_SECONDS = 2 * 3600
SHORT_SIDE = 1080
MAX_COPIED_BITRATE = 20_000_000
"""Bits a second: what is above is transcoded even though browsers could play it."""
FRAMES_FOR_EMBEDDER = 8
PLAY = "play.mp4"
"""The whole film in one file, for downloads and old players."""
MP4 = ("-f", "mp4", "-movflags", "+faststart")

LISTENING = 0.1
"""How much of the work it is, about, to listen to the sound."""


class _Way(NamedTuple):
    """One way to something that can be watched: the file's name, its output arguments, whether sound is in it."""

    name: str
    arguments: list[str]
    has_audio: bool


async def make_video(settings: Settings, folder: Path, probe: Probe, on_progress: Progress) -> Made:
    """Makes what can be watched first, a poster, up to 8 frames, and `pcm` when there is sound. Raises CannotDecode."""
    film = _film_of(probe)
    rungs = ladder_of(probe, film)
    try:
        heard = await hear(settings, folder, probe, MAX_SECONDS, lambda done: on_progress(LISTENING * done))
        ways = _ways(probe, film, rungs, heard)
        way = await _play(settings, folder, probe, ways, lambda done: on_progress(LISTENING + (1 - LISTENING) * done))
        has_audio = way.has_audio
        products = [] if way.name == PLAY else rung_products(folder, rungs[0], has_audio=has_audio)
        measured = products[0].details["seconds"] if products else None
        # Looking around in the lowest rung costs little; the poster alone is as sharp as the film.
        redraw = _redraw(folder, film) if products else None
        stills = await take_stills(folder, way.name, FRAMES_FOR_EMBEDDER, measured, redraw)
    except DecoderFailed as failure:
        raise explain(failure, "video", settings.max_image_pixels) from failure
    width, height = target_size(*film.shown_size) if products else (stills.width, stills.height)
    duration = measured or stills.duration or probe.duration or 0.0
    details = soundtrack_details(probe, heard) if has_audio else {}
    if way.name == PLAY:
        bitrate = round(8 * size_of(folder, PLAY) / duration) if duration else None
        products = [Product(PLAY, "playback", width, height, bitrate, details)]
    made = {product.name for product in products}
    wanted = [Product(rung.file, "rung", rung.width, rung.height) for rung in rungs if rung.file not in made]
    if rungs and has_audio:
        wanted.append(Product(SOUND, "rung"))
    if rungs and PLAY not in made:
        wanted.append(Product(PLAY, "playback", rungs[-1].width, rungs[-1].height, details=details))
    sound = [pcm_product(folder)] if has_audio else []
    return Made(
        "video",
        [*products, *stills.products, *sound],
        width,
        height,
        duration=duration,
        has_audio=has_audio,
        placeholder=stills.placeholder,
        wanted=[*wanted, *wanted_previews(duration)],
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


async def _play(settings: Settings, folder: Path, probe: Probe, ways: Sequence[_Way], on_progress: Progress) -> _Way:
    """Writes what can be watched first, in the first of the ways that can be gone."""
    seconds = probe.duration or MAX_SECONDS
    limits = Limits(wall=180 + 8 * seconds, cpu=int(180 + 12 * seconds), file_size=8 << 30)
    for way in ways:
        arguments = [*read_source(threads=settings.ffmpeg_threads), *way.arguments]
        try:
            await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(min(1, now / seconds)))
        except Refused:
            if way is ways[-1]:
                raise
        else:
            return way
    raise AssertionError("there is always a way without sound")


def _ways(probe: Probe, film: Picture, rungs: list[Rung], heard: Heard | None) -> list[_Way]:
    """From the best to the last: a film whose sound spoils it is shown without."""
    assert probe.film is not None
    ways = []
    for sound in (soundtrack_arguments(probe, heard), []) if heard else ([],):
        maps = ["-map", f"0:{probe.film.index}", *sound]
        if can_be_copied(probe, film):
            ways.append(_Way(PLAY, [*maps, "-c:v", "copy", *_ended(MP4), f"file:{PLAY}"], bool(sound)))
        rung = rungs[0] if rungs else Rung(SHORT_SIDE, *target_size(*film.shown_size))
        filters = ",".join([*fit(film, rung.width, rung.height), "format=yuv420p"])
        encoded = [*maps, "-vf", filters, *encode(rung)]
        if rungs:
            ways.append(_Way(rung.file, [*encoded, *_ended(()), *segment(rung.file, rung.playlist)], bool(sound)))
        else:
            ways.append(_Way(PLAY, [*encoded, *_ended(MP4), f"file:{PLAY}"], bool(sound)))
    return ways


def _redraw(folder: Path, film: Picture) -> Callable[[float], Awaitable[dict[str, int]]]:
    """How to draw the frame at a time as the rungs show it, and as large as a poster may be: raw RGB in `redrawn`."""
    width, height = film.shown_size
    scale = min(1, POSTER_BOX / max(width, height))
    size = {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}

    async def draw(seconds: float) -> dict[str, int]:
        filters = ",".join([*fit(film, size["width"], size["height"]), "format=rgb24"])
        at = ["-ss", str(seconds)] if seconds else []
        one = ["-map", "0:V:0", "-vf", filters, "-frames:v", "1", "-f", "rawvideo", "file:redrawn"]
        await run_ffmpeg([*at, *read_source(), *one], folder, Limits(wall=60, cpu=60))
        return size

    return draw


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
    arguments = [*inputs, "-filter_complex", _split(probe, film, rungs)]
    heard = ["-map", "1:a:0", "-c:a", "copy"] if sound is not None else []
    for rung in rungs:
        file = segment(rung.file, rung.playlist)
        arguments += ["-map", f"[{rung.short}]", *heard, *encode(rung), *_ended(()), *file]
    await run_ffmpeg(arguments, folder, limits, lambda now: on_progress(min(1, now / seconds)))
    return [product for rung in rungs for product in rung_products(folder, rung, has_audio=sound is not None)]


async def join_rung(folder: Path, name: str, wanted: Product) -> list[Product]:
    """Writes `play.mp4` from the rung called `name`: the same bits with the index in front. Raises DecoderFailed."""
    whole = ["-map", "0", "-c", "copy", *_ended(MP4), f"file:{PLAY}"]
    seconds = 0.0

    def on_seconds(now: float) -> None:
        nonlocal seconds
        seconds = max(seconds, now)

    await run_ffmpeg([*read_source(name), *whole], folder, Limits(wall=600, cpu=600, file_size=8 << 30), on_seconds)
    bitrate = round(8 * size_of(folder, PLAY) / seconds) if seconds else None
    return [replace(wanted, bitrate=bitrate)]


async def make_sound(folder: Path, name: str, seconds: float) -> list[Product]:
    """Makes the rung without pictures from an earlier product called `name`. Raises DecoderFailed."""
    limits = Limits(wall=120 + seconds / 4, cpu=int(120 + seconds / 4))
    await run_ffmpeg([*read_source(name), *sound_arguments()], folder, limits)
    return sound_products(folder)


def _split(probe: Probe, film: Picture, rungs: list[Rung]) -> str:
    """The filters that bring the film down to each rung, from the highest on."""
    assert probe.film is not None
    top = rungs[-1]
    first = ",".join([*fit(film, top.width, top.height), "format=yuv420p"])
    copies = "".join(f"[in{rung.short}]" for rung in rungs)
    parts = [f"[0:{probe.film.index}]{first},split={len(rungs)}{copies}"]
    for rung in rungs:
        filters = ["null"] if rung is top else fit_again(rung.width, rung.height)
        parts.append(f"[in{rung.short}]{','.join(filters)}[{rung.short}]")
    return ";".join(parts)


def _ended(container: tuple[str, ...]) -> list[str]:
    return ["-t", str(MAX_SECONDS), *WITHOUT_METADATA, *container]


def can_be_copied(probe: Probe, film: Picture) -> bool:
    """True when every browser plays the pictures as they are."""
    return bool(
        probe.film
        and probe.film.codec == "h264"
        and film.pixels in ("yuv420p", "yuvj420p")
        and max(film.shown_size) <= LONG_SIDE
        and min(film.shown_size) <= SHORT_SIDE
        and 0 < film.fps <= MAX_FPS + 1
        and (probe.bitrate or 0) <= MAX_COPIED_BITRATE
        and not film.interlaced
    )


def target_size(width: int, height: int) -> tuple[int, int]:
    """Even, and within 1920 x 1080 lying or standing, never larger than it was."""
    scale = min(1, LONG_SIDE / max(width, height), SHORT_SIDE / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
