"""What a benchmark found: printed as lines, kept as JSON, judged by its limits."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass
class Report:
    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, what: str, value: float | int | str, unit: str = "") -> None:
        self.figures[what] = value
        print(f"  {what.replace('_', ' '):<48} {value} {unit}", flush=True)

    def hold(
        self, what: str, value: float, *, most: float | None = None, least: float | None = None, unit: str = ""
    ) -> None:
        """A figure with a limit."""
        fine = (most is None or value <= most) and (least is None or value >= least)
        limit = f"at most {most}" if most is not None else f"at least {least}"
        self.figures[what] = {"value": value, "most": most, "least": least, "ok": fine}
        print(f"  {what.replace('_', ' '):<48} {value} {unit} ({limit}) {'ok' if fine else 'BROKEN'}", flush=True)
        if not fine:
            self.broken.append(what)

    def end(self) -> None:
        """Writes the results; ends the process with 1 when a limit is broken."""
        RESULTS.mkdir(exist_ok=True)
        machine = {"cpus": psutil.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
        body = {"name": self.name, "at": datetime.now(UTC).isoformat(timespec="seconds"), **machine, **self.figures}
        (RESULTS / f"{self.name}.json").write_text(json.dumps(body, indent=2) + "\n")
        sys.exit(1 if self.broken else 0)
