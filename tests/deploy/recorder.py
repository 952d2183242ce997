"""A server that notes what it is asked and answers always the same: who stands where a web process or a bucket would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    """What arrived: the body only as far as the headers told its length."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Recorder:
    """Answers 200 with `headers` and no body; closes the connection without a word when `silent`."""

    headers: Mapping[str, str]
    silent: bool = False
    requests: list[Request] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address (http://127.0.0.1:port), for the length of the block."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(method, path, headers))
            if not self.silent:
                lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n{lines}\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
