"""The work that posts want done, as rows in the transaction that wants it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.jobs import URGENT, enqueue, enqueue_many
from strvsocial.media.models import Rendition

PROCESS_ATTACHMENT = "content.process_attachment"
PROCESS_FILM = "content.process_film"
PROCESS_FEATURE = "content.process_feature"
FINISH_FILM = "content.finish_film"
PREVIEW_FILM = "content.preview_film"
RENEW_MEDIUM = "content.renew_medium"
EMBED_POST = "content.embed_post"
DELETE_ACCOUNT = "content.delete_account"

_WANTS_SIZES = select(
    exists().where(
        Rendition.attachment_id == bindparam("attachment_id"),
        Rendition.state == "wanted",
        Rendition.role.in_(("rung", "playback", "variant")),
    )
)


async def want_processing(db: AsyncSession, attachment_id: int, kind: str, priority: int = URGENT) -> None:
    """Films have a lane of their own, so that nobody's picture waits for a film. Sounds that turn out to be long follow."""
    if kind == "video":
        await want_long_processing(db, attachment_id, priority)
    else:
        await _want(db, PROCESS_ATTACHMENT, "quick", attachment_id, priority)


async def want_long_processing(db: AsyncSession, attachment_id: int, priority: int = URGENT) -> None:
    await _want(db, PROCESS_FILM, "long", attachment_id, priority)


async def want_feature(db: AsyncSession, attachment_id: int, priority: int = URGENT) -> None:
    """A film that turned out to be long goes where it holds up none that are short."""
    await _want(db, PROCESS_FEATURE, "feature", attachment_id, priority)


async def _want(db: AsyncSession, name: str, queue: str, attachment_id: int, priority: int) -> None:
    dedupe_key = f"process:{attachment_id}"
    await enqueue(db, name, {"attachment_id": attachment_id}, queue=queue, priority=priority, dedupe_key=dedupe_key)


async def want_sizes(db: AsyncSession, attachment_id: int, priority: int = URGENT) -> None:
    """What is still missing of a film that can be watched already. Sizes are made in a lane of their own, behind nobody's
    first one; where previews alone are missing they are made where short work is."""
    has_sizes = await db.scalar(_WANTS_SIZES, {"attachment_id": attachment_id})
    name, queue = (FINISH_FILM, "ladder") if has_sizes else (PREVIEW_FILM, "quick")
    payload, dedupe_key = {"attachment_id": attachment_id}, f"finish:{attachment_id}"
    await enqueue(db, name, payload, queue=queue, priority=priority, dedupe_key=dedupe_key)


async def want_embedding(db: AsyncSession, post_id: int, priority: int = URGENT) -> None:
    await enqueue(db, EMBED_POST, {"post_id": post_id}, queue="embed", priority=priority, dedupe_key=f"embed:{post_id}")


async def want_many_embeddings(db: AsyncSession, post_ids: Sequence[int], priority: int) -> None:
    wanted = [({"post_id": post_id}, f"embed:{post_id}") for post_id in post_ids]
    await enqueue_many(db, EMBED_POST, wanted, queue="embed", priority=priority)
