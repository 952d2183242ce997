"""From a fresh clone to an environment in which everything runs. Standard library only: no environment exists yet.

    PYTHONPATH=src python3 -m strvsocial.local.bootstrap [--tests] COMMAND [ARGUMENT …]

Makes or updates `.venv`, builds the browser's files, then becomes COMMAND, run by `.venv`'s Python as a module.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from strvsocial.local.assets import ensure_assets
from strvsocial.local.install import ensure_installed, venv_python
from strvsocial.local.problems import LocalProblem
from strvsocial.local.steps import say, tell

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, _stop)
    groups = ["dev"] if arguments[:1] == ["--tests"] else []
    command = arguments[len(groups) :]
    data_dir = Path(os.environ.get("STRV_DATA_DIR") or ROOT / ".data")
    try:
        logs = data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with _alone(ROOT / ".installing"):
            ensure_installed(ROOT, logs, groups)
            ensure_assets(ROOT, logs)
    except LocalProblem as problem:
        tell(problem)
        return 1
    except OSError as error:
        tell(LocalProblem(f"{error.strerror}: {error.filename}", "Check who owns the clone and its .venv and .data."))
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Run it again to go on: what was downloaded is kept.")
        return 130
    if command:
        _become(command)
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _become(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    os.chdir(ROOT)
    os.execve(venv_python(ROOT), [str(venv_python(ROOT)), "-m", *command], environment)  # noqa: S606


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two launchers must not install into one environment at the same time."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another command installs into this clone; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
