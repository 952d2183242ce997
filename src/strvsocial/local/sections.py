"""Runs commands one after the other under clear headings, and sums up: what failed, how long each took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from strvsocial.local.steps import paint, say


@dataclass
class Sections:
    """Every section runs, whatever the ones before it said; `finish()` gives the exit code."""

    cwd: Path
    done: list[tuple[str, int, float]] = field(default_factory=list)

    def run(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> bool:
        say(f"\n{paint(f'== {name}', '1')}")
        started = time.monotonic()
        code = subprocess.run([str(part) for part in command], cwd=self.cwd, env=env, check=False).returncode
        self.done.append((name, code, time.monotonic() - started))
        return code == 0

    def finish(self) -> int:
        say()
        for name, code, seconds in self.done:
            told = paint("ok", "32") if code == 0 else paint(f"failed (exit code {code})", "31")
            say(f"  {name:<24}{seconds:7.1f} s  {told}")
        return int(not self.done or any(code for _, code, _ in self.done))
