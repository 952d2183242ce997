"""Posts as everything shows them, in one round trip: author, tags, media with renditions, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Row, String, Text, any_, bindparam, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.models import Post, PostCounter
from strvsocial.content.views import MediaView, PostCounts, PostRelation, PostView
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.users.avatars import avatar_url
from strvsocial.users.models import User
from strvsocial.users.profiles import user_url
from strvsocial.users.views import AuthorView

Reader = AsyncConnection | AsyncSession
"""Cards are read on a reading connection, or in the transaction that has just written the post."""

_TAGS = literal_column(
    "array(select tags.name from post_tags join tags on tags.id = post_tags.tag_id"
    " where post_tags.post_id = posts.id order by post_tags.position, tags.id)",
    ARRAY(String),
).label("tags")

# An image shows as its largest WebP; a GIF, a film or a sound plays as its one playback rendition. Nothing made for the
# embedder (pcm, frames) is ever listed.
_MEDIA = """
    (select json_agg(json_build_object(
        'id', a.public_id, 'kind', a.kind, 'mime', coalesce(r.mime, a.source_mime),
        'url', coalesce('/media/' || a.public_id || '/' || r.name, ''),
        'status', a.status, 'failure', a.failure,
        'progress', case when a.status = 'processing' then a.progress end, 'width', a.width, 'height', a.height, 'duration', a.duration,
        'alt', a.alt, 'placeholder', a.placeholder,
        'hls_url', case when r.has_ladder then '/media/' || a.public_id || '/master.m3u8' end,
        'poster_url', '/media/' || a.public_id || '/' || r.poster,
        'waveform_url', '/media/' || a.public_id || '/' || r.waveform, 'peaks', coalesce(r.peaks, '[]'::jsonb),
        'preview_url', '/media/' || a.public_id || '/' || r.preview,
        'storyboard', r.storyboard || jsonb_build_object('url', '/media/' || a.public_id || '/storyboard.webp'),
        'loudness', r.loudness,
        'variants', coalesce(r.variants, '[]'::json), 'language', a.language,
        'unfinished', coalesce((
            select json_agg(json_build_object('name', name, 'role', role, 'width', width, 'height', height,
              'state', case when state = 'failed' then 'failed' when progress > 0 then 'running' else 'waiting' end,
              'progress', progress, 'failure', details ->> 'failure') order by role, width, name)
            from renditions where attachment_id = a.id and state <> 'ready'), '[]'::json),
        'captions_url', case when a.kind in ('audio', 'video') and a.captions_shown and exists (
            select from transcript_segments as s where s.attachment_id = a.id
          ) then '/media/' || a.public_id || '/captions.vtt' end,
        'opening', (select left(string_agg(text, ' ' order by position), 240)
                    from transcript_segments where attachment_id = a.id and a.captions_shown and position < 4){transcript}
      ) order by a.position, a.id)
      from attachments as a left join lateral (
        select (array_agg(name order by shown, width desc nulls last) filter (where shown < 9))[1] as name,
          (array_agg(mime order by shown, width desc nulls last) filter (where shown < 9))[1] as mime,
          min(name) filter (where role = 'poster') as poster,
          min(name) filter (where role = 'waveform') as waveform,
          (array_agg(details -> 'peaks') filter (where role = 'waveform'))[1] as peaks,
          min(name) filter (where role = 'preview') as preview,
          (array_agg(details) filter (where role = 'storyboard'))[1] as storyboard,
          (array_agg(details -> 'loudness') filter (where role = 'playback'))[1] as loudness,
          bool_or(role = 'rung' and width is not null) as has_ladder,
          json_agg(json_build_object('url', '/media/' || a.public_id || '/' || name, 'mime', mime, 'width', width,
            'height', height, 'bitrate', bitrate) order by mime, width) filter (where role in ('variant', 'playback')
            or (role = 'rung' and width is not null)) as variants
        from (select *, case when a.kind <> 'image' then case when role = 'playback' then 0
                                when role = 'rung' and width is not null then 1 else 9 end
                             when role <> 'variant' then 9 when mime = 'image/webp' then 0 else 1 end as shown
              from renditions where attachment_id = a.id and state = 'ready') as of_one
      ) as r on true
      where a.post_id = posts.id)
"""

_TRANSCRIPT = """,
        'transcript', (select string_agg(s.text, ' ' order by s.position)
                       from transcript_segments as s where s.attachment_id = a.id and a.captions_shown)"""


def cards(*conditions: Any, transcript: bool = False) -> Any:
    """The statement for the posts that the viewer may see and that meet `conditions`. Build it once, at import."""
    media = _MEDIA.format(transcript=_TRANSCRIPT if transcript else "")
    return (
        select(
            Post.id,
            Post.public_id,
            Post.title,
            Post.text,
            Post.text_html,
            Post.visibility,
            Post.media_type,
            Post.status,
            Post.pending,
            Post.failure,
            Post.created_at,
            Post.updated_at,
            Post.author_id,
            User.public_id.label("author_public_id"),
            User.username,
            User.display_name,
            User.avatar_key,
            func.coalesce(PostCounter.views, 0).label("views"),
            _TAGS,
            cast(literal_column(media), Text).label("media"),
        )
        .join(User, User.id == Post.author_id)
        .outerjoin(PostCounter, PostCounter.post_id == Post.id)
        .where(visible_to(VIEWER_ID), *conditions)
    )


_MANY = cards(Post.id == any_(bindparam("ids", type_=ARRAY(BigInteger))))
_ONE = cards(Post.public_id == bindparam("public_id", type_=String), transcript=True)
_decode_media = msgspec.json.Decoder(list[MediaView]).decode


async def load_cards(reader: Reader, viewer_id: int | None, post_ids: Sequence[int]) -> list[PostView]:
    """The posts in the order of `post_ids`, without those that the viewer may not see. One statement."""
    return [view for _, view in await load_numbered(reader, viewer_id, post_ids)]


async def load_numbered(reader: Reader, viewer_id: int | None, post_ids: Sequence[int]) -> list[tuple[int, PostView]]:
    """`load_cards` with the internal id beside each post, for lists that keep a score or a reason by id."""
    if not post_ids:
        return []
    views = dict(await read_cards(reader, _MANY, viewer_id, ids=list(post_ids)))
    return [(post_id, views[post_id]) for post_id in post_ids if post_id in views]


async def find_card(reader: Reader, viewer_id: int | None, public_id: str) -> PostView | None:
    """One post with its transcripts, by its public id."""
    found = await read_cards(reader, _ONE, viewer_id, public_id=public_id)
    return found[0][1] if found else None


async def read_cards(
    reader: Reader, statement: Any, viewer_id: int | None, **parameters: Any
) -> list[tuple[int, PostView]]:
    """Runs a statement made by `cards()`: internal ids and posts in the statement's order."""
    rows = await reader.execute(statement, {"viewer_id": viewer_id, **parameters})
    return [(row.id, _view(row, viewer_id)) for row in rows]


def _view(row: Row[Any], viewer_id: int | None) -> PostView:
    view = PostView(
        id=row.public_id,
        url=f"/p/{row.public_id}",
        author=AuthorView(
            id=row.author_public_id,
            username=row.username,
            display_name=row.display_name or row.username,
            avatar_url=avatar_url(row.avatar_key),
            url=user_url(row.username),
        ),
        title=row.title,
        text=row.text,
        tags=row.tags,
        visibility=row.visibility,
        media_type=row.media_type,
        status=row.status,
        pending=row.pending,
        failure=row.failure,
        media=_decode_media(row.media) if row.media else [],
        created_at=row.created_at,
        updated_at=row.updated_at,
        counts=PostCounts(views=row.views),
        viewer=PostRelation(is_author=row.author_id == viewer_id),
    )
    view.__dict__["text_html"] = row.text_html
    return view
