"""Makes `.venv` and installs what pyproject.toml asks for, as pinned in constraints.txt. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strvsocial.local.problems import LocalProblem
from strvsocial.local.steps import Step, run_logged, step

EXTRAS = ("media", "models", "weights", "local", "demo")
PIP = "pip>=25.1,<27"
NEEDED_BYTES = 9_000_000_000
"""What the environment takes on disk with the models' libraries, about."""


def venv_python(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


def ensure_installed(root: Path, logs: Path, groups: Sequence[str] = ()) -> None:
    """Brings `.venv` up to date with the clone; a look at one file when nothing has changed."""
    stamp = root / ".venv" / "installed.json"
    wanted = {"state": _state(root), "groups": sorted(groups)}
    found = _read(stamp)
    if found.get("state") == wanted["state"] and set(groups) <= set(found.get("groups", [])):
        return
    with step("Python packages") as running:
        fresh = not _is_usable(root, found)
        if fresh:
            _check_space(root)
            _make_venv(root, running)
        kept = set(groups) | (set() if fresh else set(found.get("groups", [])))
        stamp.unlink(missing_ok=True)
        _install(root, logs / "install.log", running, sorted(kept))
        stamp.write_text(json.dumps({**wanted, "groups": sorted(kept), "root": str(root)}))
        running.told = "installed"


def install_package(root: Path, logs: Path, running: Step, requirement: str) -> None:
    """Installs one more package into `.venv`, within the constraints."""
    _pip(root, logs / "install.log", running, [requirement])


def _install(root: Path, log: Path, running: Step, groups: Sequence[str]) -> None:
    log.unlink(missing_ok=True)
    _pip(root, log, running, ["--upgrade", PIP])
    arguments = ["-e", f".[{','.join(EXTRAS)}]"]
    for group in groups:
        arguments += ["--group", group]
    _pip(root, log, running, arguments)


def _pip(root: Path, log: Path, running: Step, arguments: Sequence[str]) -> None:
    pip: list[str | Path] = [
        venv_python(root),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    run_logged(
        [*pip, "-c", root / "constraints.txt", *arguments],
        log=log,
        step=running,
        cwd=root,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        hint="Check the network connection and the free disk space, then run this again: downloads are kept.",
        detail=_what_pip_does,
    )


def _what_pip_does(line: str) -> str | None:
    if found := re.match(r"\s*(Collecting|Downloading|Building wheel for|Preparing metadata)\s+([\w.\-]+)", line):
        verb, name = found.groups()
        return f"{verb.split()[0].lower()} {name.split('-')[0] if verb == 'Downloading' else name}"
    return "unpacking" if line.startswith("Installing collected packages") else None


def _make_venv(root: Path, running: Step) -> None:
    running.tick("making .venv")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(root / ".venv")], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise LocalProblem(
            f"Python could not make a virtual environment:\n{(made.stdout + made.stderr).strip()}",
            f"On Debian and Ubuntu, install its venv module: apt install python{version}-venv",
        )


def _is_usable(root: Path, found: dict[str, Any]) -> bool:
    # The scripts of an environment name its folder: one that was moved, or that another Python made, is made anew.
    if found.get("root", str(root)) != str(root) or not venv_python(root).exists():
        return False
    answer = subprocess.run(
        [venv_python(root), "-c", "import pip, sys; print(sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode == 0 and answer.stdout.strip() == str(tuple(sys.version_info[:2]))


def _check_space(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        raise LocalProblem(
            f"The disk has {free / 1e9:.1f} GB left; the packages and their models take about {NEEDED_BYTES / 1e9:.0f} GB.",
            "Make room, then run this again.",
        )


def _state(root: Path) -> str:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    parts = [
        project["build-system"],
        project["project"],
        project.get("dependency-groups"),
        EXTRAS,
        sys.version_info[:2],
    ]
    constraints = (root / "constraints.txt").read_text()
    return hashlib.sha256((json.dumps(parts) + constraints).encode()).hexdigest()


def _read(stamp: Path) -> dict[str, Any]:
    try:
        found = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
