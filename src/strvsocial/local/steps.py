"""Calm progress: one line a step, with the seconds it took. Standard library only.

On a terminal the line is rewritten while the step runs; elsewhere a step is told when it begins, every half minute, and
when it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from strvsocial.local.problems import LocalProblem

WIDTH = 24
QUIET_SECONDS = 30


def is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str) -> str:
    """`text` in an ANSI colour, on a terminal that may have colours."""
    return f"\x1b[{code}m{text}\x1b[0m" if is_terminal() and not os.environ.get("NO_COLOR") else text


def say(line: str = "", end: str = "\n") -> None:
    """Prints; a terminal that has gone away is no reason to stop."""
    with suppress(OSError, ValueError):
        print(line, end=end, flush=True)


@dataclass
class Step:
    """A step under way. `told` is what it says at the end."""

    name: str
    told: str = "done"
    started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tick(self, detail: str = "") -> None:
        """Shows that the step is alive. Call it often."""
        if is_terminal():
            columns = shutil.get_terminal_size().columns - 1
            line = f"  {self.name:<{WIDTH}}{self.seconds:4.0f} s  {detail}"[:columns]
            say(f"\r{line}\x1b[K", end="")
        elif time.monotonic() - self._last > QUIET_SECONDS:
            self._last = time.monotonic()
            say(f"  {self.name:<{WIDTH}}{self.seconds:4.0f} s  {detail}")

    def end(self) -> None:
        start = "\r" if is_terminal() else ""
        took = f" ({self.seconds:.0f} s)" if self.seconds >= 1 else ""
        erase = "\x1b[K" if is_terminal() else ""
        say(f"{start}  {self.name:<{WIDTH}}{self.told}{took}{erase}")


@contextmanager
def step(name: str) -> Iterator[Step]:
    """A step of the start. Says nothing more when the block raises: whoever catches that says it."""
    running = Step(name)
    if is_terminal():
        running.tick()
    try:
        yield running
    except BaseException:
        if is_terminal():
            say()
        raise
    running.end()


def run_logged(
    command: Sequence[str | Path],
    *,
    log: Path,
    step: Step,
    hint: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    detail: Callable[[str], str | None] = lambda line: None,
) -> None:
    """Runs a command with its output in `log`, ticking. Raises LocalProblem with the log's tail when it fails.

    `detail` makes what a line of output says to a person, or None when it says nothing.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(str(part) for part in command)}\n".encode())
        output.flush()
        offset = output.tell()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
        )
    shown = ""
    try:
        with log.open("rb") as written:
            written.seek(offset)
            while process.poll() is None:
                for line in written.read().decode(errors="replace").splitlines():
                    shown = detail(line) or shown
                step.tick(shown)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.25)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode != 0:
        lines = log.read_bytes()[offset:].decode(errors="replace").splitlines()
        raise LocalProblem(
            f"{step.name}: this failed (exit code {process.returncode}).\n" + "\n".join(lines[-15:]),
            f"{hint} The whole log is {log}.",
        )


def tell(problem: LocalProblem) -> None:
    """Prints what went wrong and what to do."""
    say(f"\n{paint('Stopped.', '31')} {problem.message}")
    if problem.hint:
        say(problem.hint)
