"""Reports what can be seen and reached from inside the sandbox, for `doctor` and the tests."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from typing import Any


def readable(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def sends(port: int) -> bool:
    """Sends a datagram; whether it arrives is for the other end to say."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", port))
            return True
    except OSError:
        return False


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Tries to read `file`, to write beside it and to connect to `port` on this machine."""
    try:
        with open(request["file"] + ".written", "w") as file:
            file.write("x")
        wrote = True
    except OSError:
        wrote = False
    return {
        "reads_files": readable(request["file"]),
        "writes_files": wrote,
        "connects": connects(request["port"]),
        "sends": sends(request["port"]),
        "sees_processes": os.path.exists(f"/proc/{request['pid']}/environ")
        and readable(f"/proc/{request['pid']}/environ"),
        "environment": sorted(os.environ),
        "folder": sorted(os.listdir(".")),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "nice": os.nice(0),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
