"""Writes requirements.txt, which buildpacks install, from pyproject.toml and constraints.txt.

    python scripts/requirements.py

Everything that the Procfile's processes need by name, pinned; what those need in turn is pinned by constraints.txt. The
fingerprint of constraints.txt is in it because buildpacks keep installed packages until requirements.txt changes.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("media", "models", "weights", "backup", "tracing", "sentry")
"""One image runs every process, with every setting: the decoders of the worker and the models of the embedder are in it."""


def render(project: str, constraints: str) -> str:
    """requirements.txt for the texts of pyproject.toml and constraints.txt. Raises KeyError for an unpinned package."""
    pins: dict[str, list[str]] = {}
    for line in constraints.splitlines():
        pins.setdefault(_name(line), []).append(line)
    described = tomllib.loads(project)["project"]
    wanted = [
        *described["dependencies"],
        *(line for extra in EXTRAS for line in described["optional-dependencies"][extra]),
    ]
    lines = [pin for name in sorted({_name(line) for line in wanted}) for pin in pins[name]]
    fingerprint = hashlib.sha256(constraints.encode()).hexdigest()
    return "\n".join(
        [
            "# Written by scripts/requirements.py; do not edit.",
            f"# constraints.txt pins what is not named here; it is {fingerprint}",
            "-c constraints.txt",
            f"-e .[{','.join(EXTRAS)}]",
            *lines,
            "",
        ]
    )


def _name(requirement: str) -> str:
    """The normalised name that a requirement or a pin starts with."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


if __name__ == "__main__":
    (ROOT / "requirements.txt").write_text(
        render((ROOT / "pyproject.toml").read_text(), (ROOT / "constraints.txt").read_text())
    )
