"""The feed page of 20 posts against what it cannot do without: the same bytes from a bare route, and the same SQL alone.

All three run beside each other, one request at a time in turn, so that a busy machine slows all of them; what is compared
are the medians. The SQL is what the application really sends during a request, repeated through the bare driver.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from crowd import add_people, add_posts, connect
from report import Report
from servers import free_port, running, running_web
from sqlalchemy import event

from strvsocial.app import create_app
from strvsocial.settings import Settings, get_settings

POSTS, ROUNDS, WARM_UP = 10_000, 300, 40
Statement = tuple[str, tuple[Any, ...]]


async def main() -> None:
    settings, report = get_settings(), Report("feed")
    connection = await connect(settings.database_url)
    await add_posts(connection, await add_people(connection, 200), POSTS)
    statements = await record_statements(settings)
    report.note("statements_per_page", len(statements))
    port, bare_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="strv-bench-") as folder:
        async with running_web(settings, port) as (_, site):
            answer = await site.get("/")
            answer.raise_for_status()
            report.note("posts_on_the_page", answer.text.count("<article"))
            report.note("page_bytes", len(answer.content))
            os.environ["BARE_BODY"] = str(Path(folder) / "body.html")
            await asyncio.to_thread(Path(os.environ["BARE_BODY"]).write_bytes, answer.content)
            async with (
                running("bare:app", bare_port, "/", factory=False),
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{bare_port}") as bare,
            ):
                await measure(report, site, bare, connection, statements)
                await measure_throughput(report, port)
    await connection.close()
    report.end()


async def record_statements(settings: Settings) -> list[Statement]:
    """What the application sends to PostgreSQL for one feed page, once it is warm."""
    app = create_app(settings)
    recorded: list[Statement] = []
    async with app.lifespan():

        def note(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> None:
            recorded.append((statement, tuple(parameters)))

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            await client.get("/")
            event.listen(app.state.database.engine.sync_engine, "before_cursor_execute", note)
            (await client.get("/")).raise_for_status()
    return recorded


async def measure(
    report: Report,
    site: httpx.AsyncClient,
    bare: httpx.AsyncClient,
    connection: asyncpg.Connection,
    statements: list[Statement],
) -> None:
    async def ask_sql() -> None:
        for statement, parameters in statements:
            await connection.fetch(statement, *parameters)

    parts: dict[str, Callable[[], Awaitable[Any]]] = {
        "page": lambda: site.get("/"),
        "bare_route": lambda: bare.get("/"),
        "sql": ask_sql,
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(WARM_UP + ROUNDS):
        for name, ask in parts.items():
            started = time.perf_counter()
            await ask()
            if turn >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    median = {name: statistics.median(found) * 1000 for name, found in times.items()}
    for name, found in median.items():
        report.note(f"{name}_ms", round(found, 2), "ms")
    ratio = median["page"] / (median["bare_route"] + median["sql"])
    report.hold("page_to_bare_route_plus_sql", round(ratio, 2), most=2.5)


async def measure_throughput(report: Report, port: int) -> None:
    """Pages a second of one worker under load, where wrk is installed."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return
    process = await asyncio.create_subprocess_exec(
        *(wrk, "-t1", "-c8", "-d5s", f"http://127.0.0.1:{port}/"), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    rate = next(line.split()[1] for line in output.decode().splitlines() if line.startswith("Requests/sec"))
    report.note("pages_a_second_of_one_worker", float(rate))


if __name__ == "__main__":
    asyncio.run(main())
