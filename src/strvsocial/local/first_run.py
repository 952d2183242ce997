"""Whether the demo content is due: on the very first run, and again until it was loaded whole."""

from __future__ import annotations

from pathlib import Path

COMMAND = "strvsocial demo load"


class FirstRun:
    """What `<data>/demo` remembers: `wanted`, `loaded`, or `off` when the first run asked for an empty site."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "demo"

    def wants_demo(self, demo: bool) -> bool:
        """Decides on the first run; afterwards the decision stands, whatever `demo` says, except that off defers it."""
        if not self._path.exists():
            self._path.write_text("wanted\n" if demo else "off\n")
        return demo and self._path.read_text().strip() == "wanted"

    def loaded(self) -> None:
        self._path.write_text("loaded\n")
