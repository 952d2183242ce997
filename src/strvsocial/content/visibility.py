"""Who may see a post: the one predicate, used by lists, pages, the API, search, similar posts and media bytes."""

from __future__ import annotations

from sqlalchemy import BigInteger, BindParameter, ColumnElement, and_, bindparam, exists, or_

from strvsocial.content.models import Post
from strvsocial.users.models import Follow, User


def visible_to(viewer_id: int | BindParameter[int] | None) -> ColumnElement[bool]:
    """Over `Post`: true for what `viewer_id` may see. `None` is nobody signed in: public posts only.

    Public posts, one's own, and `followers` posts of those one follows; never those of a suspended author. It says
    nothing about a post's status: lists add `Post.status == 'ready'`. A statement built once takes `VIEWER_ID`.
    """
    viewer = viewer_id if isinstance(viewer_id, BindParameter) else bindparam(None, viewer_id, BigInteger)
    follows = exists().where(Follow.follower_id == viewer, Follow.followed_id == Post.author_id)
    suspended = exists().where(User.id == Post.author_id, User.suspended_at.is_not(None))
    return and_(
        or_(
            Post.visibility == "public",
            Post.author_id == viewer,
            and_(Post.visibility == "followers", follows.correlate(Post)),
        ),
        ~suspended.correlate(Post),
    )


VIEWER_ID: BindParameter[int] = bindparam("viewer_id", type_=BigInteger)
"""The viewer of a statement that is built once: execute it with `{"viewer_id": viewer_id}`."""
