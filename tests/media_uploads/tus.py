"""A tus client for tests: through the front door, and message by message where a connection must break."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from tests.front_door import Member, Site

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}


async def create(member: Member, length: int, filename: str = "film.mp4") -> str:
    """The id of a new upload."""
    metadata = f"filename {base64.b64encode(filename.encode()).decode()},filetype {base64.b64encode(b'x/y').decode()}"
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = await member.api("POST", "/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].startswith("/api/v1/uploads/")
    return answer.headers["location"].rpartition("/")[2]


async def send(member: Member, upload: str, offset: int, data: bytes) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 65536):
            yield data[at : at + 65536]

    headers = {**CHUNK, "Upload-Offset": str(offset)}
    return await member.api("PATCH", f"/uploads/{upload}", headers=headers, content=body())


async def offset_of(member: Member, upload: str) -> int:
    answer = await member.api("HEAD", f"/uploads/{upload}", headers=TUS)
    assert answer.status_code == 200, answer.status_code
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


class Sending:
    """A PATCH under way, whose client does as it is told."""

    def __init__(self, site: Site, member: Member, upload: str, offset: int) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: list[dict[str, Any]] = []
        headers = {
            **CHUNK,
            "Upload-Offset": str(offset),
            "Authorization": f"Bearer {member.token}",
            "Host": "localhost",
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "PATCH",
            "scheme": "http",
            "path": f"/api/v1/uploads/{upload}",
            "raw_path": b"",
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "state": {},
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.create_task(site.app(scope, self._messages.get, self._send))  # type: ignore[arg-type]

    def give(self, data: bytes) -> None:
        for at in range(0, len(data), 65536):
            piece = data[at : at + 65536]
            self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": True})

    async def taken(self) -> None:
        """Waits until the server has read all that was given."""
        async with asyncio.timeout(20):
            while not self._messages.empty():
                await asyncio.sleep(0.005)

    async def vanish(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        await self.task

    async def end(self) -> int:
        """The status."""
        self._messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await self.task
        return self.status

    @property
    def status(self) -> int:
        return int(self._sent[0]["status"])

    async def _send(self, message: Any) -> None:
        self._sent.append(message)


def chunks(data: bytes, sizes: Iterable[int]) -> Iterable[bytes]:
    """`data` cut into pieces of the given sizes."""
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
