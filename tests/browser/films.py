"""Small films for the player's tests, published through the API by somebody of their own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from tests.front_door import PASSWORD

from strvsocial.ids import new_id
from strvsocial.media.sandbox import find_ffmpeg

LIMIT = 180.0
"""Seconds for what takes a few on an idle machine."""
CUES = [(0.0, 4.0, "The first four seconds"), (4.0, 8.0, "The four in the middle"), (8.0, 12.0, "The last four")]


def make_film(path: Path, seconds: int, size: str = "854x480", rate: int = 12) -> Path:
    """A test picture that counts, with a tone: H.264 and AAC, which the site takes over as they are."""
    command = [
        find_ffmpeg(), "-nostdin", "-v", "error", "-y",
        "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}",
        "-f", "lavfi", "-i", f"sine=frequency=300:duration={seconds}",
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return path


class Author:
    """Who publishes, through the API, and waits until all sizes are there."""

    def __init__(self, address: str, name: str) -> None:
        self.client = httpx.Client(base_url=f"{address}/api/v1", timeout=60)
        self.email = f"{name}.{new_id()}@example.org"
        account = {"username": f"{name}.{new_id()[:6]}", "email": self.email, "password": PASSWORD}
        self.client.post("/accounts", json=account).raise_for_status()
        sent = self.client.post("/tokens", json={"email": self.email, "password": PASSWORD}).raise_for_status()
        self.client.headers["Authorization"] = f"Bearer {sent.json()['token']}"

    def publish(self, title: str, path: Path) -> str:
        """The id of the post."""
        with path.open("rb") as file:
            sent = [("title", (None, title)), ("file", (path.name, file))]
            return str(self.client.post("/posts", files=sent).raise_for_status().json()["id"])  # type: ignore[arg-type]

    def settled(self, post_id: str) -> dict[str, Any]:
        """The post, once its medium and all of its sizes are made."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            post: dict[str, Any] = self.client.get(f"/posts/{post_id}").raise_for_status().json()
            if post["status"] == "failed":
                raise AssertionError(post["failure"])
            if post["status"] == "ready" and "rendition" not in post["pending"]:
                return post
            time.sleep(0.2)
        raise AssertionError(f"The film is not ready after {LIMIT:.0f} seconds.")

    def caption(self, post_id: str) -> None:
        """Writes what is said, as its author would correct it."""
        segments = [{"start": start, "end": end, "text": words} for start, end, words in CUES]
        self.client.patch(
            f"/posts/{post_id}/captions", json={"segments": segments, "language": "en"}
        ).raise_for_status()
