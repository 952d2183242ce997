"""Rows that the embedding of posts reads and writes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.work import want_embedding
from strvsocial.db import Database
from strvsocial.embeddings.inputs import Analysis, Heard, PostInput
from strvsocial.embeddings.pipeline import Keys
from strvsocial.jobs import BULK
from strvsocial.live import News, announce_all

_POSTS = text(
    """
    select json_build_object(
      'id', p.id, 'public_id', p.public_id, 'author_id', p.author_id, 'version', p.version,
      'title', p.title, 'text', p.text,
      'tags', coalesce((select json_agg(t.name order by pt.position, t.id)
                        from post_tags as pt join tags as t on t.id = pt.tag_id where pt.post_id = p.id), '[]'),
      'hashes', coalesce((select json_object_agg(e.space_id, encode(e.input_hash, 'hex'))
                          from embeddings as e where e.post_id = p.id and e.vector is not null), '{}'),
      'attachments', coalesce((
        select json_agg(json_build_object(
          'id', a.id, 'kind', a.kind, 'alt', a.alt,
          'frames', (select r.key from renditions as r where r.attachment_id = a.id and r.role = 'frames' limit 1),
          'pcm', (select json_build_object('key', r.key, 'byte_size', r.byte_size)
                  from renditions as r where r.attachment_id = a.id and r.role = 'pcm' limit 1),
          'analyses', coalesce((
            select json_agg(json_build_object('model', f.model, 'details', f.details,
                            'vector', replace(encode(f.vector, 'base64'), E'\\n', '')))
            from attachment_analyses as f where f.attachment_id = a.id and f.model = any(:models)), '[]'),
          'transcript', coalesce((select string_agg(s.text, ' ' order by s.position)
                                  from transcript_segments as s where s.attachment_id = a.id and a.captions_shown), '')
        ) order by a.position, a.id)
        from attachments as a where a.post_id = p.id and a.status = 'ready'), '[]')
    )::text
    from posts as p where p.id = any(:ids) and p.status = 'ready' order by p.id
    """
)
_SAVE = text(
    """
    insert into attachment_analyses (attachment_id, model, vector, details)
    select id, :model, :vector, cast(:details as jsonb) from attachments where id = :attachment_id for key share
    on conflict (attachment_id, model) do update set vector = excluded.vector, details = excluded.details
    """
)
_HOLD_ATTACHMENT = text("select captions_by, captions_shown from attachments where id = :id for no key update")
_FORGET_SEGMENTS = text("delete from transcript_segments where attachment_id = :id and position >= :position")
_SAVE_SEGMENT = text(
    """insert into transcript_segments (attachment_id, position, start, "end", text)
       values (:id, :position, :start, :end, :text)"""
)
_SET_LANGUAGE = text(
    "update attachments set language = :language where id = :id and language is distinct from :language"
)
_FINISH = text(
    """
    update posts set pending = array_remove(array_remove(pending, 'embedding'), 'captions')
    where id = any(:ids) and 'embedding' = any(pending) returning public_id, author_id, pending
    """
)
_decode = msgspec.json.Decoder(PostInput).decode


async def load_posts(reader: AsyncConnection | AsyncSession, ids: Sequence[int], keys: Keys) -> list[PostInput]:
    """The posts that are ready, with media, tags and what is known of them; one query."""
    rows = await reader.scalars(_POSTS, {"ids": list(ids), "models": list(keys)})
    return [_decode(row) for row in rows]


async def save_analyses(database: Database, found: Sequence[tuple[int, Analysis]]) -> None:
    """Keeps what was found in attachments that are still there."""
    if found:
        async with database.transaction() as db:
            await db.execute(_SAVE, [_values(attachment_id, analysis) for attachment_id, analysis in found])


async def save_heard(database: Database, attachment_id: int, heard: Heard) -> bool:
    """Keeps a piece of transcript and how far was listened, together. Whether its words are part of the post: they are
    not when the author wrote others, or wants none."""
    async with database.transaction() as db:
        captions = (await db.execute(_HOLD_ATTACHMENT, {"id": attachment_id})).one_or_none()
        if captions is None:
            return False
        is_ours = captions.captions_by == "machine"
        if is_ours:
            await _save_segments(db, attachment_id, heard)
        await db.execute(_SAVE, _values(attachment_id, heard.analysis))
        return is_ours and bool(captions.captions_shown)


async def _save_segments(db: AsyncSession, attachment_id: int, heard: Heard) -> None:
    await db.execute(_FORGET_SEGMENTS, {"id": attachment_id, "position": heard.position})
    segments = [
        {"id": attachment_id, "position": position, **segment._asdict()}
        for position, segment in enumerate(heard.segments, heard.position)
    ]
    if segments:
        await db.execute(_SAVE_SEGMENT, segments)
    await db.execute(_SET_LANGUAGE, {"id": attachment_id, "language": heard.analysis.details["language"]})


def _values(attachment_id: int, analysis: Analysis) -> dict[str, object]:
    details = msgspec.json.encode(analysis.details).decode()
    return {"attachment_id": attachment_id, "model": analysis.model, "vector": analysis.vector, "details": details}


async def want_again(database: Database, post_id: int, priority: int) -> None:
    """Queues the rest of a post behind those that wait."""
    async with database.transaction() as db:
        await want_embedding(db, post_id, min(priority + 1, BULK + 1))


async def finish_posts(db: AsyncSession, post_ids: Sequence[int]) -> None:
    """The posts no longer wait for their embedding; their authors' open pages hear of it."""
    rows = await db.execute(_FINISH, {"ids": list(post_ids)})
    news = [
        News("post.ready", row.author_id, {"id": row.public_id, "url": f"/p/{row.public_id}", "pending": row.pending})
        for row in rows
    ]
    await announce_all(db, news)
