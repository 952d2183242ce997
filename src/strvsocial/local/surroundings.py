"""What the processes find in their environment when `make up` runs them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from strvsocial.local.services import Services

# Without these, glibc's arenas and the spinning threads of numeric libraries cost a small box more than the work itself.
_FRUGAL = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "PYTHONUNBUFFERED": "1",
}


def process_environment(services: Services, data_dir: Path, port: int) -> dict[str, str]:
    """The environment of every process; what the caller has set by hand stays."""
    programs = str(Path(sys.executable).parent)
    return {
        **_FRUGAL,
        "STRV_DRAIN_SECONDS": "0",  # No proxy needs time to notice.
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "DATABASE_URL": services.database_url,
        "DATABASE_DIRECT_URL": _direct_url(services) or "",
        "REDIS_URL": services.redis_url,
        "STRV_DATA_DIR": str(data_dir),
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }


def _direct_url(services: Services) -> str | None:
    # The way past a pooler belongs to the DATABASE_URL beside it; a server of our own has no pooler.
    return os.environ.get("DATABASE_DIRECT_URL") if services.postgres is None else None


def read_run(data_dir: Path) -> Mapping[str, object]:
    """What a running launcher has written about itself, or nothing."""
    try:
        found = json.loads((data_dir / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def announced(services: Services, data_dir: Path, port: int) -> Iterator[None]:
    """Tells the console script where the services are, in `run.json`, while the block runs."""
    path = data_dir / "run.json"
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        run = {"database_url": services.database_url, "redis_url": services.redis_url, "port": port}
        json.dump({**run, "database_direct_url": _direct_url(services)}, file)
    unfinished.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
