"""A thousand open pages that listen for news: what they cost in memory, and how soon news reach them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time

import psutil
from arrivals import percentile
from crowd import add_people, connect
from report import Report
from servers import free_port, running_web

from strvsocial.db import Database
from strvsocial.live import announce
from strvsocial.settings import get_settings
from strvsocial.users import tokens

PEOPLE, EACH = 50, 20
SECONDS = int(os.environ.get("STRV_BENCH_STREAM_SECONDS", "60"))


async def main() -> None:
    settings, report, port = get_settings(), Report("streams"), free_port()
    connection = await connect(settings.database_url)
    people = await add_people(connection, PEOPLE)
    await connection.close()
    database = Database(settings)
    async with database.transaction() as db:
        known = [await tokens.create(db, person) for person in people]
    took: list[float] = []
    async with running_web(settings, port) as (web, client):
        for _ in range(20):
            (await client.get("/")).raise_for_status()
        process = psutil.Process(web.pid)
        before, descriptors = process.memory_info().rss, process.num_fds()
        reading = []
        for token in known:
            opened = await asyncio.gather(*(open_stream(port, token) for _ in range(EACH)))
            reading += [asyncio.create_task(listen(*stream, took)) for stream in opened]
        cpu = sum(process.cpu_times()[:2])
        for _ in range(SECONDS):
            async with database.transaction() as db:
                await announce(db, "bench", random.choice(people), {"at": time.time()})
            await asyncio.sleep(1)
        grown = (process.memory_info().rss - before) / 1e6
        report.note("streams", len(reading))
        report.note("descriptors", process.num_fds() - descriptors)
        report.note("cpu_share", round((sum(process.cpu_times()[:2]) - cpu) / SECONDS, 3))
        report.hold("memory_growth_mb", round(grown, 1), most=100, unit="MB")
        report.hold("delivery_p95_s", round(percentile(took, 0.95), 3), most=1, unit="s")
        report.hold("news_lost", SECONDS * EACH - len(took), most=0)
        report.hold("streams_lost", sum(task.done() for task in reading), most=0)
        for task in reading:
            task.cancel()
    await database.aclose()
    report.end()


async def open_stream(port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    await reader.readuntil(b": welcome")
    return reader, writer


async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, took: list[float]) -> None:
    """Notes how old each piece of news is when it comes, by the one clock of this machine."""
    while not writer.is_closing() and (line := await reader.readline()):
        if line.startswith(b"data: "):
            took.append(time.time() - json.loads(line[6:])["at"])


if __name__ == "__main__":
    asyncio.run(main())
