"""The walls around a decoder: what it may see and use, by bubblewrap when that is installed, else by `children/launch.py`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import msgspec

SYSTEM_PATHS = (
    "/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/bin", "/lib", "/lib32", "/lib64",
    "/nix/store", "/etc/ld.so.cache", "/etc/alternatives",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

_niceness: ContextVar[int] = ContextVar("niceness", default=5)


@contextmanager
def niceness(value: int) -> Iterator[None]:
    """How much decoders that are started in the block stand back behind others: 0 to 19, as in nice(2)."""
    token = _niceness.set(value)
    try:
        yield
    finally:
        _niceness.reset(token)


async def wrap(
    command: Sequence[str], folder: Path, children: Path, program: str, limits: Mapping[str, int], report: int
) -> list[str]:
    """The command with its walls around it. It sees `folder`, libraries, what lies in `children` and the `program`.

    `limits` and `report` are as `children/launch.py` wants them.
    """
    readable = await asyncio.to_thread(_readable, children, program)
    bubblewrap = await find_bubblewrap()
    spec = {
        "limits": limits,
        "niceness": _niceness.get(),
        "parent": 0 if bubblewrap else os.getpid(),
        "unshare": not bubblewrap,
        "readable": [*readable, "/dev/shm", "/proc"] if bubblewrap else readable,  # noqa: S108
        "writable": [str(folder), *DEVICES],
        "report": report,
    }
    launch = [sys.executable, "-I", "-S", str(children / "launch.py"), msgspec.json.encode(spec).decode(), *command]
    if not bubblewrap:
        return launch
    walls = [bubblewrap, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    for path in readable:
        walls += ["--ro-bind", path, path]
    walls += ["--bind", str(folder), str(folder), "--remount-ro", "/", "--chdir", str(folder), "--"]
    return walls + launch


def _readable(children: Path, program: str) -> list[str]:
    """Programs and libraries: all that a child may see beside its folder. The clone and its data are not among them."""
    python = Path(os.path.realpath(sys.executable)).parents[1]
    homes = [Path(sys.prefix), Path(sys.base_prefix), python]
    pythons = [str(home / part) for home in homes for part in ("bin", "lib", "lib64", "pyvenv.cfg")]
    found = [importlib.util.find_spec(name) for name in ("av", "pyvips", "pillow_heif")]
    packages = [str(Path(spec.origin).parents[1]) for spec in found if spec and spec.origin]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    paths = [*SYSTEM_PATHS, *pythons, *packages, *libraries, str(Path(program).parent), str(children)]
    return [path for path in dict.fromkeys(paths) if path and os.path.exists(path)]


_bubblewrap: str | None = None


async def find_bubblewrap() -> str | None:
    """bubblewrap, if it is installed and this kernel lets it work; tried once for each process."""
    global _bubblewrap
    if _bubblewrap is None:
        _bubblewrap = ""
        if path := shutil.which("bwrap"):
            process = await asyncio.create_subprocess_exec(
                path, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true",
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            _bubblewrap = path if await process.wait() == 0 else ""
    return _bubblewrap or None
