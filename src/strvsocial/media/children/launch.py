"""Gives up every right that a decoder does not need, then becomes the decoder.

Started as `python -I -S launch.py SPEC PROGRAM ARGUMENT…`, standard library only, so that it costs some 20 ms. SPEC is
JSON: `limits` (cpu, memory, file_size, files), `niceness`, `parent` (process id), `unshare`, `readable` and `writable`
(paths), `report` (a file descriptor: what the decoder used is written to it as JSON; the decoder itself does not have it).
What the kernel does not offer is skipped: `strvsocial.media.capabilities` finds out what holds.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
# Landlock: https://docs.kernel.org/userspace-api/landlock.html
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_AND_REMOVE = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8
TRUNCATE = 1 << 14
RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
ALL_RIGHTS = (1 << 16) - 1
TCP_BIND_AND_CONNECT, ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class BeneathPath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def limit(limits: dict[str, int]) -> None:
    """Sets the resource limits. The processor limit sends SIGXCPU first and SIGKILL a little later."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 5))
    for name, value in (("RLIMIT_FSIZE", "file_size"), ("RLIMIT_NOFILE", "files"), ("RLIMIT_AS", "memory")):
        resource.setrlimit(getattr(resource, name), (limits[value], limits[value]))


def stand_back(niceness: int) -> bool:
    """Lets the whole session stand back, where the kernel shares the processors out by sessions (sched(7), autogroup):
    the niceness of a process counts only inside of its own there. False when it is to be tried again in a moment: the
    kernel lets accounts that are not root do this ten times a second, all together.
    """
    try:
        with open("/proc/self/autogroup", "w") as file:
            file.write(str(niceness))
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def leave_network_and_processes(report: int, niceness: int) -> bool:
    """Moves into user, network, process and IPC namespaces of its own: no network, nobody else, none left behind.

    The first process of a process namespace takes all others along when it ends, and cannot be stopped by most signals
    from inside. So a small one waits in that place, and another waits outside to hand on the exit status. False where the
    kernel does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("gid_map", f"{group} {group} 1"), ("uid_map", f"{user} {user} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    # The count of processes is kept per namespace, so that a limit here bothers nobody else.
    resource.setrlimit(resource.RLIMIT_NPROC, (256, 256))
    become_child(None)  # The first process inside.
    become_child(report, niceness)
    return True


def become_child(report: int | None, niceness: int = 0) -> None:
    """Goes on in a child; this process waits for it, tells what it used, and ends as it ends."""
    child = os.fork()
    if child:
        if report is not None:
            while not stand_back(niceness) and runs(child):
                time.sleep(0.02)
        wait_for(child, report)
    die_with_parent()


def runs(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def wait_for(child: int, report: int | None) -> None:
    """Ends as the child ends: with its exit status, or 128 and the number of its signal."""
    while True:
        ended, status, used = os.wait3(0)
        if ended == child:
            if report is not None:
                told = {"peak": used.ru_maxrss * 1024, "cpu": round(used.ru_utime + used.ru_stime, 3)}
                os.write(report, json.dumps(told).encode())
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def die_with_parent() -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def hide_files(readable: list[str], writable: list[str]) -> None:
    """By Landlock: no file but those beneath the given paths, no TCP, no signals to others."""
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return
    rights = RIGHTS_BY_VERSION.get(version, ALL_RIGHTS)
    rules = Ruleset(
        rights, TCP_BIND_AND_CONNECT if version >= 4 else 0, ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return
    reading = EXECUTE | READ_FILE | READ_DIR
    writing = reading | WRITE_FILE | MAKE_AND_REMOVE | TRUNCATE
    for paths, allowed in ((readable, reading), (writable, writing)):
        for path in paths:
            allow(ruleset, path, allowed & rights)
    libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
    beneath = BeneathPath(rights, parent)
    libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(beneath), 0)
    os.close(parent)


def main(spec: dict[str, Any], command: list[str]) -> None:
    os.nice(spec["niceness"])
    limit(spec["limits"])
    if sys.platform == "linux":
        die_with_parent()
        if spec["parent"] and os.getppid() != spec["parent"]:
            os._exit(1)  # The worker died before it could take this process along.
        if not spec["unshare"] or not leave_network_and_processes(spec["report"], spec["niceness"]):
            become_child(spec["report"], spec["niceness"])
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        hide_files(spec["readable"], spec["writable"])
    os.set_inheritable(spec["report"], False)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
