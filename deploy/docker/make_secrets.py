"""Makes the passwords of compose.yaml's services, once: python deploy/docker/make_secrets.py FOLDER

Each server gets a file of its own that only its account may read; the site's are named like settings (STRV_SECRETS_DIR).
What is there already stays, so that it may run at every start. Standard library only.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

SITE, POSTGRES, VALKEY, SEAWEEDFS = 10001, 999, 999, 1000
"""The accounts in the images."""


def main(folder: Path) -> None:
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    site.chmod(0o755)
    # Each password first and what follows from it afterwards: a start that was cut off goes on with the same ones.
    database = _once(folder / "postgres-password", secrets.token_hex(24), POSTGRES)
    _once(site / "DATABASE_URL", f"postgresql://strv:{database}@postgres:5432/strv", SITE)
    password = _once(folder / "valkey-password", secrets.token_hex(24), VALKEY)
    _once(folder / "valkey.conf", _valkey(password), VALKEY)
    _once(site / "REDIS_URL", f"redis://:{password}@valkey:6379/0", SITE)
    key = _once(site / "AWS_ACCESS_KEY_ID", secrets.token_hex(10), SITE)
    secret = _once(site / "AWS_SECRET_ACCESS_KEY", secrets.token_hex(24), SITE)
    _once(folder / "s3.json", json.dumps(_identities(key, secret)), SEAWEEDFS)


def _once(path: Path, content: str, account: int) -> str:
    """Writes a file for an account unless it is there; returns what is in it."""
    if not path.exists():
        unfinished = path.with_name(f".{path.name}")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
            file.write(content)
        if os.geteuid() == 0:
            os.chown(unfinished, account, account)
        unfinished.replace(path)
        print(f"made {path.name}")
    return path.read_text()


def _valkey(password: str) -> str:
    """It writes nothing down and drops the oldest where memory ends: nothing in it is the only copy."""
    lines = ["bind * -::*", "protected-mode yes", f"requirepass {password}", "dir /data", "appendonly no", 'save ""']
    return "\n".join([*lines, "maxmemory 512mb", "maxmemory-policy allkeys-lru", ""])


def _identities(key: str, secret: str) -> dict[str, object]:
    credentials = [{"accessKey": key, "secretKey": secret}]
    return {"identities": [{"name": "strv", "credentials": credentials, "actions": ["Admin"]}]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
