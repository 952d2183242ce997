"""From one model profile to another: new vectors beside the old ones, then all at once.

Searching goes on in the old spaces while `build` fills the new ones; it can be interrupted and goes on where it stopped.
The encoding runs in the calling process, so the embedder keeps serving new posts with the old models and changes over by
itself after `finish`.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from strvsocial.content.embedding import Context, embed_together
from strvsocial.content.work import want_embedding
from strvsocial.embeddings.active import Active
from strvsocial.embeddings.pipeline import keys_of
from strvsocial.embeddings.spaces import finish_switch
from strvsocial.jobs import BULK
from strvsocial.live import wake_index

Progress = Callable[[int, int], None]
"""Told how many posts have new vectors and how many there are."""

_LEFT = """
    from posts as p where p.status = 'ready'
    and not exists (select from embeddings as e where e.space_id = :space_id and e.post_id = p.id)
"""
_COUNT_ALL = text("select count(*) from posts where status = 'ready'")
_COUNT_LEFT = text(f"select count(*) {_LEFT}")
_NEXT = text(f"select p.id {_LEFT} and p.id > :after order by p.id limit :most")
_BEGUN = text("select min(created_at) from embedding_spaces where id = any(:ids)")
_CHANGED = text(f"select id from posts where status = 'ready' and updated_at >= :begun union select p.id {_LEFT}")  # noqa: S608
_PURGE = text(
    """
    delete from embeddings where (space_id, post_id) in (
      select e.space_id, e.post_id from embeddings as e join embedding_spaces as s on s.id = e.space_id
      where s.state = 'retired' limit 5000)
    """
)
_PURGE_ANALYSES = text("delete from attachment_analyses where model <> all(:models)")


async def build(context: Context, active: Active, batch: int, progress: Progress) -> None:
    """Embeds every post in the spaces of `active`, `batch` at a time; what an earlier run did is not done again.

    A post that fails is reported by its exception; run again after its cause is gone.
    """
    space_id = active.spaces["text"].id
    async with context.database.read() as reader:
        total = await reader.scalar(_COUNT_ALL) or 0
        left = await reader.scalar(_COUNT_LEFT, {"space_id": space_id}) or 0
    progress(total - left, total)
    after = 0
    while True:
        async with context.database.read() as reader:
            found = await reader.scalars(_NEXT, {"space_id": space_id, "after": after, "most": batch})
            ids = list(found)
        if not ids:
            return
        waiting = ids
        while waiting:
            waiting = await embed_together(context, active, waiting, finish=False)
        after = ids[-1]
        left = max(0, left - len(ids))
        progress(total - left, total)


async def finish(context: Context, active: Active) -> int:
    """Switches to the spaces of `active`, and queues posts that changed while they were built. Returns how many."""
    ids = [space.id for space in active.spaces.values()]
    async with context.database.transaction() as db:
        building = [space.id for space in active.spaces.values() if space.state == "building"]
        begun = await db.scalar(_BEGUN, {"ids": building or ids})
        await finish_switch(db, active.profile, active.spaces)
        changed = list(await db.scalars(_CHANGED, {"begun": begun, "space_id": active.spaces["text"].id}))
        for post_id in changed:
            await want_embedding(db, post_id, BULK)
        await wake_index(db)
    return len(changed)


async def purge(context: Context, active: Active) -> None:
    """Deletes the vectors of retired spaces, some thousand at a time, and analyses by models that are no longer used."""
    while True:
        async with context.database.transaction() as db:
            if not (await db.execute(_PURGE)).rowcount:  # type: ignore[attr-defined]
                break
    async with context.database.transaction() as db:
        await db.execute(_PURGE_ANALYSES, {"models": list(keys_of(active.profile))})
