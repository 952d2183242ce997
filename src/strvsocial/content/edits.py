"""Editing a post: its words, and its media added, removed and put in another order."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.drafts import (
    Changes,
    Files,
    check_alt,
    check_mix,
    check_tags,
    check_text,
    check_title,
    check_visibility,
    join_tags,
    raise_for,
)
from strvsocial.content.markdown import render_markdown
from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.posts import add_media, get_own, set_tags, touch
from strvsocial.content.settling import settle
from strvsocial.content.tags import hashtags
from strvsocial.media.attachments import detach
from strvsocial.media.models import Attachment
from strvsocial.web.viewers import Viewer


async def edit(db: AsyncSession, me: Viewer, public_id: str, changes: Changes) -> Post:
    """Changes one's own post. Raises BadInput naming every bad field, and then nothing is changed."""
    post = await get_own(db, me, public_id)
    media = select(Attachment).where(Attachment.post_id == post.id).order_by(Attachment.position, Attachment.id)
    present = list((await db.scalars(media)).all())
    problems: dict[str, str] = {}
    tags = await _checked_tags(db, post, changes, problems)
    title = None if changes.title is None else check_title(changes.title, problems)
    words = None if changes.text is None else check_text(changes.text, problems)
    visibility = None if changes.visibility is None else check_visibility(changes.visibility, problems)
    alts = _checked_alts(present, changes, problems)
    kept = _arranged(present, changes, problems)
    files = [(file, check_alt(alt, "alt", problems)) for file, alt in changes.files]
    check_mix([*(medium.kind for medium in kept), *(file.media_type for file, _ in files)], problems)
    raise_for(problems)

    post.title = post.title if title is None else title
    post.visibility = post.visibility if visibility is None else visibility
    if words is not None:
        post.text, post.text_html = words, render_markdown(words)
    if tags is not None:
        await set_tags(db, post, tags)
    for medium, alt in alts:
        medium.alt = alt
    await touch(db, post)
    await _rearrange(db, post, present, kept, files)
    await db.flush()
    return post


async def _checked_tags(db: AsyncSession, post: Post, changes: Changes, problems: dict[str, str]) -> list[str] | None:
    """The new tags, or None when they stay. A #tag that was only in the old text goes with it."""
    if changes.tags is None and changes.text is None:
        return None
    text = post.text if changes.text is None else changes.text
    if changes.tags is not None:
        return join_tags(check_tags(changes.tags, problems), text)
    names = select(Tag.name).join(PostTag).where(PostTag.post_id == post.id).order_by(PostTag.position)
    from_old_text = set(hashtags(post.text))
    return join_tags([name for name in await db.scalars(names) if name not in from_old_text], text)


def _checked_alts(
    present: Sequence[Attachment], changes: Changes, problems: dict[str, str]
) -> list[tuple[Attachment, str]]:
    alts = changes.alts or ()
    if len(alts) > len(present):
        problems["alts"] = f"There are {len(alts)} descriptions for {len(present)} media."
    return [(medium, check_alt(alt, "alts", problems)) for medium, alt in zip(present, alts, strict=False)]


def _arranged(present: Sequence[Attachment], changes: Changes, problems: dict[str, str]) -> list[Attachment]:
    """The media that stay, in their new order: those named in `order` first, the others after them as they were."""
    by_id = {medium.public_id: medium for medium in present}
    for field, named in (("remove", changes.remove), ("order", changes.order)):
        if any(name not in by_id for name in named):
            problems[field] = "This names a medium that the post does not have."
        elif len(set(named)) < len(named):
            problems[field] = "This names a medium twice."
    removed = set(changes.remove)
    first = [by_id[name] for name in dict.fromkeys(changes.order) if name in by_id and name not in removed]
    chosen = {medium.id for medium in first}
    return [*first, *(m for m in present if m.public_id not in removed and m.id not in chosen)]


async def _rearrange(
    db: AsyncSession, post: Post, present: Sequence[Attachment], kept: Sequence[Attachment], files: Files
) -> None:
    stay = {medium.id for medium in kept}
    gone = [medium.id for medium in present if medium.id not in stay]
    for position, medium in enumerate(kept):
        medium.position = position
    await db.flush()
    if gone:
        await detach(db, gone)
    if files:
        await add_media(db, post.id, files, position=len(kept))
    if gone or files:
        await settle(db, post.id)
