"""The embedded PostgreSQL: made by initdb, started as our child on loopback, passwords by SCRAM, data in `pg/<major>`.

The server reaches its folder through an open handle (`/proc/self/fd/…`), so that it also works where its account may
not enter the folders above: a clone in /root, say.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from strvsocial.local.account import Account, take_over
from strvsocial.local.binaries import PostgresPrograms, find_postgres
from strvsocial.local.children import start_server, stop, tail
from strvsocial.local.leftovers import end_leftover
from strvsocial.local.ports import free_port
from strvsocial.local.problems import LocalProblem

USER = "strv"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
# A small box that also runs models: modest caches, cheap random reads, no just-in-time compiler for short queries.
# Shared memory lies in the data directory: what lies in /dev/shm, systemd removes when its user logs out.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "idle_in_transaction_session_timeout": "60s",
}


@dataclass
class Postgres:
    """One server over `home`/<major>. `start()` may be called again after the server died."""

    home: Path
    log: Path
    account: Account | None
    password: str = field(repr=False)
    programs: PostgresPrograms
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def prepare(cls, data_dir: Path, log: Path, account: Account | None, password: str) -> Postgres:
        """Finds the programs and makes the cluster on the first run."""
        postgres = cls(data_dir / "pg", log, account, password, find_postgres(account, data_dir))
        postgres.home.mkdir(exist_ok=True)
        if not postgres.folder.exists():
            postgres._refuse_other_majors()
            postgres._initialise()
        take_over(postgres.folder, account)
        return postgres

    @property
    def folder(self) -> Path:
        return self.home / str(self.programs.major)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts the server and waits until it takes connections. Call it from the main thread."""
        self.spawn()
        self.wait_until_ready()

    def spawn(self) -> None:
        """Starts the server, from the main thread, without waiting for it."""
        end_leftover(self._pid_file, "postgres")
        self.folder.chmod(0o700)
        with _handle(self.folder, self.account) as (path, descriptors):
            self.process = start_server(
                [self.programs.folder / "postgres", "-D", path, "-p", str(self.port), *_options()],
                log=self.log,
                death_signal=signal.SIGINT,
                cwd=Path("/"),
                env=_ENVIRONMENT,
                account=self.account,
                pass_fds=descriptors,
            )

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Waits until the server takes connections; crash recovery is part of the wait. Raises LocalProblem."""
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while not _is_ready(self._pid_file, self.process.pid):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LocalProblem(f"PostgreSQL did not start:\n{tail(self.log)}", f"The whole log is {self.log}.")
            time.sleep(0.02)

    def stop(self) -> None:
        """A fast shutdown; an immediate one (recovered at the next start) when that takes over five seconds."""
        if self.process is not None:
            stop(self.process, [(signal.SIGINT, 5), (signal.SIGQUIT, 2)])

    @property
    def _pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    def reset_password(self) -> None:
        """Sets the password where the old one was lost, in single-user mode, before the server starts."""
        end_leftover(self.folder / "postmaster.pid", "postgres")
        self._run(
            "postgres", "--single", stdin=f"alter role {USER} password '{self.password}'\n", arguments=["postgres"]
        )

    def _initialise(self) -> None:
        unfinished = self.home / f"{self.programs.major}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self.account:
            os.chown(unfinished, self.account.uid, self.account.gid)
        locale = ["--encoding=UTF8", "--locale=C.UTF-8"]
        if self.programs.major >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        with tempfile.NamedTemporaryFile("w", prefix="strv-") as secret:
            secret.write(self.password)
            secret.flush()
            if self.account:
                os.chown(secret.name, self.account.uid, self.account.gid)
            arguments = ["--username", USER, "--auth=scram-sha-256", f"--pwfile={secret.name}", *locale]
            self._run("initdb", arguments=arguments, folder=unfinished)
        unfinished.rename(self.folder)

    def _run(
        self, program: str, *first: str, arguments: list[str], folder: Path | None = None, stdin: str = ""
    ) -> None:
        with _handle(folder or self.folder, self.account) as (path, descriptors):
            done = subprocess.run(
                [self.programs.folder / program, *first, "-D", path, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=_ENVIRONMENT,
                pass_fds=descriptors,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )
        if done.returncode != 0:
            raise LocalProblem(f"{program} failed:\n{(done.stderr or done.stdout).strip()}")

    def _refuse_other_majors(self) -> None:
        for other in self.home.iterdir():
            if other.name.isdecimal() and (other / "PG_VERSION").exists():
                raise LocalProblem(
                    f"The data in {other} are of PostgreSQL {other.name}; the server here is {self.programs.major}.",
                    "Dump them with the old version and restore them into the new one, or move the folder away.",
                )


def _options() -> list[str]:
    return [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]


@contextmanager
def _handle(folder: Path, account: Account | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A path to `folder` that a child of another account can use, and the descriptors it must inherit for that."""
    if account is None or sys.platform != "linux":
        yield str(folder), ()
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
