"""Posts: read, publish, edit, delete, and what becomes of them when their media are done."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.cards import Reader, find_card
from strvsocial.content.drafts import Draft, Files, check_draft
from strvsocial.content.markdown import render_markdown
from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.retrying import retry_media
from strvsocial.content.views import PostView
from strvsocial.content.visibility import visible_to
from strvsocial.content.work import want_embedding, want_processing
from strvsocial.embeddings import vectors
from strvsocial.errors import Conflict, Forbidden, NotFound
from strvsocial.ids import new_id
from strvsocial.jobs import URGENT
from strvsocial.media.attachments import attach, detach, want_deletion
from strvsocial.media.models import Attachment
from strvsocial.users import audit
from strvsocial.web.viewers import Viewer

_LOCK_KEY = text("select pg_advisory_xact_lock(hashtextextended(:key, :author_id))")


async def get_visible(reader: Reader, viewer: Viewer | None, public_id: str) -> PostView:
    """One post, with transcripts, if `viewer` may see it; else NotFound."""
    view = await find_card(reader, viewer.id if viewer else None, public_id)
    if view is None:
        raise NotFound("This post is not there, or it is not yours to see.")
    return view


async def get_own(db: AsyncSession, me: Viewer, public_id: str) -> Post:
    """One's own post, locked for a change. Invisible is NotFound, visible but somebody else's is Forbidden."""
    post = await _get_seen(db, me, public_id)
    if post.author_id != me.id:
        raise Forbidden("This post is not yours.")
    return post


async def check_own(reader: Reader, me: Viewer, public_id: str) -> None:
    """Raises NotFound or Forbidden as `get_own` does, without a lock: for asking before a large body is read."""
    if not (await get_visible(reader, me, public_id)).viewer.is_author:
        raise Forbidden("This post is not yours.")


async def _get_seen(db: AsyncSession, me: Viewer, public_id: str) -> Post:
    seen = select(Post).where(Post.public_id == public_id, visible_to(me.id)).with_for_update(of=Post)
    post = (await db.scalars(seen)).one_or_none()
    if post is None:
        raise NotFound("This post is not there, or it is not yours to see.")
    return post


async def find_published(db: AsyncSession, author_id: int, idempotency_key: str) -> Post | None:
    """The post that an earlier submit with this key made.

    Equal submits wait here for each other until their transactions end, so that only the first goes on to publish.
    """
    await db.execute(_LOCK_KEY, {"key": idempotency_key, "author_id": author_id})
    same = select(Post).where(Post.author_id == author_id, Post.idempotency_key == idempotency_key)
    return (await db.scalars(same)).one_or_none()


async def publish(db: AsyncSession, author_id: int, draft: Draft, *, priority: int = URGENT) -> Post:
    """Writes a post, its media and the work that they want. Raises BadInput.

    With an idempotency key that is already used, the post of that key is returned, and the bytes of `draft.files` are
    deleted after the commit. A text is ready at once; media become ready when they can be seen or played.
    """
    draft = check_draft(draft)
    key = draft.idempotency_key
    if key and (earlier := await find_published(db, author_id, key)):
        await want_deletion(db, [file.key for file, _ in draft.files])
        return earlier
    kinds = [file.media_type for file, _ in draft.files]
    post = Post(
        public_id=new_id(),
        author_id=author_id,
        title=draft.title,
        text=draft.text,
        text_html=render_markdown(draft.text),
        media_type=kinds[0] if kinds else "text",
        visibility=draft.visibility,
        status="processing" if kinds else "ready",
        pending=["rendition", "embedding"] if kinds else ["embedding"],
        version=1,
        idempotency_key=key,
    )
    db.add(post)
    await db.flush()
    await set_tags(db, post, draft.tags)
    if kinds:
        await add_media(db, post.id, draft.files, position=0, priority=priority)
    else:
        await want_embedding(db, post.id, priority)
    await db.refresh(post)
    return post


async def add_media(
    db: AsyncSession, post_id: int, files: Files, *, position: int, priority: int = URGENT
) -> list[Attachment]:
    """Attaches stored files from `position` on and wants them processed."""
    attachments = await attach(db, post_id, list(files), position)
    for attachment in attachments:
        await want_processing(db, attachment.id, attachment.kind, priority)
    return attachments


async def set_tags(db: AsyncSession, post: Post, names: Sequence[str]) -> None:
    """Makes `names` (normalised) the tags of a post."""
    await db.execute(delete_from(PostTag).where(PostTag.post_id == post.id))
    if not names:
        return
    # In one order for everybody, so that two authors with the same new tags do not wait for each other in a circle.
    await db.execute(insert(Tag).values([{"name": name} for name in sorted(names)]).on_conflict_do_nothing())
    ids = {row.name: row.id for row in await db.execute(select(Tag.id, Tag.name).where(Tag.name.in_(names)))}
    shared = {"post_id": post.id, "created_at": post.created_at}
    rows = [{**shared, "tag_id": ids[name], "position": n} for n, name in enumerate(names)]
    await db.execute(insert(PostTag).values(rows))


async def delete(db: AsyncSession, me: Viewer, public_id: str) -> None:
    """Deletes a post with its media and vectors: one's own, or as an admin any that one sees."""
    if me.is_admin:
        post = await _get_seen(db, me, public_id)
    else:
        post = await get_own(db, me, public_id)
    if post.author_id != me.id:
        await audit.record(db, me, "posts.delete", post.title, post=public_id, author_id=post.author_id)
    await remove(db, [post.id])


async def remove(db: AsyncSession, post_ids: Sequence[int]) -> None:
    """Deletes posts: rows now, bytes by a job after the commit, vectors as tombstones."""
    media = select(Attachment.id).where(Attachment.post_id.in_(post_ids))
    attachment_ids = list((await db.scalars(media)).all())
    if attachment_ids:
        await detach(db, attachment_ids)
    await vectors.bury(db, post_ids)
    await db.execute(delete_from(Post).where(Post.id.in_(post_ids)))


async def retry(db: AsyncSession, me: Viewer, public_id: str) -> Post:
    """Tries what failed of one's own post's media again. Raises Conflict when nothing has failed."""
    post = await get_own(db, me, public_id)
    if not await retry_media(db, post):
        raise Conflict("Nothing about this post has failed.", code="not_failed")
    return post


async def touch(db: AsyncSession, post: Post) -> None:
    """After an edit: a new version, and an embedding of it."""
    post.version += 1
    post.updated_at = (await db.execute(select(func.now()))).scalar_one()
    if post.status == "ready":
        post.pending = [*(name for name in post.pending if name != "embedding"), "embedding"]
        await want_embedding(db, post.id)
