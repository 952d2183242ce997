"""Whom one might follow: people whose posts are like one's own."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import ARRAY, BigInteger, any_, bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Post
from strvsocial.embeddings.index import VectorIndex
from strvsocial.recommendations.for_you import rank
from strvsocial.recommendations.ranked_lists import Entry
from strvsocial.users.models import Follow, User
from strvsocial.users.profiles import as_user, select_users
from strvsocial.users.views import UserView
from strvsocial.web.paging import Page
from strvsocial.web.viewers import Viewer

BEST_POSTS = 3
"""A person counts by this many of their best posts, so that posting much does not push anyone up."""


class SuggestedUser(Struct, frozen=True):
    """`reason` names the post of the viewer that led here and the person's post that is like it."""

    user: UserView
    reason: dict[str, Any]


_POSTS = select(Post.id, Post.public_id, Post.title, Post.author_id).where(
    Post.id == any_(bindparam("ids", type_=ARRAY(BigInteger)))
)


async def list_suggestions(
    reader: AsyncConnection, index: VectorIndex, viewer: Viewer, limit: int = 20
) -> Page[SuggestedUser]:
    """People whom the viewer does not follow, the most like them first. One page."""
    entries = await rank(reader, index, viewer.id)
    wanted = {entry.post_id for entry in entries} | {entry.seed_id for entry in entries}
    posts = {row.id: row for row in await reader.execute(_POSTS, {"ids": list(wanted)})}
    by_author: dict[int, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: -entry.score):
        if entry.post_id in posts:
            by_author.setdefault(posts[entry.post_id].author_id, []).append(entry)
    scores = {author: sum(entry.score for entry in found[:BEST_POSTS]) for author, found in by_author.items()}
    statement = select_users(viewer).where(
        User.id.in_(list(scores)),
        ~exists().where(Follow.follower_id == viewer.id, Follow.followed_id == User.id).correlate(User),
    )
    rows = sorted(await reader.execute(statement), key=lambda row: -scores[row.id])[:limit]
    return Page([SuggestedUser(as_user(row, viewer), _reason(by_author[row.id][0], posts)) for row in rows])


def _reason(entry: Entry, posts: dict[int, Any]) -> dict[str, Any]:
    seed, found = posts[entry.seed_id], posts[entry.post_id]
    return {
        "kind": "similar_posts",
        "text": f"“{found.title}” is like “{seed.title}”",
        "post": {"id": found.public_id, "title": found.title, "url": f"/p/{found.public_id}"},
    }
