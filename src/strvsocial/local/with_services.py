"""Runs one command while the servers of `make up` run and the site does not: what restoring a backup needs.

python -m strvsocial.local.with_services strvsocial backup restore /mnt/backups
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from strvsocial.local.lock import AlreadyRunning
from strvsocial.local.problems import LocalProblem
from strvsocial.local.services import running_services
from strvsocial.local.steps import tell
from strvsocial.local.surroundings import process_environment
from strvsocial.local.up import DATABASE
from strvsocial.settings import ROOT


def main(command: list[str]) -> int:
    """The command's exit status. What DATABASE_URL and REDIS_URL name is not started."""
    if not command:
        tell(
            LocalProblem("Which command?", "python -m strvsocial.local.with_services strvsocial backup restore FOLDER")
        )
        return 2
    data_dir = Path(os.environ.get("STRV_DATA_DIR") or ROOT / ".data").resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    urls = {name: os.environ.get(name.upper()) or None for name in ("database_url", "redis_url")}
    try:
        with running_services(data_dir, database=DATABASE, **urls) as services:
            environment = process_environment(services, data_dir, int(os.environ.get("PORT") or 8000))
            program = shutil.which(command[0], path=environment["PATH"]) or command[0]
            return subprocess.run([program, *command[1:]], env=environment, check=False).returncode
    except AlreadyRunning:
        tell(LocalProblem("The site runs from these data.", "Stop `make up` first."))
    except LocalProblem as problem:
        tell(problem)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
