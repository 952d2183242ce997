"""Media bytes of posts: what a viewer may fetch."""

from __future__ import annotations

from sqlalchemy import bindparam, extract, select
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Post
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.serving import SERVED_ROLES, Servable
from strvsocial.web.viewers import Viewer

_RENDITION = (
    select(
        Rendition.id,
        Rendition.key,
        Rendition.mime,
        Rendition.byte_size,
        extract("epoch", Rendition.created_at).label("made_at"),
    )
    .join(Attachment, Attachment.id == Rendition.attachment_id)
    .join(Post, Post.id == Attachment.post_id)
    .where(
        Attachment.public_id == bindparam("attachment_id"),
        Rendition.name == bindparam("name"),
        Rendition.role.in_(SERVED_ROLES),
        Rendition.state == "ready",
        visible_to(VIEWER_ID),
    )
)


async def find_rendition(
    reader: AsyncConnection, viewer: Viewer | None, attachment_id: str, name: str
) -> Servable | None:
    """A rendition by the public id of its attachment and its name, if its post is visible to the viewer."""
    wanted = {"attachment_id": attachment_id, "name": name, "viewer_id": viewer.id if viewer else None}
    row = (await reader.execute(_RENDITION, wanted)).one_or_none()
    if row is None:
        return None
    # A rendition that is made anew keeps its name, but not its row or the time in it.
    version = f"{row.id:x}-{row.byte_size:x}-{int(row.made_at * 1_000_000):x}"
    return Servable(row.key, row.mime, row.byte_size, version)
