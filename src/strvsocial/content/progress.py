"""How far the media of a post are, for its author's open pages."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.live import announce

_PROGRESS = text(
    """
    select posts.public_id, posts.author_id,
      (select avg(case other.status when 'processing' then other.progress else 100 end)::int
       from attachments as other where other.post_id = posts.id) as percent,
      (select jsonb_object_agg(name, progress) from renditions
       where attachment_id = attachments.id and state = 'wanted') as sizes
    from attachments join posts on posts.id = attachments.post_id where attachments.id = :attachment_id
    """
)


async def tell_progress(db: AsyncSession, attachment_id: int) -> None:
    """`post.progress`, once the caller's transaction commits: `percent` of the post until it is ready, and `sizes`, the
    percent of each rendition that is still to be made, by name."""
    row = (await db.execute(_PROGRESS, {"attachment_id": attachment_id})).one_or_none()
    if row is not None:
        data = {"id": row.public_id, "url": f"/p/{row.public_id}", "percent": row.percent, "sizes": row.sizes or {}}
        await announce(db, "post.progress", row.author_id, data)
