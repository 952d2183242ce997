"""What the pipeline gets to know of a post, and what it makes of it."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from strvsocial.embeddings.findings import Segment, Vectors


class Analysis(msgspec.Struct, frozen=True):
    """What a model found in an attachment earlier; `vector` is as in the table."""

    model: str
    vector: bytes | None
    details: dict[str, Any]


class StoredPcm(msgspec.Struct, frozen=True):
    key: str
    byte_size: int

    @property
    def samples(self) -> int:
        return self.byte_size // 2


class AttachmentInput(msgspec.Struct, frozen=True, kw_only=True):
    """A medium. `frames` is the key of its frames; `analyses` are those of the models in use."""

    id: int
    kind: str
    alt: str = ""
    frames: str | None = None
    pcm: StoredPcm | None = None
    analyses: list[Analysis] = []
    transcript: str = ""

    def find(self, model: str) -> Analysis | None:
        return next((analysis for analysis in self.analyses if analysis.model == model), None)


class PostInput(msgspec.Struct, frozen=True, kw_only=True):
    """A post with its media in order; `hashes` are the input hashes of its vectors, in hex, by the space's id."""

    id: int
    public_id: str
    author_id: int
    version: int
    title: str
    text: str
    tags: list[str] = []
    attachments: list[AttachmentInput] = []
    hashes: dict[str, str] = {}


class Heard(NamedTuple):
    """How far an attachment's audio has been listened to. `segments` are new; `position` is the number of the first."""

    analysis: Analysis
    position: int
    segments: list[Segment]


class PostVectors(NamedTuple):
    """The vectors of a post by space; None where its input is as it was. `absent` spaces no longer apply."""

    post: PostInput
    vectors: dict[str, tuple[Vectors, bytes]]
    absent: list[str]


def hash_of(model: str, *parts: bytes) -> bytes:
    """What decides whether a vector is still good: the model and everything that went in."""
    digest = hashlib.sha256(model.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
