"""The work that posts want done, as rows in the transaction that wants it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.jobs import URGENT, enqueue
from strvsocial.live import wake_index

PROCESS_ATTACHMENT = "content.process_attachment"
PROCESS_FILM = "content.process_film"
EMBED_POST = "content.embed_post"
DELETE_ACCOUNT = "content.delete_account"

# A tombstone is a change like any other: it gets a new change number, so that every index hears of it.
_BURY = text(
    """
    update embeddings set vector = null, input_hash = null,
      change = nextval('embedding_changes'), transaction = pg_current_xact_id()
    where post_id = any(:post_ids)
    """
)


async def want_processing(db: AsyncSession, attachment_id: int, kind: str, priority: int = URGENT) -> None:
    """Films have a lane of their own, so that nobody's picture waits for a film."""
    name, queue = (PROCESS_FILM, "long") if kind == "video" else (PROCESS_ATTACHMENT, "quick")
    dedupe_key = f"process:{attachment_id}"
    await enqueue(db, name, {"attachment_id": attachment_id}, queue=queue, priority=priority, dedupe_key=dedupe_key)


async def want_embedding(db: AsyncSession, post_id: int, priority: int = URGENT) -> None:
    await enqueue(db, EMBED_POST, {"post_id": post_id}, queue="embed", priority=priority, dedupe_key=f"embed:{post_id}")


async def bury_embeddings(db: AsyncSession, post_ids: Sequence[int]) -> None:
    """Turns the vectors of posts that go away into tombstones."""
    await db.execute(_BURY, {"post_ids": list(post_ids)})
    await wake_index(db)
