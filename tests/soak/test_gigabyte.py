"""How long a gigabyte of media takes: backed up, backed up again, verified, restored; plain and encrypted, files and S3.

What was measured is printed and kept in bench/results/backups.json.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from tests.front_door import running_site
from tests.keeping.conftest import Databases, databases
from tests.keeping.sites import empty, fill, strvsocial
from tests.s3 import S3Server

from strvsocial.settings import ROOT, Settings

__all__ = ["databases"]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

RESULTS = ROOT / "bench" / "results" / "backups.json"
POSTS, BYTES = 70, 5_000_000
MOST_MINUTES = 15.0
PASSPHRASE = {"STRV_BACKUP_PASSPHRASE": "four words that are random"}


@pytest.mark.parametrize("protection", [{}, PASSPHRASE], ids=["plain", "encrypted"])
@pytest.mark.parametrize("kind", ["files", "s3"])
async def test_a_gigabyte(
    kind: str,
    protection: dict[str, str],
    request: pytest.FixtureRequest,
    settings: Settings,
    databases: Databases,
    tmp_path: Path,
) -> None:
    server: S3Server | None = request.getfixturevalue("s3_server") if kind == "s3" else None
    changes: dict[str, Any] = {"data_dir": tmp_path / "data", "database_url": await databases.make()}
    changes |= server.settings(f"gigabyte-{secrets.token_hex(4)}") if server else {}
    site_settings, place = settings.model_copy(update=changes), str(tmp_path / "backups")
    async with running_site(site_settings) as site:
        count = len((await fill(site, POSTS, BYTES)).objects)
    seconds: dict[str, float] = {}
    made = await _timed(seconds, "create", site_settings, place, protection)
    await _timed(seconds, "create again", site_settings, place, protection)
    await _timed(seconds, "verify", site_settings, place, protection)
    if server:
        await empty(site_settings)
    target = {"database_url": await databases.make(empty=True), "data_dir": tmp_path / "elsewhere"}
    done = await _timed(seconds, "restore", site_settings.model_copy(update=target), place, protection)
    if server:
        await empty(site_settings)
    gigabytes = made["object_bytes"] / 1e9
    assert (made["objects"], done["objects"], done["rows"]["posts"]) == (count, count, POSTS)
    minutes = {name: round(taken / 60 / gigabytes, 2) for name, taken in seconds.items()}
    _note(
        {
            "storage": kind,
            "encrypted": bool(protection),
            "gigabytes": round(gigabytes, 2),
            "minutes_per_gigabyte": minutes,
        }
    )
    assert minutes["restore"] <= MOST_MINUTES


async def _timed(
    seconds: dict[str, float], name: str, settings: Settings, place: str, protection: dict[str, str]
) -> Any:
    began = time.monotonic()
    status, printed, told = await strvsocial(settings, "backup", name.split()[0], place, "--json", **protection)
    seconds[name] = time.monotonic() - began
    assert status == 0, told
    return printed


def _note(row: dict[str, Any]) -> None:
    print(row)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    same = (row["storage"], row["encrypted"])
    rows = [old for old in rows if (old["storage"], old["encrypted"]) != same]
    RESULTS.write_text(json.dumps([*rows, row], indent=1) + "\n")
