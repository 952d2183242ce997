"""What is said in a post's sound or film: shown as captions and as a transcript, put right by its author.

Whisper writes the first version. From the author's first correction on, the words are theirs and no model overwrites
them. Captions that are switched off are shown to nobody else, searched by nobody, and not part of the post's meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import String, bindparam, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.cards import Reader
from strvsocial.content.models import Post
from strvsocial.content.posts import get_own, touch
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.errors import BadInput, NotFound
from strvsocial.media.models import Attachment
from strvsocial.media.subtitles import MAX_CUE_TEXT, MAX_CUES, Cue, read_subtitles
from strvsocial.web.viewers import Viewer

LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$"
SLACK_SECONDS = 1.0
"""How far behind the end of the sound a caption may reach."""


class Segment(Struct, frozen=True, forbid_unknown_fields=True):
    """Words that are said from `start` to `end`, in seconds."""

    start: Annotated[float, Meta(ge=0, le=86_400)]
    end: Annotated[float, Meta(ge=0, le=86_400)]
    text: Annotated[str, Meta(max_length=MAX_CUE_TEXT)]


class CaptionsView(Struct, frozen=True, kw_only=True):
    """The captions of a post. `edited`: by its author, not by a model. `shown`: to others, too."""

    language: str | None
    edited: bool
    shown: bool
    segments: list[Segment]


class CaptionsChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an author changes. `file` is the text of a WebVTT or SubRip file, in place of `segments`."""

    segments: Annotated[list[Segment], Meta(max_length=MAX_CUES)] | UnsetType = UNSET
    file: Annotated[str, Meta(max_length=1_000_000)] | UnsetType = UNSET
    language: Annotated[str, Meta(max_length=8, pattern=LANGUAGE)] | UnsetType | None = UNSET
    shown: bool | UnsetType = UNSET


_SEGMENTS = literal_column(
    """(select json_agg(json_build_object('start', s.start, 'end', s."end", 'text', s.text) order by s.position)
        from transcript_segments as s where s.attachment_id = attachments.id)::text""",
    String,
).label("segments")


def _captions(*conditions: Any) -> Any:
    """The statement for the captions of one medium of a post that the viewer may see. Build it once, at import."""
    return (
        select(
            Attachment.language,
            (Attachment.captions_by == "author").label("edited"),
            Attachment.captions_shown.label("shown"),
            Post.author_id,
            _SEGMENTS,
        )
        .join(Post, Post.id == Attachment.post_id)
        .where(
            Attachment.kind.in_(("audio", "video")), Attachment.status == "ready", visible_to(VIEWER_ID), *conditions
        )
        .order_by(Attachment.position)
        .limit(1)
    )


_OF_POST = _captions(Post.public_id == bindparam("public_id", type_=String))
_OF_MEDIUM = _captions(Attachment.public_id == bindparam("public_id", type_=String))
_HOLD = text(
    """
    select id, duration from attachments
    where post_id = :post_id and kind in ('audio', 'video') and status = 'ready' order by position limit 1
    for no key update
    """
)
_FORGET = text("delete from transcript_segments where attachment_id = :id")
_SAVE = text(
    """insert into transcript_segments (attachment_id, position, start, "end", text)
       values (:id, :position, :start, :end, :text)"""
)
_MARK = text("update attachments set captions_by = :by where id = :id")
_SHOW = text("update attachments set captions_shown = :shown where id = :id")
_TELL_LANGUAGE = text("update attachments set language = :language where id = :id")
_FORGET_HEARD = text("delete from attachment_analyses where attachment_id = :id and details ? 'heard'")
_decode = msgspec.json.Decoder(list[Segment]).decode


async def get_captions(reader: Reader, viewer: Viewer | None, post_id: str) -> CaptionsView:
    """The captions of a visible post with sound; those that are switched off for its author only. Raises NotFound."""
    captions = await find_captions(reader, viewer, post_id)
    if captions is None:
        raise NotFound("There are no captions here.")
    return captions


async def find_captions(reader: Reader, viewer: Viewer | None, post_id: str) -> CaptionsView | None:
    """`get_captions`, or None."""
    return await _find(reader, viewer, _OF_POST, post_id)


async def list_cues(reader: AsyncConnection, viewer: Viewer | None, attachment_id: str) -> list[Cue]:
    """The cues of one medium of a visible post. Raises NotFound when nothing is said or shown."""
    found = await _find(reader, viewer, _OF_MEDIUM, attachment_id)
    if found is None or not found.segments:
        raise NotFound
    return [Cue(segment.start, segment.end, segment.text) for segment in found.segments]


async def _find(reader: Reader, viewer: Viewer | None, statement: Any, public_id: str) -> CaptionsView | None:
    viewer_id = viewer.id if viewer else None
    row = (await reader.execute(statement, {"public_id": public_id, "viewer_id": viewer_id})).one_or_none()
    if row is None or not (row.shown or row.author_id == viewer_id):
        return None
    segments = _decode(row.segments) if row.segments else []
    return CaptionsView(language=row.language, edited=row.edited, shown=row.shown, segments=segments)


async def change_captions(db: AsyncSession, me: Viewer, post_id: str, change: CaptionsChange) -> None:
    """Changes the captions of one's own post, and wants its meaning looked at anew. Raises BadInput, NotFound, Forbidden."""
    post, attachment_id, duration = await _hold(db, me, post_id)
    segments = _wanted(change, duration)
    if segments is not None:
        await _replace(db, attachment_id, segments)
        await db.execute(_MARK, {"id": attachment_id, "by": "author"})
    if change.language is not UNSET:
        await db.execute(_TELL_LANGUAGE, {"id": attachment_id, "language": change.language})
    if change.shown is not UNSET:
        await db.execute(_SHOW, {"id": attachment_id, "shown": change.shown})
    await touch(db, post)


async def hear_again(db: AsyncSession, me: Viewer, post_id: str) -> None:
    """Gives the captions up and has the sound heard once more. Raises NotFound, Forbidden."""
    post, attachment_id, _ = await _hold(db, me, post_id)
    await _replace(db, attachment_id, [])
    await db.execute(_MARK, {"id": attachment_id, "by": "machine"})
    await db.execute(_FORGET_HEARD, {"id": attachment_id})
    await touch(db, post)
    if post.status == "ready":
        post.pending = ["captions", *post.pending]


async def _hold(db: AsyncSession, me: Viewer, post_id: str) -> tuple[Post, int, float]:
    post = await get_own(db, me, post_id)
    row = (await db.execute(_HOLD, {"post_id": post.id})).one_or_none()
    if row is None:
        raise NotFound("This post has no sound that could have captions.")
    return post, row.id, row.duration or 0.0


async def _replace(db: AsyncSession, attachment_id: int, segments: Sequence[Segment]) -> None:
    await db.execute(_FORGET, {"id": attachment_id})
    rows = [
        {"id": attachment_id, "position": position, "start": one.start, "end": one.end, "text": one.text}
        for position, one in enumerate(segments)
    ]
    if rows:
        await db.execute(_SAVE, rows)


def _wanted(change: CaptionsChange, duration: float) -> list[Segment] | None:
    """The new segments in the order of their times, or None where they stay. Raises BadInput."""
    if change.file is not UNSET:
        if change.segments is not UNSET:
            raise BadInput(fields={"file": "Give a file or segments, not both."})
        given, field = [Segment(*cue) for cue in read_subtitles(change.file)], "file"
    elif change.segments is not UNSET:
        given, field = list(change.segments), "segments"
    else:
        return None
    if len(given) > MAX_CUES:
        raise BadInput(fields={field: f"At most {MAX_CUES} captions, please."})
    kept = [msgspec.structs.replace(one, text=one.text.strip()) for one in given if one.text.strip()]
    for number, one in enumerate(kept, 1):
        if len(one.text) > MAX_CUE_TEXT:
            raise BadInput(fields={field: f"Caption {number} is longer than {MAX_CUE_TEXT} characters."})
        if one.end <= one.start:
            raise BadInput(fields={field: f"Caption {number} ends before it starts."})
        if duration and one.end > duration + SLACK_SECONDS:
            raise BadInput(fields={field: f"Caption {number} ends after the sound does."})
    return sorted(kept, key=lambda one: (one.start, one.end))
