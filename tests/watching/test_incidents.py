"""A failure that nobody foresaw arrives at a Sentry-shaped receiver, and nothing personal with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from tests.front_door import PASSWORD, Site, running
from tests.watching.receivers import Receiver, receiving

from strvsocial import incidents
from strvsocial.app import create_app
from strvsocial.db import Database
from strvsocial.jobs import Claimed, Handler, enqueue
from strvsocial.lanes import Lane
from strvsocial.settings import Settings

SECRETS = "to otto@example.com with Bearer abcdefgh12345678 at redis://:hunter2@cache/0\nDETAIL:  Key (email)=(otto)"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
        incidents.stop()


def events_at(receiver: Receiver) -> list[dict[str, Any]]:
    """The events of all envelopes."""
    found = []
    for path, body in receiver.bodies:
        assert path == "/api/1/envelope/"
        lines = [json.loads(line) for line in body.splitlines() if line]
        found += [line for line in lines if "exception" in line]
    return found


async def test_a_request_that_fails_is_reported_without_the_person(
    settings: Settings, site: Site, receiver: Receiver
) -> None:
    otto = await site.member("otto")
    app = create_app(settings.model_copy(update={"sentry_dsn": SecretStr(f"http://key@{receiver.address}/1")}))

    async def stumble(*_: object) -> None:
        raise LookupError(f"it was sent {SECRETS}")

    app.state.find_rendition = stumble
    async with running(app), site.client(app=app) as client:
        answer = await client.get(
            "/media/abcdefghij/w640.webp?q=very-private",
            headers={"Authorization": f"Bearer {otto.token}", "X-Request-ID": "reported.0001"},
        )
        assert answer.status_code == 500
        assert (await client.get("/no/such/page")).status_code == 404
    incidents.stop()
    (event,) = events_at(receiver)
    (exception,) = event["exception"]["values"]
    assert (exception["type"], event["tags"]["request_id"]) == ("LookupError", "reported.0001")
    assert event["tags"]["route"].startswith("/media/")
    assert exception["stacktrace"]["frames"][-1]["function"] == "stumble"
    sent = b"".join(body for _, body in receiver.bodies).decode()
    for private in (
        otto.token,
        otto.username,
        PASSWORD,
        "otto@",
        "very-private",
        "hunter2",
        "abcdefgh12345678",
        "DETAIL",
    ):
        assert private not in sent
    assert not {"request", "user", "breadcrumbs", "extra", "server_name"} & event.keys()


async def test_a_job_that_is_given_up_is_reported_once(
    settings: Settings, database: Database, clean: None, receiver: Receiver
) -> None:
    async def run(_: Any, jobs: list[Claimed]) -> None:
        raise ZeroDivisionError("no")

    incidents.start(settings.model_copy(update={"sentry_dsn": SecretStr(f"http://key@{receiver.address}/1")}), "worker")
    async with database.transaction() as db:
        await enqueue(db, "tests.stumble", {}, queue="quick")
    lane = Lane("quick", 1, None, database, {"tests.stumble": Handler("quick", run, tries=1)})
    lane.start()
    async with asyncio.timeout(10), database.read() as reader:
        while await reader.scalar(text("select count(*) from jobs where state <> 'dead'")):
            await asyncio.sleep(0.02)
    await lane.aclose()
    incidents.stop()
    (event,) = events_at(receiver)
    assert event["tags"]["kind"] == "tests.stumble"
    assert event["tags"]["process"] == "worker"


def test_an_address_that_is_none_is_told_and_no_crash(settings: Settings, receiver: Receiver) -> None:
    incidents.start(settings.model_copy(update={"sentry_dsn": SecretStr("not an address")}), "web")
    incidents.report(ValueError("nobody hears this"))
    assert receiver.bodies == []
