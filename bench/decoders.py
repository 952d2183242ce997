"""The decoders that a piece of our own work starts: noted while it runs, then run again bare.

Bare is the very command line in a folder with the same source, and nothing else: no sandbox, no database, no storage, no
other process of Python around it. Neither stands back behind other processes, as decoders otherwise do: on a busy machine
that alone would be measured.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strvsocial.media import sandbox
from strvsocial.media.walls import niceness

MIB = 1024 * 1024


@dataclass(frozen=True)
class Run:
    """One decoder. `seconds` are of the clock, `cpu` of the processor, `peak` is resident memory in bytes."""

    program: str
    command: Sequence[str]
    seconds: float
    cpu: float
    peak: int


@dataclass
class Noted:
    runs: list[Run] = field(default_factory=list)

    def of(self, *programs: str) -> list[Run]:
        return [run for run in self.runs if not programs or run.program in programs]


@contextmanager
def noting() -> Iterator[Noted]:
    """Notes every decoder that the sandbox starts within the block, and lets none stand back."""
    noted, spawn = Noted(), sandbox._spawn

    async def spawn_and_note(
        command: Sequence[str], folder: Path, limits: Any, on_line: Any, used: dict[str, Any]
    ) -> Any:
        started = time.perf_counter()
        found = await spawn(command, folder, limits, on_line, used)
        seconds = time.perf_counter() - started
        program = Path(command[2]).stem if command[0] == sys.executable else "ffmpeg"
        noted.runs.append(Run(program, list(command), seconds, used.get("cpu", 0.0), used.get("peak", 0)))
        return found

    sandbox._spawn = spawn_and_note
    try:
        with niceness(0):
            yield noted
    finally:
        sandbox._spawn = spawn


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of the processor."""

    seconds: float
    cpu: float


@contextmanager
def costing() -> Iterator[list[Cost]]:
    """What the block costs this process and the children that end within it; the list has it afterwards."""
    found: list[Cost] = []
    started, cpu = time.perf_counter(), _cpu()
    yield found
    found.append(Cost(time.perf_counter() - started, _cpu() - cpu))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run_bare(runs: Sequence[Run], folder: Path) -> Cost:
    """Runs the commands one after the other in a folder that has the source."""
    with costing() as found:
        for run in runs:
            subprocess.run(
                run.command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=True, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            )  # fmt: skip
    return found[0]


def run_pictures_bare(requests: Sequence[str], folders: Sequence[Path]) -> Cost:
    """Lets libvips do to each folder's source what the site's child does, all in one process."""
    child = sandbox.CHILDREN / "picture.py"
    program = (
        "import json, os, runpy, sys\n"
        "main = runpy.run_path(sys.argv[1])['main']\n"
        "for folder, request in zip(sys.argv[2::2], sys.argv[3::2]):\n"
        "    os.chdir(folder)\n"
        "    assert 'made' in main(json.loads(request))\n"
    )
    command = [sys.executable, "-I", "-c", program, str(child)]
    for folder, request in zip(folders, requests, strict=True):
        command += [str(folder), request]
    return run_bare([Run("picture", command, 0, 0, 0)], folders[0])
