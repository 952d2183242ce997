"""Requests that arrive at a constant rate, whether or not the ones before them were answered.

A client that waits for its answers slows down with the server and hides what people would feel; this one does not. Each
request has a connection of its own, and the time runs from the moment when it was due.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

GIVE_UP_SECONDS = 15.0


@dataclass(frozen=True)
class Request:
    """What is sent, as bytes of HTTP/1.1, and how often compared with the others."""

    head: bytes
    weight: float


def get(path: str, weight: float, **headers: str) -> Request:
    return _request("GET", path, weight, b"", headers)


def post(path: str, body: bytes, weight: float, **headers: str) -> Request:
    return _request("POST", path, weight, body, {"Content-Type": "application/json", **headers})


def _request(method: str, path: str, weight: float, body: bytes, headers: dict[str, str]) -> Request:
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return Request("\r\n".join(lines).encode() + b"\r\n\r\n" + body, weight)


@dataclass
class Answers:
    """What came of a series: for each status the seconds, and when each request was due."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    """0 is no answer."""
    times: dict[int, list[float]] = field(default_factory=dict)
    served_at: list[tuple[float, float]] = field(default_factory=list)
    """When each served request was due, since the beginning of the series, and how long it took."""
    without_hint: int = 0
    """Refusals without Retry-After."""
    client_cpu: float = 0.0
    """Of one processor, by the generator."""

    def note(self, status: int, due: float, took: float, answer: bytes) -> None:
        self.statuses[status] += 1
        self.times.setdefault(status, []).append(took)
        if 200 <= status < 400:
            self.served_at.append((due, took))
        elif status in (429, 503) and b"retry-after" not in answer.partition(b"\r\n\r\n")[0].lower():
            self.without_hint += 1

    @property
    def served(self) -> list[float]:
        return [took for _, took in self.served_at]

    @property
    def total(self) -> int:
        return sum(self.statuses.values())


def percentile(values: Sequence[float], share: float) -> float:
    """0 for none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Arrivals:
    """Requests to one port of the loopback."""

    def __init__(self, port: int, requests: Sequence[Request]) -> None:
        self.port = port
        self.requests = list(requests)
        self.weights = [request.weight for request in requests]

    async def come(self, rate: float, seconds: float, *, until: Callable[[], bool] = lambda: False) -> Answers:
        """`rate` a second for `seconds`, and all their answers."""
        answers, loop = Answers(seconds), asyncio.get_running_loop()
        process, began = psutil.Process(), time.perf_counter()
        cpu = sum(process.cpu_times()[:2])
        tasks = set()
        for number in range(int(rate * seconds)):
            due = number / rate
            if (early := due - (time.perf_counter() - began)) > 0:
                await asyncio.sleep(early)
            if until():
                break
            task = loop.create_task(self._ask(answers, began, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        answers.client_cpu = (sum(process.cpu_times()[:2]) - cpu) / (time.perf_counter() - began)
        if tasks:
            await asyncio.wait(tasks)
        return answers

    async def _ask(self, answers: Answers, began: float, due: float) -> None:
        (request,) = random.choices(self.requests, self.weights)
        status, answer = 0, b""
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(request.head)
                answer = await reader.read()
                writer.close()
            status = int(answer[9:12])
        except (OSError, ValueError, TimeoutError):
            pass
        answers.note(status, due, time.perf_counter() - began - due, answer)
