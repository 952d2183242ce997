"""Media that failed as admins see them: whole files, and renditions of those that can be seen or played."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import String, bindparam, literal_column, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.models import Post
from strvsocial.content.retrying import retry_media
from strvsocial.content.visibility import visible_to
from strvsocial.errors import Conflict, NotFound
from strvsocial.media.models import Attachment
from strvsocial.users import audit
from strvsocial.users.models import User
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

_RENDITIONS = literal_column(
    "(select string_agg(name, ', ' order by role, width, name) from renditions"
    " where attachment_id = attachments.id and state = 'failed')",
    String,
)
_WHY = literal_column(
    "(select min(details ->> 'failure') from renditions where attachment_id = attachments.id and state = 'failed')",
    String,
)
_HAS_FAILED = text(
    "(attachments.status = 'failed' or exists (select from renditions"
    " where attachment_id = attachments.id and state = 'failed'))"
)


class FailedMedium(msgspec.Struct, frozen=True):
    """A file of a post. `renditions` are those that failed, empty when the whole file did; `failure` is what its author
    reads. Title and address are there only where the admin may see the post."""

    id: str
    kind: str
    byte_size: int
    created_at: datetime
    author: str
    renditions: str
    failure: str
    title: str | None
    url: str | None


async def list_failed(
    reader: AsyncConnection, viewer: Viewer, *, cursor: str | None = None, limit: int = 20
) -> Page[FailedMedium]:
    """Media that failed, the newest first; posts are named only where `viewer` may see them."""
    after = decode_cursor(cursor, (int,))
    statement = (
        select(
            Attachment.id.label("number"),
            Attachment.public_id.label("id"),
            Attachment.kind,
            Attachment.byte_size,
            Attachment.status,
            Attachment.failure,
            Attachment.created_at,
            User.username.label("author"),
            Post.public_id.label("post_id"),
            Post.title,
            visible_to(viewer.id).label("is_seen"),
            _RENDITIONS.label("renditions"),
            _WHY.label("why"),
        )
        .join(Post, Post.id == Attachment.post_id)
        .join(User, User.id == Post.author_id)
        .where(_HAS_FAILED, Attachment.id < after[0] if after else true())
        .order_by(Attachment.id.desc())
        .limit(limit + 1)
    )
    rows = (await reader.execute(statement)).all()
    more = encode_cursor(rows[limit - 1].number) if len(rows) > limit else None
    shown = [
        FailedMedium(
            id=row.id,
            kind=row.kind,
            byte_size=row.byte_size,
            created_at=row.created_at,
            author=row.author,
            renditions="" if row.status == "failed" else row.renditions or "",
            failure=(row.failure if row.status == "failed" else row.why) or "",
            title=row.title if row.is_seen else None,
            url=f"/p/{row.post_id}" if row.is_seen else None,
        )
        for row in rows[:limit]
    ]
    return Page(shown, more)


_POST_OF = (
    select(Post)
    .join(Attachment, Attachment.post_id == Post.id)
    .where(Attachment.public_id == bindparam("medium_id", type_=String))
    .with_for_update(of=Post)
)


async def retry(db: AsyncSession, admin: Viewer, medium_id: str) -> None:
    """Has all that failed of a medium's post made again. Raises NotFound, and Conflict when nothing has failed."""
    post = await db.scalar(_POST_OF, {"medium_id": medium_id})
    if post is None:
        raise NotFound("This file is gone.")
    if not await retry_media(db, post):
        raise Conflict("Nothing about it has failed any more.", code="not_failed")
    await audit.record(db, admin, "media.retry", medium_id, post=post.public_id)
