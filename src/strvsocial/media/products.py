"""What processing makes of one file, before it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strvsocial.media.placeholders import placeholder

PIPELINE = 2
"""Which pipeline makes things. Raise it when equal bytes become something else than before: only what one pipeline made
is shared between posts, and `strvsocial media reprocess --outdated` finds what an earlier one made."""

MIMES = {
    "webm": "audio/webm; codecs=opus",
    "webp": "image/webp",
    "avif": "image/avif",
    "mp4": "video/mp4",
    "m3u8": "application/vnd.apple.mpegurl",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "json": "application/json",
    "pcm": "audio/L16",
    "frames": "application/octet-stream",
}


@dataclass(frozen=True)
class Product:
    """A file called `name` in the private folder. `role` is as in `Rendition`."""

    name: str
    role: str
    width: int | None = None
    height: int | None = None
    bitrate: int | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def mime(self) -> str:
        if self.role == "rung" and self.width is None:
            return "audio/mp4"
        return MIMES[self.name.rpartition(".")[2]]

    @property
    def is_served(self) -> bool:
        """False for what only the embedder reads."""
        return self.role not in ("pcm", "frames")

    def key(self, attachment_public_id: str, generation: int = 0) -> str:
        """Where it lies. What is made anew lies beside what it will replace, which is served meanwhile."""
        folder = f"{attachment_public_id}-{generation}" if generation else attachment_public_id
        return f"{'media' if self.is_served else 'work'}/{folder}/{self.name}"


@dataclass(frozen=True)
class Made:
    """All that was made of one file, and what it turned out to be. `duration` is in seconds."""

    kind: str
    products: list[Product]
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    has_audio: bool | None = None
    placeholder: str | None = None
    wanted: list[Product] = field(default_factory=list)
    """What is still to be made: rows tell of it, and no bytes are there yet."""


def pictures(answer: dict[str, Any], role: str) -> tuple[list[Product], str]:
    """The products and the placeholder that the picture child reports."""
    made = [Product(one["name"], role, one["width"], one["height"]) for one in answer["made"]]
    return made, placeholder(**answer["tiny"])


def size_of(folder: Path, name: str) -> int:
    """Bytes of a product, 0 when it was not made."""
    path = folder / name
    return path.stat().st_size if path.exists() else 0
