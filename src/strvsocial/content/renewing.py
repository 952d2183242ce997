"""Making media anew: what they have is served until all of the new is there. Work that nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.models import Post
from strvsocial.content.settling import settle
from strvsocial.content.work import RENEW_MEDIUM, want_processing
from strvsocial.db import Database
from strvsocial.errors import Unavailable
from strvsocial.jobs import BULK, GiveUp, Postpone, enqueue_many
from strvsocial.media.failures import TookTooLong
from strvsocial.media.models import Attachment
from strvsocial.media.processing import CannotDecode, renew
from strvsocial.media.products import PIPELINE
from strvsocial.settings import Settings
from strvsocial.storage import Storage

CHUNK = 500
# What has been made anew by this pipeline already lacks a role because it gets none: a film of some seconds no storyboard.
_WANTED = """
    from attachments a join posts p on p.id = a.post_id join users u on u.id = p.author_id
    where (cast(:post as text) is null or p.public_id = :post)
      and (cast(:author as text) is null or u.username_key = :author)
      and (cast(:kind as text) is null or a.kind = :kind)
      and a.status = case when :failed then 'failed' else 'ready' end
      and (not :outdated or a.pipeline < :pipeline)
      and (cast(:missing as text) is null or not (a.generation > 0 and a.pipeline = :pipeline)
        and not exists (select from renditions r where r.attachment_id = a.id and r.role = :missing and r.state = 'ready'))
"""
_COUNT = text(f"select a.kind, count(*) as files, sum(a.byte_size)::bigint as bytes {_WANTED} group by 1 order by 1")
_SOME = text(f"select a.id, a.kind, a.post_id, a.generation {_WANTED} and a.id > :after order by a.id limit {CHUNK}")
_WAITING = text(
    """
    select a.id from unnest(cast(:ids as bigint[]), cast(:generations as int[])) as wanted (id, generation)
      join attachments a on a.id = wanted.id
    where a.generation < wanted.generation and exists (
      select from jobs where kind = :kind and state in ('queued', 'running') and payload ->> 'attachment_id' = a.id::text)
      or a.status = 'processing'
    """
)
_GENERATIONS = text("select id, generation, status from attachments where id = any(:ids)")
_KINDS_OF_ROLE = {
    "waveform": "audio",
    "storyboard": "video",
    "preview": "video",
    "rung": "video",
    "playlist": "video",
    "variant": "image",
}


class Wish(msgspec.Struct, frozen=True):
    """Which media: of a post, an author, a kind; the failed ones; those that lack a role, or that an earlier pipeline
    made. All that is given must hold. A role that one kind alone has asks for that kind."""

    post: str | None = None
    author: str | None = None
    kind: str | None = None
    missing: str | None = None
    failed: bool = False
    outdated: bool = False

    @property
    def values(self) -> dict[str, Any]:
        kind = self.kind or _KINDS_OF_ROLE.get(self.missing or "")
        return {**msgspec.structs.asdict(self), "kind": kind, "pipeline": PIPELINE}


async def count_wanted(reader: AsyncConnection, wish: Wish) -> list[dict[str, Any]]:
    """How many files and bytes a wish is about, by kind."""
    return [dict(row._mapping) for row in await reader.execute(_COUNT, wish.values)]


async def want_some(db: AsyncSession, wish: Wish, after: int) -> list[tuple[int, int]]:
    """Wants the next media of a wish made anew, by rows: their ids, and the generation that each will have.

    Failed ones are tried again instead. What is wanted already is not wanted twice.
    """
    rows = (await db.execute(_SOME, {**wish.values, "after": after})).all()
    if wish.failed:
        await _try_again(db, rows)
        return [(row.id, row.generation) for row in rows]
    await want_renewal(db, [(row.id, row.generation) for row in rows])
    return [(row.id, row.generation + 1) for row in rows]


async def want_renewal(db: AsyncSession, media: Sequence[tuple[int, int]]) -> None:
    """Wants media, each with the generation that it has, made anew."""
    wanted = [({"attachment_id": id_, "generation": now + 1}, f"renew:{id_}") for id_, now in media]
    await enqueue_many(db, RENEW_MEDIUM, wanted, queue="ladder", priority=BULK)


async def want_repair(db: AsyncSession, attachment_ids: Sequence[int]) -> int:
    """Wants media made anew whose originals are whole; how many of them there still are."""
    rows = (await db.execute(_GENERATIONS, {"ids": list(attachment_ids)})).all()
    ready = [(row.id, row.generation) for row in rows if row.status == "ready"]
    await want_renewal(db, ready)
    return len(ready)


async def list_waiting(reader: AsyncConnection, media: Sequence[tuple[int, int]]) -> set[int]:
    """Those of `media` (ids, and the generation that each shall have) that are still to be made."""
    ids, generations = [id_ for id_, _ in media], [generation for _, generation in media]
    values = {"ids": ids, "generations": generations, "kind": RENEW_MEDIUM}
    return {row.id for row in await reader.execute(_WAITING, values)}


async def renew_medium(
    settings: Settings, database: Database, storage: Storage, attachment_id: int, generation: int
) -> None:
    """Makes a medium anew, and settles its post, whose kind may be another one now. Raises Postpone, GiveUp."""
    try:
        if await renew(settings, database, storage, attachment_id, generation) is None:
            return
    except (CannotDecode, TookTooLong) as error:
        raise GiveUp(error.message) from error
    except Unavailable as error:
        raise Postpone(error.message) from error
    async with database.transaction() as db:
        attachment = await db.get(Attachment, attachment_id)
        if attachment is not None:
            await settle(db, attachment.post_id, BULK)


async def _try_again(db: AsyncSession, rows: Sequence[Any]) -> None:
    ids = [row.id for row in rows]
    again = {"status": "processing", "failure": None, "progress": 0}
    await db.execute(update(Attachment).where(Attachment.id.in_(ids)).values(**again))
    posts = select(Post).where(Post.id.in_({row.post_id for row in rows})).order_by(Post.id).with_for_update()
    for post in await db.scalars(posts):
        post.status, post.failure, post.pending = "processing", None, ["rendition", "embedding"]
    for row in rows:
        await want_processing(db, row.id, row.kind, BULK)
