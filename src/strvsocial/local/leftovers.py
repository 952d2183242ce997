"""Servers that a killed launcher left behind, and the stale pid files of servers that are gone.

Whoever calls this holds the lock of the data directory, so no living launcher owns what is found here.
"""

from __future__ import annotations

from pathlib import Path

import psutil


def end_leftover(pid_file: Path, program: str) -> None:
    """Ends the `program` that `pid_file` names, if it still runs on our files, and removes the file.

    A pid may have been given to another process since (in a container it soon is): only a process of that program whose
    working directory is the file's own folder is ours to end.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        pid_file.unlink(missing_ok=True)
        return
    try:
        process = psutil.Process(pid)
        if program in process.name() and Path(process.cwd()).resolve() == pid_file.parent.resolve():
            _end(process)
    except psutil.Error:
        pass
    pid_file.unlink(missing_ok=True)


def _end(process: psutil.Process) -> None:
    # SIGTERM lets Valkey save; for PostgreSQL, SIGINT is the shutdown that does not wait for its clients.
    for send, seconds in ((process.terminate, 2), (lambda: process.send_signal(2), 5), (process.kill, 5)):
        send()
        try:
            process.wait(seconds)
            return
        except psutil.TimeoutExpired:
            continue
