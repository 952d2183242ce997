"""The admin's commands about people."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys

import httpx
import pytest
from tests.front_door import Site, environment_of

from strvsocial.settings import ROOT, Settings


class Console:
    """Runs `strvsocial user …` in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self.environment = environment_of(settings)

    async def __call__(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "strvsocial", "user", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def console(settings: Settings) -> Console:
    return Console(settings)


async def test_an_admin_is_made_and_can_sign_in(console: Console, client: httpx.AsyncClient) -> None:
    name = f"root.{secrets.token_hex(4)}"
    email = f"{name}@example.org"
    made = await console("create", name, email, "--admin", "--generate", "--json")
    assert made.returncode == 0, made.stderr
    password = json.loads(made.stdout)["password"]
    login = await client.post("/api/v1/tokens", json={"email": email, "password": password})
    assert login.status_code == 201
    me = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {login.json()['token']}"})
    assert me.json()["role"] == "admin"
    again = await console("create", name, "no-address", "--password-stdin", typed="short\n")
    assert again.returncode == 1
    assert "email:" in again.stderr
    assert "password:" in again.stderr
    assert "Traceback" not in again.stderr
    listed = json.loads((await console("list", "--q", name, "--json")).stdout)["items"]
    assert [person["username"] for person in listed] == [name]
    assert name in (await console("list", "--q", name)).stdout


async def test_suspending_and_resetting_end_every_login(
    console: Console, site: Site, client: httpx.AsyncClient
) -> None:
    alice = await site.member("alice")
    dry = json.loads((await console("suspend", alice.username, "--dry-run", "--json")).stdout)
    assert (dry["dry_run"], dry["logins"]) == (True, 2)
    assert (await alice.api("GET", "/me")).status_code == 200
    assert (await console("suspend", alice.username.upper())).returncode == 0
    assert (await alice.api("GET", "/me")).status_code == 401
    assert (await alice.browser.get("/api/v1/me")).status_code == 401
    assert (await console("unsuspend", alice.username)).returncode == 0
    reset = await console("reset-password", alice.username, "--password-stdin", typed="another good one\n")
    assert reset.returncode == 0
    assert "another" not in reset.stdout
    for password, status in ((alice.password, 401), ("another good one", 201)):
        login = await client.post("/api/v1/tokens", json={"email": alice.email, "password": password})
        assert login.status_code == status
    assert (await console("promote", alice.username)).returncode == 0
    assert json.loads((await console("promote", alice.username, "--demote", "--json")).stdout)["role"] == "member"


async def test_nobody_is_an_error_in_words(console: Console) -> None:
    gone = await console("suspend", "nobody-at-all")
    assert gone.returncode == 1
    assert gone.stderr.strip().splitlines()[-1] == "There is nobody called 'nobody-at-all'."
