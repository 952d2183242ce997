"""A small site that takes forms, on either kind of storage, driven message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from litestar import Litestar, Request, Response, post
from tests.s3 import S3Server

from strvsocial.errors import StrvError
from strvsocial.media.incoming import FormRules, receive_form
from strvsocial.media.parts import PartSlots
from strvsocial.settings import Settings
from strvsocial.storage import Storage, open_storage
from strvsocial.web.shutdown import Shutdown

PART = 5 * 1024 * 1024
RULES = FormRules(fields={"title": 255, "alt": 2000})
JPEG_HEAD, MP4_HEAD = b"\xff\xd8\xff\xe0", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"
BOUNDARY = "----a-boundary"


def upload_settings(folder: Any, **changes: Any) -> Settings:
    return Settings(STRV_DATA_DIR=folder, STRV_UPLOAD_PART_BYTES=PART, STRV_UPLOAD_PART_SLOTS=4, **changes)


@dataclass
class FormSite:
    """What tests look at: the app, its storage and its slots."""

    settings: Settings
    storage: Storage
    app: Litestar
    rules: FormRules = RULES

    @property
    def slots(self) -> PartSlots:
        slots: PartSlots = self.app.state["part_slots"]
        return slots

    async def send(
        self, pieces: Iterable[bytes], content_type: str, *, broken_off: bool = False, silent: bool = False
    ) -> tuple[int, Any]:
        """Posts a body in `pieces`; then the client vanishes, or says nothing more, or is done. Status and JSON."""
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        ending = (
            {"type": "http.disconnect"} if broken_off else {"type": "http.request", "body": b"", "more_body": False}
        )
        waiting = iter(messages if silent else [*messages, ending])
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            await asyncio.sleep(0)
            message = next(waiting, None)
            if message is None and silent:
                await asyncio.Event().wait()
            return message or {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", content_type.encode()), (b"host", b"testserver")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/form",
            "raw_path": b"/form",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "app": self.app,
            "state": {},
        }
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(body) if body else None

    async def post_form(
        self, parts: Iterable[tuple[str, str | None, bytes]], *, cut: int | None = None
    ) -> tuple[int, Any]:
        """Posts `(name, filename or None, content)` as multipart; with `cut` the client vanishes after as many bytes."""
        body = encode(parts)[:cut]
        pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
        return await self.send(pieces, f"multipart/form-data; boundary={BOUNDARY}", broken_off=cut is not None)

    async def stored_keys(self) -> list[str]:
        return [item.key async for item in self.storage.list("")]

    async def is_clean(self) -> bool:
        """Whether nothing lies in storage and no slot is taken."""
        multiparts = [item async for item in self.storage.list_multiparts()]
        return not await self.stored_keys() and not multiparts and not self.slots.taken


def encode(parts: Iterable[tuple[str, str | None, bytes]]) -> bytes:
    body = bytearray()
    for name, filename, content in parts:
        shown = "" if filename is None else f'; filename="{filename}"'
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return bytes(body + f"--{BOUNDARY}--\r\n".encode())


def make_app(settings: Settings, storage: Storage, rules: FormRules) -> Litestar:
    @post("/form", request_max_body_size=None)
    async def take_form(request: Request[Any, Any, Any]) -> dict[str, Any]:
        form = await receive_form(request, storage, settings, rules)
        files = [
            {
                "key": file.key,
                "byte_size": file.byte_size,
                "sha256": file.sha256.hex(),
                "media_type": file.media_type,
                "mime": file.mime,
                "filename": file.filename,
            }
            for file in form.files
        ]
        return {"fields": form.fields, "files": files}

    def answer(_request: Request[Any, Any, Any], error: StrvError) -> Response[dict[str, Any]]:
        return Response({"code": error.code, "fields": error.fields}, status_code=error.status)

    app = Litestar([take_form], exception_handlers={StrvError: answer})
    app.state["shutdown"] = Shutdown()
    app.state["part_slots"] = PartSlots(settings.upload_part_bytes, settings.upload_part_slots)
    return app


@pytest_asyncio.fixture(params=["files", "s3"])
async def form_site(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[FormSite]:
    settings = upload_settings(tmp_path)
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        settings = settings.model_copy(update=server.settings("forms"))
    async with open_storage(settings) as storage:
        yield FormSite(settings, storage, make_app(settings, storage, RULES))
        await storage.delete([item.key async for item in storage.list("")])


@pytest_asyncio.fixture
async def local_site(tmp_path: Any) -> AsyncIterator[FormSite]:
    settings = upload_settings(tmp_path)
    async with open_storage(settings) as storage:
        yield FormSite(settings, storage, make_app(settings, storage, RULES))
