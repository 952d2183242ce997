"""Posts of the same bytes: what was made of them once need not be made again.

Only from posts that the author may see. Else a film that is ready at once would tell that somebody here keeps the same one
to themselves.
"""

from __future__ import annotations

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import aliased

from strvsocial.content.models import Post
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.db import Database
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.products import PIPELINE
from strvsocial.media.sharing import adopt
from strvsocial.storage import Storage

_AUTHOR = (
    select(Post.author_id)
    .join(Attachment, Attachment.post_id == Post.id)
    .where(Attachment.id == bindparam("attachment_id"), Attachment.status == "processing")
)
_mine = aliased(Attachment)
_TWIN = (
    select(Attachment.id)
    .join(_mine, (_mine.sha256 == Attachment.sha256) & (_mine.byte_size == Attachment.byte_size))
    .join(Post, Post.id == Attachment.post_id)
    .where(
        _mine.id == bindparam("attachment_id"),
        Attachment.id != _mine.id,
        Attachment.status == "ready",
        Attachment.pipeline == PIPELINE,
        ~exists().where(Rendition.attachment_id == Attachment.id, Rendition.state != "ready"),
        visible_to(VIEWER_ID),
    )
    .order_by(Attachment.id)
    .limit(1)
)


async def adopt_twin(database: Database, storage: Storage, attachment_id: int) -> bool:
    """Makes a waiting attachment ready by what was made of the same bytes before, where its author may see that."""
    async with database.read() as reader:
        author_id = await reader.scalar(_AUTHOR, {"attachment_id": attachment_id})
        if author_id is None:
            return False
        twin_id = await reader.scalar(_TWIN, {"attachment_id": attachment_id, "viewer_id": author_id})
    return twin_id is not None and await adopt(database, storage, attachment_id, twin_id)
