"""Uploads through the real web process, against what the machine can do at all.

    python bench/bench_uploads.py [--size-mib 1024] [--few-mib 1024] [--many 32] [--many-mib 256]

Speed: a resumable upload of 1 GiB through uvicorn into local storage, beside hashing as many bytes by sha256 and beside
writing and fsyncing them, in the same run. The limit is a third of the slower of the two.
Memory: how much the web process grows while 8 clients send 1 GiB each, and while 32 clients send at once. The 32 send
smaller files (256 MiB), which keeps the benchmark to minutes: what is held in memory depends on the number of part
slots, not on the size of a file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil

from strvsocial.db import Database
from strvsocial.settings import ROOT, get_settings
from strvsocial.users import accounts, tokens

MIB = 1024 * 1024
RATIO_LIMIT, GROWTH_LIMIT = 0.3, 250_000_000
HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"
BLOCK = HEAD + secrets.token_bytes(MIB - len(HEAD))


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--size-mib", type=int, default=1024)
    arguments.add_argument("--few-mib", type=int, default=1024)
    arguments.add_argument("--many", type=int, default=32)
    arguments.add_argument("--many-mib", type=int, default=256)
    given = arguments.parse_args()
    token = asyncio.run(sign_up())
    with web_process() as (process, port):
        upload(port, token, 16)
        speed = measure_speed(port, token, given.size_mib)
        print(json.dumps(speed), flush=True)
        few = measure_growth(process, port, token, 8, given.few_mib)
        print(json.dumps(few), flush=True)
        many = measure_growth(process, port, token, given.many, given.many_mib)
    result = {"speed": speed, "memory": [few, many], "load_average": os.getloadavg()[0], "cores": os.cpu_count()}
    passed = report(result)
    target = ROOT / "bench" / "results" / "uploads.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({**result, "passed": passed}, indent=2) + "\n")
    return 0 if passed else 1


async def sign_up() -> str:
    """A bearer token of a new person."""
    database, name = Database(get_settings()), f"bench_{secrets.token_hex(4)}"
    try:
        async with database.transaction() as db:
            email = f"{name}@example.org"
            user = await accounts.create_account(db, username=name, email=email, password=secrets.token_hex(8))
            return await tokens.create(db, user.id)
    finally:
        await database.aclose()


@contextmanager
def web_process() -> Iterator[tuple[psutil.Process, int]]:
    """The web process as it is run for people, on a free port."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "strvsocial.app:create_app", "--no-access-log"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"],
        env={**os.environ, "STRV_LOG_LEVEL": "WARNING"},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/livez")
                connection.getresponse().read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the web process did not start") from None
                time.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(30)


def upload(port: int, token: str, size_mib: int) -> float:
    """Seconds that a resumable upload of so many MiB takes, in one request, until it is finished. Removes it again."""
    tus = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    size = size_mib * MIB
    location = ask(port, "POST", "/api/v1/uploads", {**tus, "Upload-Length": str(size)}, 201)["location"]
    started = time.perf_counter()
    chunk = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Content-Length": str(size)}
    blocks = (BLOCK for _ in range(size_mib))
    answer = ask(port, "PATCH", location, {**tus, **chunk}, 204, blocks)
    seconds = time.perf_counter() - started
    assert answer["upload-offset"] == str(size)
    ask(port, "DELETE", location, tus, 204)
    return seconds


def ask(port: int, method: str, path: str, headers: dict[str, str], status: int, body: Any = None) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == status, (answer.status, text)
        return {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def measure_speed(port: int, token: str, size_mib: int) -> dict[str, Any]:
    """Three rounds, each of the three things one after the other, so that what else the machine does meets all alike."""
    rounds: dict[str, list[float]] = {"upload": [], "sha256": [], "disk": []}
    for _ in range(3):
        rounds["sha256"].append(timed(lambda: hash_bytes(size_mib)))
        rounds["upload"].append(upload(port, token, size_mib))
        rounds["disk"].append(timed(lambda: write_bytes(size_mib)))
    rates = {name: size_mib * MIB / 1e6 / statistics.median(seconds) for name, seconds in rounds.items()}
    slower = min(rates["sha256"], rates["disk"])
    return {
        "size_mib": size_mib,
        "megabytes_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "seconds": {name: [round(one, 2) for one in seconds] for name, seconds in rounds.items()},
        "ratio": round(rates["upload"] / slower, 3),
        "limit": RATIO_LIMIT,
    }


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def hash_bytes(size_mib: int) -> None:
    digest = hashlib.sha256()
    for _ in range(size_mib):
        digest.update(BLOCK)


def write_bytes(size_mib: int) -> None:
    path = get_settings().data_dir / "bench-write"
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(size_mib):
                file.write(BLOCK)
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def measure_growth(process: psutil.Process, port: int, token: str, clients: int, size_mib: int) -> dict[str, Any]:
    """Resident memory of the web process above what it has at rest, while `clients` send at once."""
    base = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda _: upload(port, token, size_mib), range(clients)))
    finally:
        done.set()
        watcher.join()
    seconds = time.perf_counter() - started
    return {
        "clients": clients,
        "size_mib": size_mib,
        "seconds": round(seconds, 1),
        "megabytes_per_second": round(clients * size_mib * MIB / 1e6 / seconds, 1),
        "base_bytes": base,
        "growth_bytes": peak - base,
        "rest_bytes": process.memory_info().rss,
        "limit_bytes": GROWTH_LIMIT,
    }


def report(result: dict[str, Any]) -> bool:
    speed = result["speed"]
    rates = speed["megabytes_per_second"]
    good = bool(speed["ratio"] >= speed["limit"])
    print(f"load average {result['load_average']:.1f} on {result['cores']} cores")
    print(f"upload {rates['upload']} MB/s, sha256 {rates['sha256']} MB/s, disk with fsync {rates['disk']} MB/s")
    print(f"ratio to the slower one {speed['ratio']} (at least {speed['limit']}) {'ok' if good else 'TOO SLOW'}")
    for memory in result["memory"]:
        fits = memory["growth_bytes"] <= memory["limit_bytes"]
        good = good and fits
        growth, limit = memory["growth_bytes"] / 1e6, memory["limit_bytes"] / 1e6
        print(
            f"{memory['clients']} at once, {memory['size_mib']} MiB each: web process + {growth:.0f} MB "
            f"(at most {limit:.0f}), {memory['megabytes_per_second']} MB/s {'ok' if fits else 'TOO MUCH'}"
        )
    return good


if __name__ == "__main__":
    sys.exit(main())
