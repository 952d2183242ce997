"""Programs of the system that the tests drive: found, else installed by apt when we are root, else asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from strvsocial.local.problems import LocalProblem
from strvsocial.local.steps import Step, run_logged, step

FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin")
"""Where servers lie that are not on everybody's PATH."""
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's packages ask this program whether they may start the servers that they bring."""


@dataclass(frozen=True)
class SystemPackage:
    """A program under one of `names`, in Debian's package `debian`; the environment's `variable` names another one.

    It counts as found when it answers `question` with success.
    """

    title: str
    debian: str
    names: tuple[str, ...]
    variable: str
    purpose: str
    question: str = "--version"
    elsewhere: tuple[str, ...] = ()

    def find(self) -> Path | None:
        """The program's path, or None when there is none that runs."""
        path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
        found = (shutil.which(name, path=path) for name in self.names)
        for candidate in (os.environ.get(self.variable), *found, *self.elsewhere):
            if candidate and Path(candidate).exists():
                answer = subprocess.run([candidate, self.question], capture_output=True, check=False)
                if answer.returncode == 0:
                    return Path(candidate)
        return None

    def get(self) -> Path:
        """The program's path. Raises LocalProblem."""
        found = self.find()
        if found is None:
            raise LocalProblem(
                f"{self.purpose} needs {self.title}, and there is none here.",
                f"Install it (Debian and Ubuntu: sudo apt install {self.debian}), "
                f"or name one: {self.variable}=/path/to/{self.names[0]}",
            )
        return found


CHROMIUM = SystemPackage(
    "Chromium",
    "chromium",
    ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "STRV_TEST_CHROMIUM",
    "What drives a browser",
    elsewhere=("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",),
)
NGINX = SystemPackage("nginx", "nginx", ("nginx",), "STRV_TEST_NGINX", "The test of the front door", question="-v")
PGBOUNCER = SystemPackage("PgBouncer", "pgbouncer", ("pgbouncer",), "STRV_TEST_PGBOUNCER", "The test of pooling")
SYSTEMD = SystemPackage(
    "systemd-analyze", "systemd", ("systemd-analyze",), "STRV_TEST_SYSTEMD_ANALYZE", "The test of the systemd units"
)
FOR_TESTS = (CHROMIUM, NGINX, PGBOUNCER, SYSTEMD)


def ensure_packages(packages: Sequence[SystemPackage], logs: Path) -> dict[str, str]:
    """Environment variables that name the programs. Raises LocalProblem when one is missing and we may not install it."""
    missing = [package for package in packages if package.find() is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        with step(", ".join(package.title for package in missing)) as running:
            _install([package.debian for package in missing], logs / "packages.log", running)
            running.told = "installed"
    return {package.variable: str(package.get()) for package in packages}


def _install(names: Sequence[str], log: Path, running: Step) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    hint = f"Install {' and '.join(names)}, then run this again."
    with _no_servers_started():
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *names]):
            run_logged(["apt-get", *arguments], log=log, step=running, env=env, hint=hint)


@contextmanager
def _no_servers_started() -> Iterator[None]:
    """Keeps Debian from starting what it installs: the tests start their own, elsewhere."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    try:
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink()
