"""Posts with sounds for journeys, and what the page plays."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
from playwright.async_api import Locator, Page
from tests.front_door import PASSWORD

from strvsocial.users.models import User

HEARD = "document.querySelector('body > audio')"


def swells(seconds: int) -> bytes:
    """A tone that comes and goes, as a WAV of 8 kHz."""
    moments = np.arange(seconds * 8000) / 8000
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((12_000 * np.sin(1400 * moments) * np.sin(moments) ** 2).astype("<i2").tobytes())
    return content.getvalue()


@asynccontextmanager
async def client_of(address: str, user: User) -> AsyncIterator[httpx.AsyncClient]:
    """The API of the site at this address with the person's token."""
    async with httpx.AsyncClient(base_url=f"{address}/api/v1", timeout=60) as client:
        given = await client.post("/tokens", json={"email": user.email, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {given.raise_for_status().json()['token']}"
        yield client


async def post_file(client: httpx.AsyncClient, title: str, name: str, content: bytes) -> str:
    """Posts a file and waits until it can be played. Returns the post's id."""
    made = await client.post("/posts", data={"title": title}, files={"file": (Path(name).name, content)})
    post = made.raise_for_status().json()
    async with asyncio.timeout(90):
        while post["status"] == "processing":
            await asyncio.sleep(0.2)
            post = (await client.get(f"/posts/{post['id']}")).json()
    assert post["status"] == "ready", post["failure"]
    return str(post["id"])


def box_of(page: Page, title: str) -> Locator:
    return page.locator(f"[data-sound][data-title='{title}']")


async def at(page: Page) -> float:
    """Where the sound is that is heard, in seconds."""
    return float(await page.evaluate(f"{HEARD}.currentTime"))


async def hear(page: Page, seconds: float) -> None:
    """Waits until the sound has come as far as this, playing."""
    await page.wait_for_function(f"s => {HEARD} && !{HEARD}.paused && {HEARD}.currentTime >= s", arg=seconds)
