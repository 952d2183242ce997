"""What reaches a log line: no secrets, nothing endless, nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from strvsocial.logs import LONGEST, configure_logs
from strvsocial.settings import Settings

HOSTILE = "a\r\nb\x1b[2J\u2028c\u202ed\x9b"


@pytest.fixture
def configured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    settings = Settings(
        database_url="postgresql://strv:correct%20horse%20staple@127.0.0.1/strv",
        log_format=request.param,
        metrics_token="scrape-me-not-please",
    )
    configure_logs(settings, "web")
    yield written
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("configured", ["json", "text"], indirect=True)
def test_a_record_is_one_line_and_tells_no_secret(configured: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info(
        "tests.hostile",
        path=HOSTILE,
        password="hunter2hunter2",
        headers={"Cookie": "session=abcdefgh", "Accept": HOSTILE},
        error="cannot reach redis://:hunter2hunter2@cache/0 with Bearer abcdefgh12345678",
        raw=b"\x1b[2J",
    )
    logging.getLogger("some.library").warning("it said %s and correct horse staple, scrape-me-not-please", HOSTILE)
    written = configured.getvalue()
    assert len(written.splitlines()) == 2
    assert len(written.split("\u2028")) == len(written.split("\x1b")) == len(written.split("\x9b")) == 1
    for secret in ("hunter2", "abcdefgh", "correct horse", "scrape-me"):
        assert secret not in written
    assert written.count("***") >= 5


@pytest.mark.parametrize("configured", ["json"], indirect=True)
def test_values_end_and_tracebacks_keep_their_end(configured: io.StringIO) -> None:
    try:
        raise ValueError("z" * 100_000 + "the end")
    except ValueError:
        structlog.get_logger().error("tests.long", path="y" * 100_000, exc_info=True)
    told = json.loads(configured.getvalue())
    assert len(told["path"]) == LONGEST + 1
    assert told["exception"].endswith("the end")
    assert len(configured.getvalue()) < 40_000
    assert (told["process"], told["level"]) == ("web", "error")


@pytest.mark.parametrize("configured", ["json", "text"], indirect=True)
def test_tracebacks_show_no_values(configured: io.StringIO) -> None:
    def sign_in(given: str) -> None:
        raise ValueError("no")

    try:
        sign_in("".join(("my ", "password")))
    except ValueError:
        structlog.get_logger().error("tests.failed", exc_info=True)
        logging.getLogger("some.library").exception("failed")
    assert configured.getvalue().count("ValueError") >= 2
    assert "my password" not in configured.getvalue()
