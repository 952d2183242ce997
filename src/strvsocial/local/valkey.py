"""The embedded Valkey (or the system's Redis): our child on loopback, with a password and an append-only file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from strvsocial.local.account import Account, take_over
from strvsocial.local.binaries import find_valkey
from strvsocial.local.children import start_server, stop, tail
from strvsocial.local.leftovers import end_leftover
from strvsocial.local.ports import free_port
from strvsocial.local.problems import LocalProblem


@dataclass
class Valkey:
    """One server over `folder`. `start()` may be called again after the server died."""

    folder: Path
    log: Path
    account: Account | None
    password: str = field(repr=False)
    program: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def prepare(cls, data_dir: Path, log: Path, account: Account | None, password: str) -> Valkey:
        valkey = cls(data_dir / "valkey", log, account, password, find_valkey(account, data_dir))
        valkey.folder.mkdir(mode=0o700, exist_ok=True)
        take_over(valkey.folder, account)
        return valkey

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts the server and waits until it answers. Call it from the main thread."""
        self.spawn()
        self.wait_until_ready()

    def spawn(self) -> None:
        """Starts the server, from the main thread, without waiting for it."""
        end_leftover(self.folder / "valkey.pid", self.program.name)
        reading, writing = os.pipe()
        # The configuration goes in by a pipe: the password shows in no file and no process list.
        os.write(writing, self._configuration().encode())
        os.close(writing)
        try:
            self.process = start_server(
                [self.program, "-"],
                log=self.log,
                death_signal=signal.SIGTERM,
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                account=self.account,
                stdin=reading,
            )
        finally:
            os.close(reading)
        (self.folder / "valkey.pid").write_text(f"{self.process.pid}\n")

    def wait_until_ready(self, timeout: float = 30) -> None:
        """Waits until the server answers, its file loaded. Raises LocalProblem."""
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LocalProblem(f"Valkey did not start:\n{tail(self.log)}", f"The whole log is {self.log}.")
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, [(signal.SIGTERM, 4)])
            (self.folder / "valkey.pid").unlink(missing_ok=True)

    def _configuration(self) -> str:
        # Nothing is evicted: what lies here is small, and bells and limits must not vanish unseen.
        return (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\nappendonly yes\nappendfsync everysec\n"
            'save ""\nmaxmemory 512mb\nmaxmemory-policy noeviction\nauto-aof-rewrite-min-size 16mb\n'
            "client-output-buffer-limit pubsub 32mb 8mb 60\n"
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5) as connection:
                connection.settimeout(0.5)
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    if not (piece := connection.recv(256)):
                        return False
                    answer += piece
                return b"+PONG" in answer
        except OSError:
            return False
