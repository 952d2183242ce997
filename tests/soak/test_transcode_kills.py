"""Fifty kills with -9 while films, GIFs, sounds and pictures are processed: half hit the worker, half one of its decoders.

After each one, all that was under way must be finished within a minute: a dead worker's lease runs for half of it. In the
end nothing is doubled, nothing left over. `STRV_TEST_KILLS` changes how many, `STRV_TEST_SEED` repeats a run's moments.
What was measured is kept in bench/results/transcode_kills.json.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import secrets
import statistics
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.reliability.history import Entry, History, Person, gather_people
from tests.reliability.proof import judge, until_quiet
from tests.reliability.real_site import RealSite, real_site
from tests.reliability.sent_files import SentFile

from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import ROOT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2 * 3600)]

RESULTS = ROOT / "bench" / "results" / "transcode_kills.json"
KILLS = int(os.environ.get("STRV_TEST_KILLS", "50"))
BAR = 60.0
"""Seconds from a kill until what was under way is finished."""
PATIENCE = 300.0
TONE = ("-f", "lavfi", "-i", "sine=f=330:d=12")
FILM = ("-f", "lavfi", "-i", "testsrc2=d=12:s=854x480:r=12", *TONE, "-shortest", "-pix_fmt", "yuv420p", "-c:a", "aac")
PROGRAMS = ("strvsocial.worker", "ffmpeg", "film.py", "picture.py", "animation.py", "probe.py")
FILES = {
    "video": (("encoded.mp4", (*FILM, "-c:v", "mpeg4", "-q:v", "4")), ("copied.mp4", (*FILM, "-c:v", "libx264"))),
    "gif": (("moving.gif", ("-f", "lavfi", "-i", "testsrc=d=2:s=240x180:r=10")),),
    "audio": (("sound.mp3", (*TONE, "-b:a", "64k")), ("sound.flac", TONE)),
    "image": (("picture.png", ("-f", "lavfi", "-i", "testsrc=s=1600x1200", "-frames:v", "1")),),
}
_FINISHED = """
select p.public_id, p.status = 'failed' or bool_or(r.state = 'failed') as failed,
  p.status = 'ready' and bool_and(r.state = 'ready') and not exists (
    select 1 from jobs j where j.state in ('queued', 'running') and j.payload ->> 'attachment_id' = a.id::text
  ) as finished
from posts p join attachments a on a.post_id = p.id left join renditions r on r.attachment_id = a.id
where p.public_id = any($1) group by p.id, a.id
"""
_MADE = """
select p.title, array_agg(r.name || ' ' || r.role order by r.name) as names
from posts p join attachments a on a.post_id = p.id join renditions r on r.attachment_id = a.id group by p.id
"""
_KEYS = "select key from renditions where state = 'ready' union select source_key from attachments"


@dataclass
class Kill:
    victim: str
    program: str
    under_way: int
    """Posts that were not finished."""
    seconds: float
    """Until they were; infinite when one failed or was not finished in time."""


@dataclass
class Series:
    kills: list[Kill] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    """Decoders that outlived their worker."""

    @property
    def late(self) -> list[Kill]:
        return [kill for kill in self.kills if kill.seconds > BAR]


class Town:
    """A site, somebody who posts, and plain files of every kind; each sent one has an end of its own."""

    def __init__(self, site: RealSite, person: Person, folder: Path, rng: random.Random) -> None:
        self.site, self.person, self.folder, self.rng = site, person, folder, rng
        self.round = 0

    def files(self) -> dict[str, SentFile]:
        """The next variant of each kind."""
        return {kind: self._unique(*variants[self.round % len(variants)]) for kind, variants in FILES.items()}

    def _unique(self, name: str, arguments: tuple[str, ...]) -> SentFile:
        path = self.folder / name
        if not path.exists():
            command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
            subprocess.run(command, check=True, timeout=120, capture_output=True)
        data = path.read_bytes() + b"\0\0\0\x18free" + secrets.token_bytes(16)
        return SentFile(name, "application/octet-stream", data, hashlib.sha256(data).digest())

    async def post(self, *kinds: str) -> list[Entry]:
        self.person.files = self.files()
        self.round += 1
        return await asyncio.gather(*(self.person.post(kind) for kind in kinds))

    async def unfinished(self, entries: list[Entry]) -> list[Entry]:
        """Those that are still worked on. Raises AssertionError when one has failed."""
        rows = await self.site.fetch(_FINISHED, [entry.public_id for entry in entries])
        failed = [row["public_id"] for row in rows if row["failed"]]
        assert not failed, f"failed: {failed}"
        done = {row["public_id"] for row in rows if row["finished"]}
        return [entry for entry in entries if entry.public_id not in done]

    async def until_finished(self, entries: list[Entry]) -> float:
        began = time.monotonic()
        while await self.unfinished(entries):
            if time.monotonic() - began > PATIENCE:
                return float("inf")
            await asyncio.sleep(0.2)
        return time.monotonic() - began

    async def kill(self, victim: str, most_seconds: float, series: Series) -> None:
        """Posts a film and something else, and kills at a random moment while something is under way."""
        while True:
            entries = await self.post("video", self.rng.choice(("gif", "audio", "image")))
            await asyncio.sleep(self.rng.uniform(0, most_seconds))
            struck: tuple[str, list[psutil.Process]] | None = None
            while (waiting := await self.unfinished(entries)) and (struck := self._strike(victim)) is None:
                await asyncio.sleep(0.02)
            if waiting and struck is not None:
                break
        program, others = struck
        try:
            seconds = await self.until_finished(entries)
        except AssertionError:
            seconds = float("inf")
        series.kills.append(Kill(victim, program, len(waiting), round(seconds, 1)))
        series.survivors += [str(process) for process in others if process.is_running()]
        print(series.kills[-1], flush=True)

    def _strike(self, victim: str) -> tuple[str, list[psutil.Process]] | None:
        """Kills the worker while it has decoders, or one of these: which program, and the decoders of a worker."""
        worker = self.site.find("worker")
        with suppress(psutil.Error):
            decoders = worker.children(recursive=True) if worker is not None else []
            if worker is not None and decoders:
                process = worker if victim == "worker" else self.rng.choice(decoders)
                program = next((name for name in PROGRAMS if name in " ".join(process.cmdline())), process.name())
                process.kill()
                return program, decoders if victim == "worker" else []
        return None


async def test_kills_while_media_are_processed(tmp_path: Path) -> None:
    seed = int(os.environ.get("STRV_TEST_SEED") or random.randrange(10**6))
    history, series = History(), Series()
    async with real_site(tmp_path / "data", STRV_LONG_JOBS="2", STRV_LADDER_JOBS="2") as site:
        [person] = await gather_people(site.address, 1, history, {})
        person.gives_up = 0
        town = Town(site, person, tmp_path, random.Random(seed))
        plain = [await town.post(*FILES) for _ in range(2)]
        usual = max([await town.until_finished(entries) for entries in plain])
        for number in range(KILLS):
            await town.kill("worker" if number % 2 else "decoder", usual / 2, series)
        quiet = await until_quiet(site, 180)
        verdict = await judge(site, history)
        problems: dict[str, Any] = verdict.problems | {"late": series.late, "survivors": series.survivors}
        problems |= await _doubled(site, history)
        _report(series, seed, usual, quiet, {name: [str(one) for one in found] for name, found in problems.items()})
    assert {name: found for name, found in problems.items() if found} == {}
    assert len(series.kills) == KILLS


async def _doubled(site: RealSite, history: History) -> dict[str, Any]:
    """What was made of a file beyond or short of what was made of one like it without a kill, and bytes without a row."""
    of = {f"{entry.kind} {entry.key}": entry.file.name for entry in history.entries if entry.file}
    titles = list(of)
    made = sorted(await site.fetch(_MADE), key=lambda row: titles.index(row["title"]))
    plain = {of[row["title"]]: row["names"] for row in reversed(made)}  # The first of each file met no kill.
    different = [f"{row['title']}: {row['names']}" for row in made if row["names"] != plain[of[row["title"]]]]
    objects = site.data_dir / "media" / "objects"
    kept = {str(path.relative_to(objects)) for path in objects.rglob("*") if path.is_file()}
    known = {row["key"] for row in await site.fetch(_KEYS)}
    return {"different": different, "bytes without a row": sorted(kept - known)}


def _report(series: Series, seed: int, usual: float, quiet: float, problems: dict[str, list[str]]) -> None:
    seconds = sorted(kill.seconds for kill in series.kills)
    finished = len(series.kills) - len(series.late)
    figures: dict[str, Any] = {"finished_in_time": finished, "median": statistics.median(seconds), "most": seconds[-1]}
    print(f"\n{len(series.kills)} kills: {figures}, {quiet:.0f} s until quiet, {problems}")
    body: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": psutil.cpu_count(),
        "seed": seed,
        **figures,
    }
    body |= {"usual_seconds": round(usual, 1), "seconds_to_quiet": round(quiet, 1), "problems": problems}
    body["kills"] = [asdict(kill) for kill in series.kills]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(body, indent=2) + "\n")
