"""A real PgBouncer in transaction mode for tests: the context manager `pgbouncer()` and the fixture `pooler`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from strvsocial.local.ports import free_port, is_taken
from strvsocial.local.system_packages import PGBOUNCER

SERVER_CONNECTIONS = 4
"""To each database: far fewer than the processes of a site hold to the pooler."""

# The same as in docs/operating/pgbouncer.md, which a test compares.
INI = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
query_wait_timeout = {patience}
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
"""


class Pooler(NamedTuple):
    """Where it listens; `through(url)` is the address of the same database by way of it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def through(self, url: str) -> str:
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}").geturl()


@contextmanager
def pgbouncer(
    server: str, *, pool_size: int = SERVER_CONNECTIONS, patience: int = 10, port: int = 0
) -> Iterator[Pooler]:
    """A PgBouncer before the PostgreSQL server at `server`, for every database of it, while the block runs.

    It listens on `port`, or on a free one; `patience` is how many seconds a statement waits for a server connection.
    """
    binary = PGBOUNCER.get()
    folder = Path(tempfile.mkdtemp(prefix="strv-pgbouncer-"))
    # It refuses to run as root.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    url = urlsplit(server)
    port = port or free_port()
    users, ini, log = folder / "users.txt", folder / "pgbouncer.ini", folder / "pgbouncer.log"
    users.write_text(f'"{url.username}" "{url.password}"\n')
    ini.write_text(
        INI.format(
            host=url.hostname, port=url.port, listen_port=port, users=users, pool_size=pool_size, patience=patience
        )
    )
    if account:
        for path in (folder, users, ini):
            os.chown(path, account.pw_uid, account.pw_gid)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, str(ini)], stdout=output, stderr=output, cwd="/", user=account.pw_uid if account else None
        )
    pooler = Pooler(port, process, log)
    try:
        _wait_until_it_listens(pooler)
        yield pooler
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _wait_until_it_listens(pooler: Pooler) -> None:
    deadline = time.monotonic() + 10
    while not is_taken(pooler.port):
        assert pooler.process.poll() is None, f"PgBouncer ended:\n{pooler.log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"PgBouncer did not start:\n{pooler.log.read_text()[-3000:]}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def pooler(servers: tuple[str, str]) -> Iterator[Pooler]:
    """Starts once, when the first test wants it; ends with the session."""
    with pgbouncer(servers[0]) as pooler:
        yield pooler
