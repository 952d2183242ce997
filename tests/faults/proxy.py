"""A TCP proxy that spoils connections: late, cut, silent, a few bytes at a time, or answered with something else.

async with fault_proxy(upstream_url) as proxy:
    client = connect(proxy.url)      # the same URL, with the proxy's port
    proxy.fall_silent()              # takes bytes, passes none on, as a host that hangs or a cable that was cut
    proxy.heal()
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST instead of FIN."""


@dataclass
class FaultProxy:
    """Stands before one server. Its faults hold for new and for open connections, until `heal()`."""

    upstream: str
    accepted: int = 0
    """Connections taken so far: how often somebody tried."""
    latency: float = 0
    bytes_per_second: float | None = None
    _port: int = 0
    _server: asyncio.Server | None = None
    _is_resetting: bool = False
    _canned: bytes | None = None
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The upstream's URL, by way of this proxy."""
        parts = urlsplit(self.upstream)
        login, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}@127.0.0.1:{self._port}" if login else f"127.0.0.1:{self._port}").geturl()

    async def open(self) -> None:
        """Takes connections, at the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self._flowing.set()

    async def aclose(self) -> None:
        await self.refuse()

    def heal(self) -> None:
        """Passes everything on again; what fell silent goes on where it was."""
        self.latency, self.bytes_per_second = 0, None
        self._is_resetting, self._canned = False, None
        self._flowing.set()

    def fall_silent(self) -> None:
        self._flowing.clear()

    def reset(self) -> None:
        """Resets open connections, and each new one at once."""
        self._is_resetting = True
        self.cut()

    def cut(self) -> None:
        """Resets the open connections only."""
        for writer in list(self._writers):
            _reset(writer)

    async def refuse(self) -> None:
        """Nobody listens any more, until `open()`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def answer(self, canned: bytes) -> None:
        """Answers whatever is sent with these bytes, and ends the connection."""
        self._canned = canned
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            if self._is_resetting:
                _reset(writer)
            elif self._canned is not None:
                await reader.read(PIECE)
                writer.write(self._canned)
                await writer.drain()
            else:
                await self._pass_on(reader, writer)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        parts = urlsplit(self.upstream)
        assert parts.hostname is not None
        up_reader, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        self._writers.add(up_writer)
        ways = [asyncio.create_task(self._pump(reader, up_writer)), asyncio.create_task(self._pump(up_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(up_writer)
            up_writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(PIECE):
            await self._flowing.wait()
            if self.latency:
                await asyncio.sleep(self.latency)
            while piece and (rate := self.bytes_per_second):
                step = max(1, int(rate / 10))
                target.write(piece[:step])
                await target.drain()
                piece = piece[step:]
                await asyncio.sleep(step / rate)
            target.write(piece)
            await target.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(upstream: str) -> AsyncIterator[FaultProxy]:
    """A healthy proxy before the server of a URL, for the length of the block."""
    proxy = FaultProxy(upstream)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.aclose()
