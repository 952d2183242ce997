"""The servers' random passwords, made on the first run and kept in a file that only its owner may read."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path


def load_password(data_dir: Path, server: str) -> tuple[str, bool]:
    """The password of `server`, and whether it was made just now."""
    path = data_dir / "secrets.json"
    try:
        kept: dict[str, str] = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = {}
    if server in kept:
        return kept[server], False
    kept[server] = secrets.token_urlsafe(24)
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return kept[server], True
