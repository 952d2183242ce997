"""What failed of a post's media, made once more."""

from __future__ import annotations

from sqlalchemy import Update, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.models import Post
from strvsocial.content.work import want_processing, want_sizes
from strvsocial.media.models import Attachment, Rendition


async def retry_media(db: AsyncSession, post: Post) -> bool:
    """Wants all failed media of a post made again, or the sizes of a film that failed. False when nothing has failed."""
    failed = (
        update(Attachment)
        .where(Attachment.post_id == post.id, Attachment.status == "failed")
        .values(status="processing", failure=None, progress=0)
        .returning(Attachment.id, Attachment.kind)
    )
    rows = (await db.execute(failed)).all()
    for row in rows:
        await want_processing(db, row.id, row.kind)
    media = select(Attachment.id).where(Attachment.post_id == post.id, Attachment.status == "ready").scalar_subquery()
    lacking = sorted(set((await db.scalars(_as_wanted(Rendition.attachment_id.in_(media)))).all()))
    for attachment_id in lacking:
        await want_sizes(db, attachment_id)
    if rows:
        post.status, post.failure, post.pending = "processing", None, ["rendition", "embedding"]
    elif lacking:
        _wait_for_sizes(post)
    return bool(rows or lacking)


async def resume_sizes(db: AsyncSession, attachment_id: int) -> None:
    """Before sizes are made: what failed in an earlier run is wanted again, and the post waits for it."""
    if (await db.scalars(_as_wanted(Rendition.attachment_id == attachment_id))).first() is not None:
        of_medium = select(Attachment.post_id).where(Attachment.id == attachment_id).scalar_subquery()
        post = await db.scalar(select(Post).where(Post.id == of_medium).with_for_update())
        if post is not None and post.status == "ready":
            _wait_for_sizes(post)


def _as_wanted(whose: object) -> Update:
    return (
        update(Rendition)
        .where(whose, Rendition.state == "failed")  # type: ignore[arg-type]
        .values(state="wanted", progress=0, details=Rendition.details.op("-")("failure"))
        .returning(Rendition.attachment_id)
        .execution_options(synchronize_session=False)
    )


def _wait_for_sizes(post: Post) -> None:
    post.pending = ["rendition", *(name for name in post.pending if name != "rendition")]
