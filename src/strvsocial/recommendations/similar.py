"""Similar posts: what lies near in any space, without the author's own and without what the viewer may not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.cards import load_numbered
from strvsocial.content.models import Post
from strvsocial.content.views import SimilarItem
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.embeddings.index import Vector, VectorIndex
from strvsocial.errors import NotFound
from strvsocial.recommendations.likeness import Likeness, compare, search
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

OVERFETCH = 4
"""The first search asks for this many times what the page needs; each further one for this many times more."""
DEEPEST = 4096
"""No search goes deeper; a viewer who may see little of what lies so near gets an exact scan of what they may see."""

Ranked = list[tuple[int, Likeness]]
Place = tuple[float, int]

_FIND = select(Post.id, Post.author_id).where(Post.public_id == bindparam("public_id"), visible_to(VIEWER_ID))
_SHOWN = (
    Post.status == "ready",
    Post.author_id != bindparam("author_id", type_=BigInteger),
    visible_to(VIEWER_ID),
)
_FILTER = select(Post.id).where(Post.id == any_(bindparam("ids", type_=ARRAY(BigInteger))), *_SHOWN)
_NEWEST = select(Post.id).where(*_SHOWN).order_by(Post.created_at.desc(), Post.id.desc()).limit(DEEPEST)


async def list_similar(
    reader: AsyncConnection,
    index: VectorIndex,
    viewer: Viewer | None,
    post_public_id: str,
    cursor: str | None = None,
    limit: int = 20,
) -> Page[SimilarItem]:
    """A page of posts like this one, the most similar first. Empty while the post has no vectors or the index loads.

    Raises:
        NotFound: there is no such post for the viewer.
        BadInput: the cursor is none of ours.
    """
    place = decode_cursor(cursor, (float, int))
    viewer_id = viewer.id if viewer else None
    row = (await reader.execute(_FIND, {"public_id": post_public_id, "viewer_id": viewer_id})).one_or_none()
    if row is None:
        raise NotFound("This post is not there, or it is not yours to see.")
    vectors = await index.vectors_of(row.id)
    if not vectors:
        return Page([])
    who = {"author_id": row.author_id, "viewer_id": viewer_id}
    ranked = await _rank(reader, index, vectors, who, place, limit + 1)
    likeness = dict(ranked[:limit])
    cards = await load_numbered(reader, viewer_id, list(likeness))
    items = [
        SimilarItem(post=card, score=round(likeness[post_id].score, 4), spaces=likeness[post_id].spaces)
        for post_id, card in cards
    ]
    if len(ranked) <= limit:
        return Page(items)
    last_id, last = ranked[limit - 1]
    return Page(items, encode_cursor(last.score, last_id))


async def _rank(
    reader: AsyncConnection,
    index: VectorIndex,
    vectors: Mapping[str, Vector],
    who: Mapping[str, Any],
    place: Place | None,
    wanted: int,
) -> Ranked:
    """The `wanted` best that come after `place`: searches deeper until no unseen post could be among them."""
    k = max(32, OVERFETCH * wanted)
    while True:
        near, bound = await search(index, vectors, k)
        ids = list({hit.post_id for hits in near.values() for hit in hits})
        ranked = _after(place, await compare(index, vectors, ids))
        certain = [(post_id, found) for post_id, found in ranked if found.score >= bound]
        shown = await _keep_shown(reader, certain, who)
        exhausted = all(len(hits) < k for hits in near.values())
        if len(shown) >= wanted or exhausted:
            return shown[:wanted]
        if k >= DEEPEST:
            break
        k = min(DEEPEST, k * OVERFETCH)
    newest = list((await reader.execute(_NEWEST, who)).scalars())
    scanned = _after(place, await compare(index, vectors, newest))
    return _best(shown, scanned)[:wanted]


def _after(place: Place | None, found: Mapping[int, Likeness]) -> Ranked:
    below = (
        (post_id, likeness) for post_id, likeness in found.items() if place is None or (likeness.score, post_id) < place
    )
    return sorted(below, key=lambda item: (-item[1].score, -item[0]))


async def _keep_shown(reader: AsyncConnection, ranked: Ranked, who: Mapping[str, Any]) -> Ranked:
    ids: Sequence[int] = [post_id for post_id, _ in ranked]
    shown = set((await reader.execute(_FILTER, {"ids": ids, **who})).scalars()) if ids else set()
    return [(post_id, likeness) for post_id, likeness in ranked if post_id in shown]


def _best(*parts: Ranked) -> Ranked:
    merged = {post_id: likeness for part in parts for post_id, likeness in part}
    return _after(None, merged)
