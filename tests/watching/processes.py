"""Real processes whose log lines are read: a web process and workers, each writing JSON into a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strvsocial.settings import ROOT


@contextmanager
def working(kind: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `worker` or `embedder` process on the environment's settings."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "strvsocial.worker", kind],
            cwd=ROOT,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "STRV_LOG_FORMAT": "json", **environment},
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Every line as an object; a line that is not one fails the test."""
    return [json.loads(line) for line in log.read_text().splitlines() if line]
