"""People who post all the time and write down what they were told: invoked, then ok, failed or unknown.

Whoever is not told asks again with the same key, as a browser does that lost its connection. A few give up instead:
what became of their last try is unknown, and may have happened once or not at all.
"""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.reliability.sent_files import SentFile

KINDS = ("text", "image", "gif", "audio", "video", "large")
PASSWORD = "correct horse battery"
TUS = {"Tus-Resumable": "1.0.0"}
PATIENCE = 90.0
"""How long one post is tried for, in seconds."""
PIECE = 64 * 1024


@dataclass
class Entry:
    """One post that somebody wanted. `outcome` is ok, failed or unknown; `public_id` is set when it is ok."""

    key: str
    kind: str
    author: str
    file: SentFile | None
    outcome: str = "unknown"
    public_id: str = ""
    tries: int = 0
    upload: str = ""
    told: list[str] = field(default_factory=list)
    """Every answer that was neither success nor a plain request to come back."""


@dataclass
class History:
    entries: list[Entry] = field(default_factory=list)
    most_sent_again: int = 0
    """Bytes of one upload that had to be sent twice after an interruption."""
    interrupted_uploads: int = 0

    def of(self, outcome: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.outcome == outcome]


class Person:
    """Posts one thing after the other until told to stop."""

    def __init__(self, address: str, username: str, history: History, files: dict[str, SentFile], seed: int) -> None:
        self.client = httpx.AsyncClient(base_url=f"{address}/api/v1", timeout=20)
        self.username, self.history, self.files = username, history, files
        self.rng = random.Random(seed)
        self.large_bytes_per_second = 6_000_000
        self.gives_up = 0.1

    async def sign_up(self) -> None:
        email = f"{self.username}@example.org"
        made = await self.client.post(
            "/accounts", json={"username": self.username, "email": email, "password": PASSWORD}
        )
        assert made.status_code == 201, made.text
        token = await self.client.post("/tokens", json={"email": email, "password": PASSWORD})
        assert token.status_code == 201, token.text
        self.client.headers["Authorization"] = f"Bearer {token.json()['token']}"

    async def post_until(self, stop: asyncio.Event, kinds: tuple[str, ...] = KINDS) -> None:
        while not stop.is_set():
            for kind in self.rng.sample(kinds, len(kinds)):
                if not stop.is_set():
                    await self.post(kind)
                    await asyncio.sleep(self.rng.uniform(0.5, 2.5))

    async def post(self, kind: str) -> Entry:
        """One post, tried until it is answered. Never raises for what the site does."""
        entry = Entry(secrets.token_hex(8), kind, self.username, self.files.get(kind))
        self.history.entries.append(entry)
        gives_up = kind != "large" and self.rng.random() < self.gives_up
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            entry.tries += 1
            try:
                if kind == "large" and not await self._upload(entry):
                    continue
                answer = await self._publish(entry)
            except httpx.TransportError:
                if gives_up:
                    return entry
                await asyncio.sleep(0.3)
                continue
            if answer.status_code == 201:
                entry.outcome, entry.public_id = "ok", answer.json()["id"]
                return entry
            if answer.status_code != 503:
                entry.told.append(f"{answer.status_code} {answer.text[:200]}")
                if answer.status_code < 500:
                    entry.outcome = "failed"
                    return entry
            await asyncio.sleep(0.3)
        return entry

    async def _publish(self, entry: Entry) -> httpx.Response:
        fields: dict[str, Any] = {
            "title": f"{entry.kind} {entry.key}",
            "text": f"A {entry.kind} sent by {entry.author}, number {entry.key}.",
        }
        headers = {"Idempotency-Key": entry.key}
        if entry.file is None:
            return await self.client.post("/posts", json=fields, headers=headers)
        if entry.kind == "large":
            return await self.client.post("/posts", json={**fields, "upload": [entry.upload]}, headers=headers)
        sent = {"file": (entry.file.name, entry.file.data, entry.file.mime)}
        return await self.client.post("/posts", data=fields, files=sent, headers=headers)

    async def _upload(self, entry: Entry) -> bool:
        """Sends the file in one request, and what is missing after an interruption in another; whether it is whole."""
        assert entry.file is not None
        data = entry.file.data
        if not entry.upload:
            name = base64.b64encode(entry.file.name.encode()).decode()
            headers = {**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": f"filename {name}"}
            made = await self.client.post("/uploads", headers=headers)
            if made.status_code != 201:
                return await self._note(entry, made)
            entry.upload = made.headers["location"].rpartition("/")[2]
        found = await self.client.head(f"/uploads/{entry.upload}", headers=TUS)
        if found.status_code != 200:
            return await self._note(entry, found)
        offset = int(found.headers["upload-offset"])
        if offset == len(data):
            return True
        sent = offset

        async def body() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < len(data):
                piece = data[sent : sent + PIECE]
                sent += len(piece)
                yield piece
                await asyncio.sleep(PIECE / self.large_bytes_per_second)

        headers = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        try:
            answer = await self.client.patch(f"/uploads/{entry.upload}", content=body(), headers=headers)
        except httpx.TransportError:
            self.history.interrupted_uploads += 1
            again = await self._offset(entry)
            self.history.most_sent_again = max(self.history.most_sent_again, sent - again)
            return False
        return answer.status_code == 204 or await self._note(entry, answer)

    async def _offset(self, entry: Entry) -> int:
        """Where an interrupted upload stands, once somebody answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                found = await self.client.head(f"/uploads/{entry.upload}", headers=TUS)
                if found.status_code == 200:
                    return int(found.headers["upload-offset"])
                await self._note(entry, found)
            except httpx.TransportError:
                await asyncio.sleep(0.3)
        raise AssertionError("nobody answered an upload")

    async def _note(self, entry: Entry, answer: httpx.Response) -> bool:
        """503: away. 423: the dead process's lease runs for some seconds yet. 409: the offset moved. Else it is told."""
        if answer.status_code not in (503, 423, 409):
            entry.told.append(f"{answer.status_code} {answer.request.method} upload {answer.text[:200]}")
        await asyncio.sleep(0.5)
        return False


async def gather_people(address: str, count: int, history: History, files: dict[str, SentFile]) -> list[Person]:
    people = [Person(address, f"poster{number}", history, files, seed=number) for number in range(count)]
    for person in people:
        await person.sign_up()
    return people
