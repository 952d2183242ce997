"""Child processes that never outlive us: started in a session of their own, killed by the kernel when we die."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from strvsocial.local.account import Account

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def dies_with_us(death_signal: int) -> Callable[[], None] | None:
    """What a child runs between fork and exec, so that the kernel sends it `death_signal` when we are gone.

    Linux only, and only right for children started by the main thread: the kernel watches the starting thread. It runs
    after the change of account, which would clear the wish.
    """
    if _libc is None:
        return None
    parent, prctl = os.getpid(), _libc.prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # We died between fork and prctl.
            os._exit(1)

    return prepare


def start_server(
    command: Sequence[str | Path],
    *,
    log: Path,
    death_signal: int,
    cwd: Path,
    env: Mapping[str, str],
    account: Account | None = None,
    pass_fds: Sequence[int] = (),
    stdin: int | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a server that writes its output to `log`, as `account` when one is given."""
    rotate(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env),
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            preexec_fn=dies_with_us(death_signal),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def stop(process: subprocess.Popen[bytes], signals: Sequence[tuple[int, float]]) -> None:
    """Sends each signal in turn and waits its seconds, until the process has ended; SIGKILL at the very last."""
    for number, seconds in (*signals, (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def rotate(log: Path, limit: int = 10_000_000) -> None:
    """Puts a log file of more than `limit` bytes aside; one older file is kept."""
    if log.exists() and log.stat().st_size > limit:
        log.replace(log.with_suffix(log.suffix + ".1"))


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
