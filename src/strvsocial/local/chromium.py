"""The browser that the journeys run in: the system's, else Debian's by apt when we are root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from strvsocial.local.problems import LocalProblem
from strvsocial.local.steps import run_logged, step

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def ensure_chromium(logs: Path) -> Path:
    """The browser's path. Raises LocalProblem when there is none and we may not install it."""
    found = find_chromium()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with step("Chromium") as running:
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
                run_logged(
                    command,
                    log=logs / "chromium.log",
                    step=running,
                    env=env,
                    hint="Install Chromium, then run this again.",
                )
            running.told = "installed"
        found = find_chromium()
    if found is None:
        raise LocalProblem(
            "The browser journeys need Chromium, and there is none here.",
            "Install it (Debian and Ubuntu: sudo apt install chromium), or name one: STRV_TEST_CHROMIUM=/path/to/chromium",
        )
    return found


def find_chromium() -> Path | None:
    """A browser that starts: `STRV_TEST_CHROMIUM`, one of the usual names, or none."""
    candidates = [os.environ.get("STRV_TEST_CHROMIUM"), *(shutil.which(name) for name in NAMES), str(MAC)]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            answer = subprocess.run([candidate, "--version"], capture_output=True, check=False)
            if answer.returncode == 0:
                return Path(candidate)
    return None
