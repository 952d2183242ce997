"""The vectors of a post, for those who want to see what the site knows of it."""

from __future__ import annotations

import sys
from array import array

from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import String, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Post
from strvsocial.embeddings.models import Embedding, EmbeddingSpace


class VectorView(Struct, frozen=True):
    """A post's place in one space."""

    space: str
    model: str
    dim: int
    vector: list[float] | UnsetType = UNSET


_OF_POST = (
    select(EmbeddingSpace.name, EmbeddingSpace.model, EmbeddingSpace.dim, Embedding.vector)
    .join(Embedding, Embedding.space_id == EmbeddingSpace.id)
    .join(Post, Post.id == Embedding.post_id)
    .where(Post.public_id == bindparam("public_id", type_=String))
    .where(EmbeddingSpace.state == "active", Embedding.vector.is_not(None))
    .order_by(EmbeddingSpace.id)
)


async def list_vectors(reader: AsyncConnection, public_id: str, *, with_vectors: bool) -> list[VectorView]:
    """A post's vectors in the active spaces. The caller knows that the viewer may see the post."""
    rows = await reader.execute(_OF_POST, {"public_id": public_id})
    return [VectorView(row.name, row.model, row.dim, _floats(row.vector) if with_vectors else UNSET) for row in rows]


def _floats(packed: bytes) -> list[float]:
    """From little-endian float32."""
    numbers = array("f", packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
