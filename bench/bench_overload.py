"""Four times as many requests as one web process can serve, for a minute: what is served, what is refused and how soon,
and how long it takes until all is as before.

What can be served is found in the same run: the highest constant rate of arrivals with a p95 of at most half a second.
"""

from __future__ import annotations

import asyncio
import json
import os

import psutil
from arrivals import Answers, Arrivals, Request, get, percentile, post
from crowd import add_people, add_posts, connect
from report import Report
from servers import free_port, running_web

from strvsocial.db import Database
from strvsocial.settings import get_settings
from strvsocial.users import tokens

POSTS, STEP_SECONDS = 5_000, 6
OVERLOAD_SECONDS = float(os.environ.get("STRV_BENCH_OVERLOAD_SECONDS", "60"))
FACTOR = 4
SUSTAINED_P95, WINDOW_SECONDS, AFTER_SECONDS = 0.5, 1.0, 15.0


async def main() -> None:
    settings, report, port = get_settings(), Report("overload"), free_port()
    connection = await connect(settings.database_url)
    people = await add_people(connection, 200)
    await add_posts(connection, people, POSTS)
    shown = [
        row["public_id"] for row in await connection.fetch("select public_id from posts order by id desc limit 50")
    ]
    await connection.close()
    database = Database(settings)
    async with database.transaction() as db:
        known = [await tokens.create(db, person) for person in people[:20]]
    await database.aclose()
    async with running_web(settings, port) as (web, _):
        process = psutil.Process(web.pid)
        arrivals = Arrivals(port, mix(shown, known))
        await arrivals.come(10, 4)
        sustained = await find_sustainable(arrivals, report)
        normal = await arrivals.come(sustained / 2, STEP_SECONDS)
        normal_p95 = percentile(normal.served, 0.95)
        report.note("normal_p95_ms", round(normal_p95 * 1000, 1), "ms at half of it")
        before = process.memory_info().rss
        rush = await arrivals.come(sustained * FACTOR, OVERLOAD_SECONDS)
        grown = (process.memory_info().rss - before) / 1e6
        after = await arrivals.come(sustained / 2, AFTER_SECONDS)
        judge(report, sustained, rush, grown)
        back = seconds_to_normal(after, max(2 * normal_p95, 0.2))
        report.hold("seconds_to_normal", back, most=10, unit="s")
    report.end()


def mix(posts: list[str], known: list[str]) -> list[Request]:
    """As people do: most read, some search, a few write; a third of them are signed in."""
    requests = [get("/", 20), get("/explore", 15), get("/api/v1/feeds/latest", 10), get("/search?q=harbour", 10)]
    requests += [get(f"/p/{post_id}", 20 / len(posts)) for post_id in posts]
    for token in known:
        signed_in = {"Authorization": f"Bearer {token}"}
        requests.append(get("/api/v1/feeds/for-you", 10 / len(known), **signed_in))
        requests.append(get("/api/v1/feeds/following", 10 / len(known), **signed_in))
        body = json.dumps({"title": "Written in the rush", "text": "harbour morning"}).encode()
        requests.append(post("/api/v1/posts", body, 5 / len(known), **signed_in))
    return requests


async def find_sustainable(arrivals: Arrivals, report: Report) -> float:
    """The highest rate of a rising series that is served in time and without a refusal."""
    sustained, rate = 0.0, 10.0
    while rate < 1000:
        answers = await arrivals.come(rate, STEP_SECONDS)
        p95 = percentile(answers.served, 0.95)
        is_fine = len(answers.served) == answers.total and p95 <= SUSTAINED_P95
        report.note(f"at_{rate:.0f}_a_second", f"p95 {p95 * 1000:.0f} ms, {dict(answers.statuses)}")
        if not is_fine:
            break
        sustained, rate = rate, rate * 1.25
        await asyncio.sleep(0.5)
    await asyncio.sleep(3)
    report.note("sustained_a_second", round(sustained, 1))
    return sustained or 8.0


def judge(report: Report, sustained: float, rush: Answers, grown_mb: float) -> None:
    refused = [took for status in (429, 503) for took in rush.times.get(status, [])]
    served_rate = len(rush.served) / rush.seconds
    report.note("asked_a_second", round(rush.total / rush.seconds, 1))
    report.note("refused", len(refused))
    report.note("statuses", json.dumps(rush.statuses))
    report.note("generator_cpu", round(rush.client_cpu, 2), "of one processor")
    report.note("refusal_p50_ms", round(percentile(refused, 0.5) * 1000, 1), "ms")
    report.hold("served_to_sustained", round(served_rate / sustained, 2), least=0.7)
    report.hold("served_p99_s", round(percentile(rush.served, 0.99), 2), most=2, unit="s")
    report.hold("refusal_p99_ms", round(percentile(refused, 0.99) * 1000, 1), most=50, unit="ms")
    report.hold("refusals_without_retry_after", rush.without_hint, most=0)
    unexpected = rush.total - len(rush.served) - len(refused)
    report.hold("neither_served_nor_refused", unexpected, most=0)
    report.hold("memory_growth_mb", round(grown_mb, 1), most=30, unit="MB")


def seconds_to_normal(after: Answers, limit: float) -> float:
    """When the p95 of a second came to `limit` and stayed there."""
    windows = int(after.seconds / WINDOW_SECONDS)
    back = 0.0
    for window in range(windows):
        begin = window * WINDOW_SECONDS
        took = [seconds for due, seconds in after.served_at if begin <= due < begin + WINDOW_SECONDS]
        if not took or percentile(took, 0.95) > limit:
            back = begin + WINDOW_SECONDS
    return back


if __name__ == "__main__":
    asyncio.run(main())
