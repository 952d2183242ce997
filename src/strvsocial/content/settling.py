"""What becomes of a post when one of its media is done: still processing, ready, or failed with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.models import Post
from strvsocial.content.work import want_embedding
from strvsocial.jobs import URGENT
from strvsocial.live import announce
from strvsocial.media.models import Attachment, Rendition

_WANTED = select(
    exists().where(
        Rendition.attachment_id == Attachment.id,
        Attachment.post_id == bindparam("post_id"),
        Rendition.state == "wanted",
    )
)


async def settle(db: AsyncSession, post_id: int, priority: int = URGENT) -> None:
    """Sets the status of a post by its media and tells the author when that changed. Idempotent.

    All ready: the post is ready and wants its embedding. One failed: the post has failed, its text stays.
    """
    post = await db.get(Post, post_id, with_for_update=True)
    if post is None:
        return
    media = select(Attachment).where(Attachment.post_id == post_id).order_by(Attachment.position, Attachment.id)
    attachments = (await db.scalars(media.execution_options(populate_existing=True))).all()
    post.media_type = _media_type(attachments)
    if any(attachment.status == "processing" for attachment in attachments):
        post.status, post.failure = "processing", None
        post.pending = ["rendition", "embedding"]
        return
    was = (post.status, post.failure)
    failure = _failure(attachments)
    if failure:
        post.status, post.failure, post.pending = "failed", failure, []
    else:
        post.status, post.failure = "ready", None
        if was[0] != "ready":
            is_heard = any(attachment.has_audio for attachment in attachments)
            sizes = ["rendition"] if await db.scalar(_WANTED, {"post_id": post_id}) else []
            post.pending = [*sizes, *(["captions"] if is_heard else []), "embedding"]
            await want_embedding(db, post_id, priority)
    if was != (post.status, post.failure):
        data = {"id": post.public_id, "url": f"/p/{post.public_id}"}
        await announce(db, f"post.{post.status}", post.author_id, data)


async def settle_sizes(db: AsyncSession, post_id: int) -> None:
    """Once all sizes of its films are made, a post waits for them no more, and its author's open page hears of it."""
    post = await db.get(Post, post_id, with_for_update=True)
    if post is None or "rendition" not in post.pending or await db.scalar(_WANTED, {"post_id": post_id}):
        return
    post.pending = [name for name in post.pending if name != "rendition"]
    data = {"id": post.public_id, "url": f"/p/{post.public_id}", "pending": post.pending}
    await announce(db, "post.ready", post.author_id, data)


def _media_type(attachments: Sequence[Attachment]) -> str:
    """By what the decoder found: a WebP among images may turn out to move, and the post stays one of images."""
    kinds = {attachment.kind for attachment in attachments}
    return kinds.pop() if len(kinds) == 1 else "image" if kinds else "text"


def _failure(attachments: Sequence[Attachment]) -> str | None:
    """Why a post failed, in words for its author; with several media it says which one."""
    for number, attachment in enumerate(attachments, 1):
        if attachment.status == "failed":
            reason = attachment.failure or "This file could not be processed."
            return reason if len(attachments) == 1 else f"File {number} of {len(attachments)}: {reason}"
    return None
