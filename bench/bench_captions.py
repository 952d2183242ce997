"""Captions as the site makes them against faster-whisper called directly, with the same model, on the same files.

The site: the uploaded file is decoded in the sandbox, PCM goes to storage, voices are looked for, and Whisper hears them
piece by piece. Directly: `WhisperModel.transcribe` reads the file, with its own voice filter (`vad_filter=True`) and with
its defaults. Both in turn, on the same number of threads. Ours may have no more wrong words than the better of the two.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from faster_whisper import WhisperModel
from recordings import RATE, Recording, join, music, recordings, synthetic, word_errors, words, write
from report import Report

from strvsocial.embeddings.active import Active
from strvsocial.embeddings.encoders.cues import MOST_SECONDS
from strvsocial.embeddings.encoders.loader import Models
from strvsocial.embeddings.inputs import AttachmentInput, StoredPcm
from strvsocial.embeddings.pipeline import listen_on, with_analyses
from strvsocial.embeddings.profiles import PACKAGED
from strvsocial.embeddings.weights import locate
from strvsocial.media.processing import make
from strvsocial.media.sandbox import private_folder
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import Storage, open_storage

PICTURE = ("-f", "lavfi", "-i", "color=blue:size=64x64:rate=5", "-shortest", "-c:v", "libx264", "-preset", "ultrafast")
LONG_SECONDS = 330
"""Longer than one piece of what the site listens to at a time."""
LEAST_SPEED = 4.0
"""Times faster than real time, from the file to the last caption, on one thread of a small machine."""


class Case(NamedTuple):
    recording: Recording
    file: str
    arguments: tuple[str, ...]
    kind: str = "audio"
    real: bool = True


class Heard(NamedTuple):
    """What was understood, how long that took, and how long the longest caption stands, in seconds."""

    text: str
    seconds: float
    longest: float


Listen = Callable[[Case, Path], Awaitable[Heard]]


def cases(folder: Path) -> list[Case]:
    """Each recording as it is; then as a phone sends it, in a film, between music, and for longer than a piece."""
    spoken = recordings(folder)
    found = [Case(one, f"{one.name}.flac", ()) for one in spoken]
    longest = max(spoken, key=lambda one: one.seconds)
    found.append(Case(longest._replace(name="phone"), "phone.mp3", ("-ar", "8000", "-b:a", "16k")))
    found.append(Case(longest._replace(name="film"), "film.mp4", (*PICTURE, "-c:a", "aac", "-b:a", "64k"), "video"))
    found.append(Case(join("between music", spoken, music(12)), "music.m4a", ("-c:a", "aac")))
    rounds = int(LONG_SECONDS // sum(one.seconds for one in spoken)) + 1
    found.append(Case(join("long", spoken * rounds, np.zeros(RATE, np.int16)), "long.opus", ("-c:a", "libopus")))
    found.append(Case(synthetic(), "espeak.flac", (), real=False))
    return found


def by_site(settings: Settings, storage: Storage, active: Active) -> Listen:
    async def listen(case: Case, path: Path) -> Heard:
        began = time.perf_counter()
        async with private_folder(settings.data_dir / "tmp") as folder:
            await asyncio.to_thread(shutil.copyfile, path, folder / "source")
            await make(settings, folder, case.kind, lambda _: None)
            await storage.put_file("work/captions/pcm", folder / "pcm", "application/octet-stream")
            pcm = StoredPcm("work/captions/pcm", (folder / "pcm").stat().st_size)
        attachment, segments, is_complete = AttachmentInput(id=1, kind=case.kind, pcm=pcm), [], False
        while not is_complete:
            heard = await listen_on(active, storage, attachment)
            segments += heard.segments
            attachment = with_analyses(attachment, [heard.analysis])
            is_complete = heard.analysis.details["complete"]
        return _heard(segments, began)

    return listen


def _heard(segments: list[Any], began: float) -> Heard:
    longest = max((segment.end - segment.start for segment in segments), default=0.0)
    return Heard(" ".join(segment.text.strip() for segment in segments), time.perf_counter() - began, longest)


def directly(model: Any, **options: Any) -> Listen:
    async def listen(_: Case, path: Path) -> Heard:
        def transcribe() -> list[Any]:
            segments, _ = model.transcribe(str(path), beam_size=5, **options)
            return list(segments)

        began = time.perf_counter()
        return _heard(await asyncio.to_thread(transcribe), began)

    return listen


async def main() -> None:
    settings, report = get_settings(), Report("captions")
    weights = await asyncio.to_thread(locate, PACKAGED, settings.data_dir)
    models = Models(weights, threads=settings.model_threads)
    await models.load("speech")
    model = WhisperModel(
        str(weights.speech), device="cpu", compute_type="int8", cpu_threads=models.threads, local_files_only=True
    )
    with tempfile.TemporaryDirectory(prefix="strv-bench-") as place:
        async with open_storage(settings) as storage:
            ways = {
                "site": by_site(settings, storage, Active(PACKAGED, models, {})),
                "direct": directly(model, vad_filter=True),
                "defaults": directly(model),
            }
            await measure(report, Path(place), ways)
    await models.aclose()
    report.note("threads", models.threads)
    report.end()


async def measure(report: Report, folder: Path, ways: dict[str, Listen]) -> None:
    wrong: dict[str, int] = dict.fromkeys(ways, 0)
    longest: dict[str, float] = dict.fromkeys(ways, 0.0)
    said = spoken_seconds = site_seconds = 0.0
    for case in await asyncio.to_thread(cases, folder):
        path = await asyncio.to_thread(write, folder / case.file, case.recording.samples, *case.arguments)
        row = []
        for name, listen in ways.items():
            heard = await listen(case, path)
            errors = word_errors(case.recording.text, heard.text)
            speed = case.recording.seconds / heard.seconds
            row.append(f"{name} {errors} wrong, {speed:.1f} x")
            report.figures[f"{case.recording.name}: {name}"] = {
                "wrong": errors,
                "speed": round(speed, 1),
                "heard": heard.text,
            }
            longest[name] = max(longest[name], heard.longest)
            if case.real:
                wrong[name] += errors
            if case.real and name == "site":
                said += len(words(case.recording.text))
                spoken_seconds += case.recording.seconds
                site_seconds += heard.seconds
        kind = "recorded" if case.real else "synthetic"
        report.note(f"{case.recording.name} ({kind}, {case.recording.seconds:.0f} s)", "; ".join(row))
    report.note("recorded_words", int(said))
    for name, errors in wrong.items():
        report.note(f"word_error_rate_{name}", round(errors / said, 4))
    for name in ("direct", "defaults"):
        report.note(f"longest_caption_seconds_{name}", round(longest[name], 1))
    report.hold("longest_caption_seconds_site", round(longest["site"], 1), most=MOST_SECONDS)
    report.hold("wrong_words_site", wrong["site"], most=min(wrong["direct"], wrong["defaults"]))
    report.hold("times_faster_than_real_time", round(spoken_seconds / site_seconds, 1), least=LEAST_SPEED)


if __name__ == "__main__":
    asyncio.run(main())
