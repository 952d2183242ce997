"""What a person showed interest in lately: their own posts, and what they opened or played. Recommendations start there."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Interaction, Post
from strvsocial.content.visibility import VIEWER_ID, visible_to

OWN_SEEDS, SEEN_SEEDS = 8, 8
OWN_WEIGHT, SEEN_WEIGHT = 1.0, 0.7
"""What somebody posted says more about them than what they looked at."""

Act = Literal["posted", "opened"]


class Seed(NamedTuple):
    """A post that recommendations start from. `weight` multiplies the likeness to it."""

    post_id: int
    public_id: str
    title: str
    act: Act
    weight: float


_COLUMNS = (Post.id, Post.public_id, Post.title)
_OWN = (
    select(*_COLUMNS)
    .where(Post.author_id == VIEWER_ID, Post.status == "ready")
    .order_by(Post.created_at.desc(), Post.id.desc())
    .limit(OWN_SEEDS)
)
_last = func.max(Interaction.created_at)
_SEEN = (
    select(*_COLUMNS)
    .join(Interaction, Interaction.post_id == Post.id)
    .where(
        Interaction.user_id == VIEWER_ID,
        Interaction.kind.in_(("open", "play")),
        Interaction.created_at > func.now() - func.make_interval(0, 0, 0, 30),
        Post.author_id != VIEWER_ID,
        Post.status == "ready",
        visible_to(VIEWER_ID),
    )
    .group_by(*_COLUMNS)
    .order_by(_last.desc(), Post.id.desc())
    .limit(SEEN_SEEDS)
)


async def list_seeds(reader: AsyncConnection, viewer_id: int) -> list[Seed]:
    """The newest of both kinds, one's own first."""
    own = await reader.execute(_OWN, {"viewer_id": viewer_id})
    seeds = [Seed(*row, "posted", OWN_WEIGHT) for row in own]
    seen = await reader.execute(_SEEN, {"viewer_id": viewer_id})
    return seeds + [Seed(*row, "opened", SEEN_WEIGHT) for row in seen]
