"""`make up`, inside the environment: servers, migrations, then the Procfile's processes until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from strvsocial.local.lock import AlreadyRunning
from strvsocial.local.ports import is_taken
from strvsocial.local.problems import LocalProblem
from strvsocial.local.procfile import read_procfile
from strvsocial.local.services import Services, running_services
from strvsocial.local.steps import run_logged, say, step, tell
from strvsocial.local.supervisor import Supervisor
from strvsocial.local.surroundings import announced, process_environment, read_run
from strvsocial.settings import ROOT

DATABASE = "strv"
OFF = ("off", "false", "0", "no")


class _Stopped(BaseException):
    """A signal asked for the end before the supervisor ran."""


def main() -> int:
    data_dir = Path(os.environ.get("STRV_DATA_DIR") or ROOT / ".data").resolve()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        port = _port()
        data_dir.mkdir(parents=True, exist_ok=True)
        _run(data_dir, port)
    except AlreadyRunning:
        _tell_running(data_dir)
    except LocalProblem as problem:
        tell(problem)
        return 1
    except _Stopped:
        say()
    return 0


def _run(data_dir: Path, port: int) -> None:
    with step("PostgreSQL and Valkey") as starting:
        servers = running_services(
            data_dir,
            database=DATABASE,
            database_url=os.environ.get("DATABASE_URL") or None,
            redis_url=os.environ.get("REDIS_URL") or None,
        )
        services = servers.__enter__()
        starting.told = _what_runs(services)
    try:
        if is_taken(port):
            raise LocalProblem(f"Something else listens on port {port}.", f"Choose another: PORT={port + 1} make up")
        _run_site(services, data_dir, port)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # One is enough: the rest takes a second.
        servers.__exit__(None, None, None)
    say("Stopped; your data are kept in " + _shown(data_dir))


def _run_site(services: Services, data_dir: Path, port: int) -> None:
    commands = read_procfile(ROOT / "Procfile")
    env = process_environment(services, data_dir, port)
    with announced(services, data_dir, port):
        with step("Database") as migrating:
            run_logged(
                ["/bin/sh", "-c", f"exec {commands.pop('release')}"],
                log=data_dir / "logs" / "release.log",
                step=migrating,
                cwd=ROOT,
                env=env,
                hint="The database is as it was before this step.",
            )
            migrating.told = "migrated"
        demo = os.environ.get("STRV_DEMO", "on").lower() not in OFF
        asyncio.run(Supervisor(commands, services, env, ROOT, data_dir, port, demo).run())


def _what_runs(services: Services) -> str:
    ours = [name for name, server in (("PostgreSQL", services.postgres), ("Valkey", services.valkey)) if server]
    return "running" if len(ours) == 2 else f"{', '.join(ours) or 'none'} running, the rest by URL"


def _port() -> int:
    given = os.environ.get("PORT") or "8000"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise LocalProblem(f"PORT is {given!r}; it must be a number from 1 to 65535.")
    return int(given)


def _tell_running(data_dir: Path) -> None:
    port = read_run(data_dir).get("port")
    where = f"http://localhost:{port}" if port else "it is still starting"
    say(f"STRV.social already runs from {_shown(data_dir)}: {where}")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


if __name__ == "__main__":
    sys.exit(main())
