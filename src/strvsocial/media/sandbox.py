"""The only place that starts decoders. Media bytes are hostile; this is the wall around whatever reads them.

A decoder runs in a child process with a private folder that holds one file, an empty environment, no standard input,
limits on processor time, memory, file size and open files, and a time limit after which its whole process group is
killed; it dies with the worker. Where the kernel allows it the child has no network and sees no file but programs,
libraries and its folder: by bubblewrap when that is installed, else by namespaces and Landlock (`children/launch.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import structlog

from strvsocial import meters, traces
from strvsocial.media.walls import wrap

log = structlog.get_logger()

CHILDREN = Path(__file__).parent / "children"
STDOUT_BYTES, STDERR_BYTES = 1_000_000, 8_000
OLDEST_SYSTEM_FFMPEG = 6
FAULTS = {
    signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ,
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one child may use: seconds of wall and of processor time, bytes of address space and of one file."""

    wall: float = 60
    cpu: int = 60
    memory: int = 4 << 30
    file_size: int = 1 << 30
    files: int = 128


class DecoderFailed(Exception):
    """A decoder did not bring what was asked for. `log` is the end of what it wrote to standard error."""

    def __init__(self, message: str, log: str = "") -> None:
        self.log = log
        super().__init__(message)


class Refused(DecoderFailed):
    """The decoder itself says that it cannot read this. `reason` is `damaged`, `too_large` or `unsupported`."""

    def __init__(self, reason: str, log: str = "", details: dict[str, Any] | None = None) -> None:
        self.reason = reason
        self.details = details or {}
        super().__init__(f"the decoder refused the file: {reason}", log)


class Crashed(DecoderFailed):
    """The decoder fell over. `by_file` is true when the file must be blamed, false when the machine may be. It `was_killed`
    when somebody else ended it, as the kernel does that is short of memory."""

    def __init__(self, status: int, log: str = "") -> None:
        self.by_file = -status in FAULTS
        self.was_killed = -status == signal.SIGKILL
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        super().__init__(f"the decoder crashed ({how})", log)


class TimedOut(DecoderFailed):
    """The decoder was killed at its time limit of so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the decoder was stopped after {seconds:.0f} seconds")


@asynccontextmanager
async def private_folder(parent: Path) -> AsyncIterator[Path]:
    """A folder (mode 0700) for one file and what is made from it, removed at the end of the block.

    Folders that a killed worker left in `parent` are removed too: a live one is locked by its owner.
    """
    folder, lock = await asyncio.to_thread(_make_folder, parent)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, True)
        os.close(lock)


def _make_folder(parent: Path) -> tuple[Path, int]:
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_stale(parent)
    hidden = Path(tempfile.mkdtemp(prefix=".media-", dir=parent))
    lock = os.open(hidden, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # It gets its name once it is locked: whatever has the name and no lock is nobody's.
    return hidden.rename(parent / hidden.name.removeprefix(".")), lock


def remove_stale(parent: Path) -> None:
    """Removes the folders of killed workers. Those without their name yet live for a moment only, and a day at most."""
    for folder in (*parent.glob("media-*"), *parent.glob(".media-*")):
        with suppress(OSError):
            if folder.name.startswith(".") and time.time() - folder.stat().st_mtime < 86_400:
                continue
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


async def run_child(
    name: str,
    request: dict[str, Any],
    folder: Path,
    limits: Limits,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Runs `children/<name>.py` with `request` and returns its answer. Raises Refused, Crashed or TimedOut.

    A child that cannot read the file answers `{"refused": reason}`. `on_progress` hears what it says in lines like
    `progress=0.25` before it answers.
    """

    def on_line(line: bytes) -> None:
        name, _, value = line.partition(b"=")
        if on_progress and name == b"progress" and re.fullmatch(rb"[01]\.\d{1,6}", value):
            on_progress(float(value))

    command = [sys.executable, "-I", str(CHILDREN / f"{name}.py"), msgspec.json.encode(request).decode()]
    output, log_end = await _run(command, folder, limits, on_line if on_progress else None)
    answer: dict[str, Any] = msgspec.json.decode(output.strip().rpartition(b"\n")[2] or b"{}")
    if "refused" in answer:
        raise Refused(answer["refused"], log_end, answer)
    return answer


async def run_ffmpeg(
    arguments: Sequence[str], folder: Path, limits: Limits, on_seconds: Callable[[float], None] | None = None
) -> str:
    """Runs ffmpeg with arguments from `strvsocial.media.ffmpeg`. `on_seconds` hears how far it has come.

    Returns the end of what it wrote to standard error. Raises Refused when ffmpeg says no, Crashed or TimedOut.
    """

    def on_line(line: bytes) -> None:
        name, _, value = line.partition(b"=")
        if on_seconds and name == b"out_time_us" and value.strip().isdigit():
            on_seconds(int(value) / 1e6)

    command = [await asyncio.to_thread(find_ffmpeg), "-nostdin", "-hide_banner", "-v", "error", "-y"]
    if on_seconds:
        command += ["-progress", "pipe:1", "-stats_period", "1"]
    try:
        return (await _run([*command, *arguments], folder, limits, on_line if on_seconds else None))[1]
    except Crashed as crash:
        if str(crash).startswith("the decoder crashed (status"):
            raise Refused("damaged", crash.log) from None
        raise


@lru_cache(maxsize=1)
def find_ffmpeg() -> str:
    """The system's ffmpeg if it is recent, else the one that the wheel brings: older ones have known holes."""
    system = shutil.which("ffmpeg")
    if system and _major_version(system) >= OLDEST_SYSTEM_FFMPEG:
        return system
    from imageio_ffmpeg import get_ffmpeg_exe

    return str(get_ffmpeg_exe())


def ffmpeg_version(path: str) -> str:
    """What the program at `path` calls itself (`n9.0.2`, `5.1.9-0+deb12u1`), or nothing when it does not run."""
    try:
        told = subprocess.run([path, "-version"], capture_output=True, timeout=10, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.match(r"ffmpeg version (\S+)", told)
    return found[1] if found else ""


def ffmpeg_codecs(path: str, kind: str) -> set[str]:
    """The names of the `decoders` or `encoders` that the program at `path` has."""
    return set(re.findall(r"^ [VAS][F.][S.][X.][B.][D.] (\S+)", _listed(path, kind), re.MULTILINE))


def ffmpeg_filters(path: str) -> set[str]:
    """The names of the filters that the program at `path` has."""
    return set(re.findall(r"^ [A-Z.]{2,3} (\S+) +\S+->\S+ ", _listed(path, "filters"), re.MULTILINE))


def _listed(path: str, kind: str) -> str:
    try:
        told = subprocess.run([path, "-v", "error", f"-{kind}"], capture_output=True, timeout=10, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout


def _major_version(path: str) -> int:
    found = re.match(r"n?(\d+)\.", ffmpeg_version(path))
    return int(found[1]) if found else 0


async def _run(
    command: Sequence[str], folder: Path, limits: Limits, on_line: Callable[[bytes], None] | None = None
) -> tuple[bytes, str]:
    """Runs one program in the sandbox. Returns its standard output and the end of its standard error.

    How it went is logged, counted and traced, with the id of the request that it runs for. The program hears nothing of it.
    """
    program = Path(command[2]).stem if command[0] == sys.executable else "ffmpeg"
    started, outcome, used = time.monotonic(), "stopped", dict[str, Any]()
    with traces.span(f"decoder {program}") as span:
        try:
            status, output, log_end = await _spawn(command, folder, limits, on_line, used)
            outcome = "ok" if status == 0 else "failed"
        except TimedOut:
            outcome = "timed_out"
            raise
        finally:
            seconds = time.monotonic() - started
            span |= {
                "strv.outcome": outcome,
                "process.exit.code": used.get("exit"),
                "strv.peak_bytes": used.get("peak"),
            }
            span |= {} if outcome == "ok" else {"error": outcome}
            meters.decoder_runs.labels(program, outcome).inc()
            meters.decoder_seconds.labels(program).observe(seconds)
            log.info("decoder.ended", program=program, outcome=outcome, seconds=round(seconds, 3), **used)
    if status != 0:
        raise Crashed(status, log_end)
    return output, log_end


async def _spawn(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    on_line: Callable[[bytes], None] | None,
    used: dict[str, Any],
) -> tuple[int, bytes, str]:
    """Starts the program and waits for it: exit status, output, log. `used` hears `exit`, `peak` (bytes), `cpu` (seconds)."""
    wanted = {"cpu": limits.cpu, "memory": limits.memory, "file_size": limits.file_size, "files": limits.files}
    program = await asyncio.to_thread(find_ffmpeg)
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *await wrap(command, folder, CHILDREN, program, wanted, report=writing),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
            pass_fds=(writing,),
        )
        try:
            async with asyncio.timeout(limits.wall):
                output, log_end, status = await asyncio.gather(
                    _read_output(process, on_line), _read_end(process), process.wait()
                )
        except TimeoutError:
            raise TimedOut(limits.wall) from None
        finally:
            await asyncio.shield(_end(process))
        if status - 128 in FAULTS | {signal.SIGKILL}:
            status = 128 - status  # The walls report a signal as a shell would.
        used |= {"exit": status, **_read_report(reading)}
        return status, output, log_end
    finally:
        os.close(reading)
        os.close(writing)


def _read_report(reading: int) -> dict[str, Any]:
    """What the waiting process wrote before it ended, if it came to that. A few bytes: they wait in the pipe."""
    os.set_blocking(reading, False)
    try:
        return dict(msgspec.json.decode(os.read(reading, 1_000)))
    except (BlockingIOError, msgspec.DecodeError):
        return {}


async def _end(process: Process) -> None:
    """Kills whatever is left and reads its pipes to the end: without that asyncio waits forever."""
    _kill(process)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            while await stream.read(65_536):
                pass
    await process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _read_output(process: Process, on_line: Callable[[bytes], None] | None) -> bytes:
    """Everything, or the last line when somebody listens line by line. A decoder that writes too much is killed."""
    output = rest = b""
    while process.stdout and (piece := await process.stdout.read(65_536)):
        if on_line is None:
            output += piece
        else:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                on_line(line)
            output = lines[-1] if lines else output
        if len(output) + len(rest) > STDOUT_BYTES:
            _kill(process)
            output = rest = b""
    return output if on_line is None else output + b"\n" + rest


async def _read_end(process: Process) -> str:
    end = b""
    while process.stderr and (piece := await process.stderr.read(65_536)):
        end = (end + piece)[-STDERR_BYTES:]
    return end.decode(errors="replace")


def _environment(folder: Path) -> dict[str, str]:
    """As good as empty: nothing of ours, and no secret, is in it."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
