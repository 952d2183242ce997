"""For you: what is like the posts that somebody published or looked at lately, each with its reason; then the latest.

Every seed (`seeds.py`) looks for its own neighbours, so that one person's several interests stay several and are not
averaged into none. A post is kept for the seed that it is most like. Nobody gets more than two posts in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content import feeds
from strvsocial.content.cards import load_numbered
from strvsocial.content.models import Interaction, Post
from strvsocial.content.views import FeedItem, Reason
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.embeddings.index import VectorIndex
from strvsocial.recommendations.likeness import Likeness, compare, search
from strvsocial.recommendations.ranked_lists import Entry, RankedLists
from strvsocial.recommendations.seeds import Seed, list_seeds
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

PER_SEED = 64
"""Neighbours that each seed looks at, in each space."""
LONGEST = 200
LEAST_SCORE = 0.15
"""Posts less like any seed than this are left to the latest posts that follow."""
IN_A_ROW = 2

_not_hidden = ~exists().where(
    Interaction.post_id == Post.id, Interaction.user_id == VIEWER_ID, Interaction.kind == "hide"
).correlate(Post)
_SHOWN = select(Post.id, Post.author_id).where(
    Post.id == any_(bindparam("ids", type_=ARRAY(BigInteger))),
    Post.status == "ready",
    Post.author_id != VIEWER_ID,
    visible_to(VIEWER_ID),
    _not_hidden,
)
_TITLES = select(Post.id, Post.public_id, Post.title, Post.author_id).where(
    Post.id == any_(bindparam("ids", type_=ARRAY(BigInteger))), visible_to(VIEWER_ID)
)
_VERBS = {"look": "Looks like", "sound": "Sounds like", "text": "Reads like"}


async def list_for_you(
    reader: AsyncConnection,
    index: VectorIndex,
    lists: RankedLists,
    viewer: Viewer,
    cursor: str | None = None,
    limit: int = 20,
) -> Page[FeedItem]:
    """A page of recommendations with their reasons. Raises BadInput: the cursor is none of ours."""
    place = decode_cursor(cursor, (str, int, str))
    token, offset, latest = place or ("", 0, "")
    entries = await lists.find(viewer.id, token) if token else None
    if entries is None:
        entries = await rank(reader, index, viewer.id)
        token = await lists.keep(viewer.id, entries)
    offset = max(0, min(offset, len(entries)))
    page = entries[offset : offset + limit]
    items = await _show(reader, viewer, page)
    offset += len(page)
    if offset < len(entries):
        return Page(items, encode_cursor(token, offset, ""))
    if len(page) == limit:
        return Page(items, encode_cursor(token, offset, latest))
    more, following = await _latest(reader, viewer, {entry.post_id for entry in entries}, latest, limit - len(page))
    return Page(items + more, encode_cursor(token, offset, following) if following else None)


async def rank(reader: AsyncConnection, index: VectorIndex, viewer_id: int) -> list[Entry]:
    """The posts that the viewer may see, most like one of their seeds first, authors spread."""
    seeds = await list_seeds(reader, viewer_id)
    best: dict[int, Entry] = {}
    for seed, found in zip(seeds, await asyncio.gather(*(_near(index, seed) for seed in seeds)), strict=True):
        for post_id, likeness in found.items():
            score = seed.weight * likeness.score
            if score >= LEAST_SCORE and (post_id not in best or score > best[post_id].score):
                best[post_id] = Entry(post_id, seed.post_id, score, likeness.shares)
    for seed in seeds:
        best.pop(seed.post_id, None)
    if not best:
        return []
    rows = await reader.execute(_SHOWN, {"ids": list(best), "viewer_id": viewer_id})
    authors = {row.id: row.author_id for row in rows}
    ranked = sorted((best[post_id] for post_id in authors), key=lambda entry: (-entry.score, -entry.post_id))
    return spread(ranked, [authors[entry.post_id] for entry in ranked])[:LONGEST]


async def _near(index: VectorIndex, seed: Seed) -> dict[int, Likeness]:
    vectors = await index.vectors_of(seed.post_id)
    if not vectors:
        return {}
    near, _ = await search(index, vectors, PER_SEED)
    return await compare(index, vectors, list({hit.post_id for hits in near.values() for hit in hits}))


def spread(ranked: Sequence[Entry], authors: Sequence[int]) -> list[Entry]:
    """The same posts in nearly the same order, no author more than `IN_A_ROW` times in a row while others are left."""
    waiting = list(zip(ranked, authors, strict=True))
    chosen: list[Entry] = []
    row: list[int] = []
    while waiting:
        tired = row[-1] if len(row) >= IN_A_ROW and len(set(row[-IN_A_ROW:])) == 1 else None
        position = next((at for at, (_, author) in enumerate(waiting) if author != tired), 0)
        entry, author = waiting.pop(position)
        chosen.append(entry)
        row.append(author)
    return chosen


async def _show(reader: AsyncConnection, viewer: Viewer, entries: Sequence[Entry]) -> list[FeedItem]:
    by_id = {entry.post_id: entry for entry in entries}
    if not by_id:
        return []
    cards = await load_numbered(reader, viewer.id, list(by_id))
    wanted = list({entry.seed_id for entry in entries})
    rows = await reader.execute(_TITLES, {"ids": wanted, "viewer_id": viewer.id})
    seeds = {
        row.id: Seed(row.id, row.public_id, row.title, "posted" if row.author_id == viewer.id else "opened", 1.0)
        for row in rows
    }
    return [
        FeedItem(post=card, reason=explain(by_id[post_id], seeds[by_id[post_id].seed_id]))
        for post_id, card in cards
        if by_id[post_id].seed_id in seeds
    ]


def explain(entry: Entry, seed: Seed) -> Reason:
    """The reason in words: the strongest space, and the post that led here."""
    strongest = max(entry.shares, key=lambda name: entry.shares[name], default="text")
    return Reason(
        kind="similar_to_own" if seed.act == "posted" else "similar_to_seen",
        text=f"{_VERBS[strongest]} “{seed.title}”, which you {seed.act}",
        shares=entry.shares,
        post={"id": seed.public_id, "title": seed.title, "url": f"/p/{seed.public_id}"},
    )


async def _latest(
    reader: AsyncConnection, viewer: Viewer, shown: Collection[int], cursor: str, limit: int
) -> tuple[list[FeedItem], str | None]:
    """Newest posts by others that were not recommended above, and where they go on."""
    reason = Reason(kind="latest", text="New here", shares={"fresh": 1.0})
    page = await feeds.list_explore(reader, viewer, cursor or None, limit)
    rows = await reader.execute(
        select(Post.public_id).where(Post.id == any_(bindparam("ids", type_=ARRAY(BigInteger)))), {"ids": list(shown)}
    )
    known = set(rows.scalars())
    return [FeedItem(post=post, reason=reason) for post in page.items if post.id not in known], page.next
