"""`make check`: format, lint, types, import contracts, and whether the migrations make the tables that the code names."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from strvsocial.local.problems import LocalProblem
from strvsocial.local.sections import Sections
from strvsocial.local.services import running_services
from strvsocial.local.steps import tell
from strvsocial.settings import ROOT

PYTHON = [sys.executable, "-m"]
SOURCES = [name for name in ("src", "tests", "migrations", "bench") if (ROOT / name).exists()]


def main() -> int:
    sections = Sections(ROOT)
    sections.run("format", [*PYTHON, "ruff", "format", "--check", *SOURCES])
    sections.run("lint", [*PYTHON, "ruff", "check", *SOURCES])
    sections.run("types", [*PYTHON, "mypy"])
    sections.run("import contracts", [Path(sys.executable).parent / "lint-imports"])
    _check_migrations(sections)
    return sections.finish()


def _check_migrations(sections: Sections) -> None:
    """Migrates a scratch database to head and back, and compares it with the models."""
    with (
        tempfile.TemporaryDirectory(prefix="strv-check-") as data_dir,
        running_services(Path(data_dir), redis_url="redis://unused.invalid") as services,
    ):
        env = {
            **os.environ,
            "DATABASE_URL": services.database_url,
            "DATABASE_DIRECT_URL": "",
            "STRV_DATA_DIR": data_dir,
        }
        if sections.run("migrations", [*PYTHON, "alembic", "upgrade", "head"], env):
            sections.run("migration drift", [*PYTHON, "alembic", "check"], env)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalProblem as problem:
        tell(problem)
        sys.exit(1)
