"""What processing costs beyond the decoders themselves, how soon a film can be watched, and what is served of a file.

Each kind is processed as the worker does it (fetched from storage, sandboxed, stored, recorded) and, in turn, by the very
same command lines run bare: films and sound by ffmpeg alone, pictures by libvips in one process for all of them. Seconds
of the clock are compared, round by round, so that whatever else the machine does meets both; seconds of the processor are
told beside them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
from decoders import MIB, Cost, Noted, Run, costing, noting, run_bare, run_pictures_bare
from PIL import Image
from report import Report
from sqlalchemy import select

from strvsocial.content.models import Post
from strvsocial.db import Database
from strvsocial.demo.pictures import PICTURES
from strvsocial.ids import new_id
from strvsocial.media.finishing import finish
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.processing import process
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import Storage, open_storage
from strvsocial.users.accounts import create_account

FILM_SECONDS = int(os.environ.get("STRV_BENCH_FILM_SECONDS", "30"))
SOUND_SECONDS = int(os.environ.get("STRV_BENCH_SOUND_SECONDS", "600"))
PHOTOGRAPHS = int(os.environ.get("STRV_BENCH_PHOTOGRAPHS", "12"))
ROUNDS = int(os.environ.get("STRV_BENCH_MEDIA_ROUNDS", "3"))
KINDS = os.environ.get("STRV_BENCH_MEDIA_KINDS", "pictures,sound,film").split(",")
PHOTOGRAPH = (4000, 3000)
PLAYABLE = ("playback", "rung")
LADDER_LIMIT, PICTURES_LIMIT, SOUND_LIMIT, PLAYABLE_LIMIT = 1.10, 1.2, 1.15, 0.6


class Site(NamedTuple):
    settings: Settings
    database: Database
    storage: Storage
    author: int

    async def attach(self, source: Path, kind: str) -> int:
        """Stores a file as the attachment of a new post, as uploads and posts do; returns its id."""
        key = f"originals/{new_id()}"
        await self.storage.put_file(key, source, "application/octet-stream")
        content = await asyncio.to_thread(source.read_bytes)
        async with self.database.transaction() as db:
            post = Post(public_id=new_id(), author_id=self.author, title=source.name, media_type=kind)
            db.add(post)
            await db.flush()
            attachment = Attachment(
                public_id=new_id(), post_id=post.id, kind=kind, source_key=key, source_mime="application/octet-stream",
                byte_size=len(content), sha256=hashlib.sha256(content).digest(),
            )  # fmt: skip
            db.add(attachment)
            await db.flush()
            return attachment.id

    async def renditions(self, attachment_id: int) -> list[Rendition]:
        async with self.database.transaction() as db:
            rows = select(Rendition).where(Rendition.attachment_id == attachment_id).order_by(Rendition.name)
            return list(await db.scalars(rows))


class Round(NamedTuple):
    """One round of a kind: ours, the same commands bare, and the decoders that were started."""

    ours: Cost
    bare: Cost
    noted: Noted
    attachments: list[int]


class Film(NamedTuple):
    """`first`: what it cost until it could be watched; `playable`: what of it could be watched then."""

    round: Round
    first: Cost
    playable: list[str]


def film(path: Path) -> Path:
    """Moving shapes and grain in HEVC with AAC, as a phone sends it, so that nothing can be taken over as it is."""
    picture = f"testsrc2=size=1920x1080:rate=30:duration={FILM_SECONDS},noise=alls=8:allf=t,format=yuv420p"
    sound = f"sine=frequency=330:sample_rate=48000:duration={FILM_SECONDS},volume=0.3"
    codecs = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=error",
        "-b:v",
        "8M",
        "-tag:v",
        "hvc1",
    ]
    return _ffmpeg(path, "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs, "-c:a", "aac", "-shortest")


def sound(path: Path) -> Path:
    """Ten minutes of two tones that swell over noise, in FLAC."""
    left = "0.4*sin(2*PI*220*t)*(0.6+0.4*sin(t/7))+0.02*random(0)"
    right = "0.4*sin(2*PI*331*t)*(0.6+0.4*cos(t/5))+0.02*random(1)"
    made = f"aevalsrc='{left}|{right}':s=44100:d={SOUND_SECONDS}"
    return _ffmpeg(path, "-f", "lavfi", "-i", made, "-c:a", "flac")


def _ffmpeg(path: Path, *arguments: str) -> Path:
    subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)], check=True)
    return path


def photographs(folder: Path) -> list[Path]:
    """Packaged photographs at 12 megapixels with the grain of a sensor, as JPEG. Larger than they were taken."""
    names = (
        "pagoda",
        "flower",
        "coffee",
        "cat",
        "rocket",
        "astronaut",
        "motorcycle",
        "brick",
        "grass",
        "gravel",
        "coins",
    )
    made = []
    for number in range(PHOTOGRAPHS):
        picture = PICTURES[names[number % len(names)]]().convert("RGB").resize(PHOTOGRAPH, Image.Resampling.BICUBIC)
        grain = Image.effect_noise(PHOTOGRAPH, 14).convert("RGB")
        path = folder / f"photograph-{number}.jpg"
        Image.blend(picture, grain, 0.12).save(path, quality=90)
        made.append(path)
    return made


async def film_round(site: Site, source: Path) -> Film:
    """Ours from the upload's end to the last rendition; bare, every run of ffmpeg in it."""
    attachment = await site.attach(source, "video")
    with noting() as noted, costing() as ours:
        with costing() as first:
            await process(site.settings, site.database, site.storage, attachment)
        playable = [
            row.name for row in await site.renditions(attachment) if row.role in PLAYABLE and row.state == "ready"
        ]
        await finish(site.settings, site.database, site.storage, attachment)
    return Film(Round(ours[0], bare_ffmpeg(site, source, noted), noted, [attachment]), first[0], playable)


async def sound_round(site: Site, source: Path) -> Round:
    attachment = await site.attach(source, "audio")
    with noting() as noted, costing() as ours:
        await process(site.settings, site.database, site.storage, attachment)
        await finish(site.settings, site.database, site.storage, attachment)
    return Round(ours[0], bare_ffmpeg(site, source, noted), noted, [attachment])


async def pictures_round(site: Site, sources: Sequence[Path]) -> Round:
    attachments = [await site.attach(source, "image") for source in sources]
    with noting() as noted, costing() as ours:
        for attachment in attachments:
            await process(site.settings, site.database, site.storage, attachment)
    with tempfile.TemporaryDirectory(dir=site.settings.data_dir) as parent:
        folders = [Path(parent) / str(number) for number in range(len(sources))]
        for folder, source in zip(folders, sources, strict=True):
            folder.mkdir()
            shutil.copy(source, folder / "source")
        requests = [run.command[-1] for run in noted.of("picture")]
        bare = run_pictures_bare(requests, folders)
    return Round(ours[0], bare, noted, attachments)


def bare_ffmpeg(site: Site, source: Path, noted: Noted) -> Cost:
    with tempfile.TemporaryDirectory(dir=site.settings.data_dir) as folder:
        shutil.copy(source, Path(folder) / "source")
        return run_bare(noted.of("ffmpeg"), Path(folder))


def compare(report: Report, kind: str, rounds: Sequence[Round], limit: float) -> None:
    """The ratio of each round, of the clock and of the processor; the median is held."""
    clock = [one.ours.seconds / one.bare.seconds for one in rounds]
    processor = [one.ours.cpu / one.bare.cpu for one in rounds]
    report.note(f"{kind}_ours_s", round(statistics.median(one.ours.seconds for one in rounds), 2), "s")
    report.note(f"{kind}_bare_s", round(statistics.median(one.bare.seconds for one in rounds), 2), "s")
    report.note(f"{kind}_rounds", ", ".join(f"{ratio:.3f}" for ratio in clock))
    report.note(f"{kind}_processor_ratio", round(statistics.median(processor), 3))
    outside = statistics.median(one.ours.seconds - sum(run.seconds for run in one.noted.runs) for one in rounds)
    report.note(f"{kind}_outside_of_decoders_s", round(outside, 2), "s")
    report.hold(f"{kind}_ratio", round(statistics.median(clock), 3), most=limit)


def tell_decoders(report: Report, kind: str, runs: Sequence[Run]) -> None:
    """How long each program ran, and the most memory that one of its runs held."""
    for program in sorted({run.program for run in runs}):
        of_one = [run for run in runs if run.program == program]
        report.note(f"{kind}_{program}_s", round(sum(run.seconds for run in of_one), 2), f"s in {len(of_one)}")
        report.note(f"{kind}_{program}_peak_mib", round(max(run.peak for run in of_one) / MIB), "MiB")


async def tell_bytes(report: Report, site: Site, kind: str, attachments: Sequence[int], source_bytes: int) -> None:
    """What one viewer is sent, as a share of what was uploaded, for each rendition that is served."""
    shares: dict[str, list[int]] = {}
    for attachment in attachments:
        for row in await site.renditions(attachment):
            if row.role not in ("pcm", "frames", "playlist") and row.state == "ready":
                shares.setdefault(row.name, []).append(row.byte_size)
    for name, sizes in shares.items():
        report.note(f"{kind}_{name}_bytes_of_source", round(sum(sizes) / source_bytes, 4))


async def bench_films(report: Report, site: Site, folder: Path) -> None:
    source = film(folder / "film.mp4")
    report.note("film_seconds", FILM_SECONDS, "s, 1080p HEVC")
    found = [await film_round(site, source) for _ in range(ROUNDS)]
    rounds = [one.round for one in found]
    compare(report, "film", rounds, LADDER_LIMIT)
    report.note("film_first_playable", ", ".join(found[-1].playable))
    report.note("film_playable_processor_s", round(statistics.median(one.first.cpu for one in found), 2), "s")
    playable = statistics.median(one.first.seconds for one in found) / FILM_SECONDS
    report.hold("film_playable_after_share_of_duration", round(playable, 3), most=PLAYABLE_LIMIT)
    tell_decoders(report, "film", rounds[-1].noted.runs)
    await tell_bytes(report, site, "film", rounds[-1].attachments, source.stat().st_size)


async def bench_pictures(report: Report, site: Site, folder: Path) -> None:
    sources = await asyncio.to_thread(photographs, folder)
    report.note("pictures", len(sources), "of 12 megapixels")
    rounds = [await pictures_round(site, sources) for _ in range(ROUNDS)]
    compare(report, "pictures", rounds, PICTURES_LIMIT)
    tell_decoders(report, "pictures", rounds[-1].noted.runs)
    await tell_bytes(report, site, "pictures", rounds[-1].attachments, sum(one.stat().st_size for one in sources))


async def bench_sound(report: Report, site: Site, folder: Path) -> None:
    source = sound(folder / "sound.flac")
    report.note("sound_seconds", SOUND_SECONDS, "s, FLAC")
    rounds = [await sound_round(site, source) for _ in range(ROUNDS)]
    compare(report, "sound", rounds, SOUND_LIMIT)
    tell_decoders(report, "sound", rounds[-1].noted.runs)
    await tell_bytes(report, site, "sound", rounds[-1].attachments, source.stat().st_size)


BENCHES = {"pictures": bench_pictures, "sound": bench_sound, "film": bench_films}


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings, report = get_settings(), Report("media")
    database = Database(settings)
    report.note("load_before", round(os.getloadavg()[0], 1), f"on {os.cpu_count()} processors")
    async with open_storage(settings) as storage:
        async with database.transaction() as db:
            author = await create_account(db, username="bench", email="bench@example.org", password=None)
        site = Site(settings, database, storage, author.id)
        with tempfile.TemporaryDirectory(dir=settings.data_dir) as folder:
            for kind in KINDS:
                await BENCHES[kind](report, site, Path(folder))
    await database.aclose()
    report.note("load_after", round(os.getloadavg()[0], 1))
    report.end()


if __name__ == "__main__":
    asyncio.run(main())
