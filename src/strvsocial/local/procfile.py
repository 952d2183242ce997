"""Reads the Procfile: the processes that operators run are the ones that `make up` runs."""

from __future__ import annotations

import re
from pathlib import Path

from strvsocial.local.problems import LocalProblem

_LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(\S.*)$")


def read_procfile(path: Path) -> dict[str, str]:
    """Process name → shell command, in the file's order. Raises LocalProblem for a line that is neither."""
    commands: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise LocalProblem(f"{path}:{number} is not `name: command`: {line}")
        commands[found.group(1)] = found.group(2).strip()
    return commands
