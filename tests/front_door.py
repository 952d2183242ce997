"""The site through its front door: `Site` starts the application in this process and signs people up.

The fixture `site` (see conftest.py) gives one `Site` for the whole module, on the module's settings:

    async def test_follows(site: Site) -> None:
        alice, bob = await site.member("alice"), await site.member("bob")
        answer = await alice.api("PUT", f"/users/{bob.username}/follow")
        assert answer.status_code == 204
        page = await alice.browser.get("/")           # as a browser: with the session cookie
        anyone = await site.anonymous.get("/explore")  # nobody signed in

`member(name)` signs up a new person each time, called `name` and a random ending, so tests do not meet each other.
`cast("mod")` is the person called `mod.cast`, made once a module. `await site.make_admin(person)` promotes.
`serving(settings)` starts a real web process on a port, for what needs one: streams, signals, browsers.
Clients speak ASGI through httpx: no socket, the whole middleware stack.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import httpx
from litestar import Litestar
from pydantic import SecretStr
from sqlalchemy import text

from strvsocial.app import create_app
from strvsocial.db import Database
from strvsocial.live import News
from strvsocial.settings import ROOT, Settings
from strvsocial.users import accounts, sessions, tokens
from strvsocial.users.cookies import cookie_name

PASSWORD = "correct horse battery"
ORIGIN = "http://localhost:8000"


@dataclass
class Member:
    """A signed-up person: `api(method, path)` with a bearer token, `browser` with a session cookie."""

    id: int
    public_id: str
    username: str
    email: str
    token: str
    client: httpx.AsyncClient
    browser: httpx.AsyncClient
    password: str = PASSWORD

    async def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to /api/v1 with the person's token."""
        return await self.client.request(method, f"/api/v1{path}", **options)


@dataclass
class Site:
    """A running application and the people on it."""

    app: Litestar
    settings: Settings
    database: Database
    address: str = ""
    """Where clients go, when not straight into the application: an nginx before another process on the same settings."""
    people: dict[str, Member] = field(default_factory=dict)
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def anonymous(self) -> httpx.AsyncClient:
        """A client of nobody, with no cookies kept."""
        return self.client()

    def client(self, *, app: Any = None, raise_errors: bool = True, **options: Any) -> httpx.AsyncClient:
        """A client of the application, or of another one."""
        if self.address and app is None:
            client = httpx.AsyncClient(base_url=self.address, **options)
        else:
            application: Any = app or self.app
            transport = httpx.ASGITransport(application, raise_app_exceptions=raise_errors)
            client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, **options)
        self.clients.append(client)
        return client

    async def member(self, name: str = "alice") -> Member:
        """A new person called `name` and a random ending."""
        return await self._sign_up(f"{name}.{secrets.token_hex(4)}")

    async def cast(self, name: str) -> Member:
        """The person called `name` and `.cast`, the same for the whole module."""
        if name not in self.people:
            self.people[name] = await self._sign_up(f"{name}.cast")
        return self.people[name]

    async def make_admin(self, member: Member) -> None:
        async with self.database.transaction() as db:
            await db.execute(text("update users set role = 'admin' where id = :id"), {"id": member.id})

    async def _sign_up(self, username: str) -> Member:
        email = f"{username}@example.org"
        async with self.database.transaction() as db:
            user = await accounts.create_account(db, username=username, email=email, password=PASSWORD)
            token = await tokens.create(db, user.id)
            session = await sessions.start(db, user.id, user_agent="tests")
        client = self.client(headers={"Authorization": f"Bearer {token}"})
        browser = self.client(headers={"Sec-Fetch-Site": "same-origin"}, cookies={cookie_name(self.settings): session})
        return Member(user.id, user.public_id, user.username, email, token, client, browser)


async def outcome(news: asyncio.Queue[News]) -> News:
    """The next news but those of how far something is: on a slow machine there are some."""
    while (one := await news.get()).kind == "post.progress":
        pass
    return one


@asynccontextmanager
async def running_site(settings: Settings) -> AsyncIterator[Site]:
    """A `Site` of its own, with the application's lifespan around it."""
    app = create_app(settings)
    async with running(app):
        site = Site(app, settings, app.state.database)
        try:
            yield site
        finally:
            for client in site.clients:
                await client.aclose()


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """The application's lifespan, in a task of its own: fixtures start and end in different tasks, it may not."""
    started, ending = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await ending.wait()

    task = asyncio.create_task(live())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    try:
        yield
    finally:
        ending.set()
        await task


@contextmanager
def serving(
    settings: Settings, *, log: IO[bytes] | None = None, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a web process of its own, as `make up` runs it, for what needs a socket; and the process.

    What it writes to standard error goes into `log`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "strvsocial.app:create_app", "--no-access-log"]
    command += ["--http", "strvsocial.web.connections:Connection", "--timeout-graceful-shutdown", "6"]
    process = subprocess.Popen(
        [*command, "--no-proxy-headers", "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT,
        stderr=log,
        env={**environment_of(settings), "PORT": str(port), **environment},
    )
    try:
        wait_until_alive(f"http://127.0.0.1:{port}/livez", process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(20)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a process of its own finds exactly these settings."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for name, declared in Settings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        environment[str(declared.validation_alias)] = "" if value is None else str(value)
    return environment


def wait_until_alive(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 150  # A busy machine takes its time; one that cannot start ends at once.
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the web process did not come up")
