"""`make bench`: runs every bench/bench_*.py beside it, each over a fresh, migrated database, and sums up.

    python -m bench.run [name …]

A benchmark prints its ratios, writes bench/results/<name>.json, and ends with a code other than 0 when a limit is broken.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from pathlib import Path

import asyncpg

from strvsocial.local.problems import LocalProblem
from strvsocial.local.sections import Sections
from strvsocial.local.services import Services, running_services
from strvsocial.local.steps import say, tell
from strvsocial.local.surroundings import process_environment
from strvsocial.settings import ROOT

BENCH = Path(__file__).resolve().parent


def main(names: list[str]) -> int:
    benches = [
        path for path in sorted(BENCH.glob("bench_*.py")) if not names or path.stem.removeprefix("bench_") in names
    ]
    if not benches:
        say(f"There is no benchmark named {' or '.join(names)}." if names else "There are no benchmarks.")
        return 1
    (BENCH / "results").mkdir(exist_ok=True)
    sections = Sections(ROOT)
    with (
        tempfile.TemporaryDirectory(prefix="strv-bench-", dir=os.environ.get("STRV_BENCH_DIR")) as folder,
        running_services(Path(folder) / "services") as services,
    ):
        for path in benches:
            name = path.stem.removeprefix("bench_")
            env = _environment(services, Path(folder) / name)
            if sections.run(f"{name}: migrate", [sys.executable, "-m", "alembic", "-q", "upgrade", "head"], env):
                sections.run(name, [sys.executable, path], env)
    return sections.finish()


def _environment(services: Services, data_dir: Path) -> dict[str, str]:
    data_dir.mkdir()
    database = f"bench_{secrets.token_hex(6)}"
    asyncio.run(_create(services.database_url, database))
    url = services.database_url.rsplit("/", 1)[0] + "/" + database
    own = Services(url, services.redis_url)
    return {**process_environment(own, data_dir, 8000), "PYTHONPATH": str(ROOT / "src"), "STRV_RATE_LIMITS": "off"}


async def _create(server_url: str, database: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"create database {database}")
    finally:
        await connection.close()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LocalProblem as problem:
        tell(problem)
        sys.exit(1)
