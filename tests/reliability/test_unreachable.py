"""A server that cannot be reached is 503 in every shape that the network says it in."""

from __future__ import annotations

import errno
import socket

import asyncpg
import pytest

from strvsocial.web.failures import describe


async def _refusal_of_two_addresses(monkeypatch: pytest.MonkeyPatch) -> BaseException:
    """What asyncpg raises where a host has two addresses and nobody listens at either, as with `localhost`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(OSError, match="Multiple exceptions") as refused:
        await asyncpg.connect(f"postgresql://me@two-addresses:{port}/site", timeout=5)
    return refused.value


async def test_nobody_at_any_address(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = describe(await _refusal_of_two_addresses(monkeypatch))
    assert (failure.status, failure.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT])
def test_no_way_there(number: int) -> None:
    assert describe(OSError(number, "no way")).status == 503


def test_a_missing_file_is_our_own_mistake() -> None:
    assert describe(FileNotFoundError(errno.ENOENT, "gone")).status == 500
