"""Tags and descriptions that an author might want: drafts from what the models found, never used without a yes.

Tags come from posts that are like this one, from words that are said or written in it and are tags elsewhere, and from
what the image model recognises. Descriptions come from what it recognises and from the first words that are said.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from msgspec import Struct
from sqlalchemy import ARRAY, String, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.posts import check_own, get_visible
from strvsocial.content.tags import is_tag, normalise
from strvsocial.content.views import PostView
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.embeddings.index import VectorIndex
from strvsocial.recommendations.similar import list_similar
from strvsocial.web.viewers import Viewer

MOST_TAGS = 8
NEIGHBOURS, NEAR = 12, 0.45
"""Similar posts that are asked for their tags, and how similar they must be."""
RECOGNISED, SHOWN = 0.3, 0.15
"""How sure the image model must be of a tag, and of a word in a description."""
QUOTED = 120
"""Characters of speech in a description."""
_WORD = re.compile(r"[^\W_][\w-]{2,}")


class TagProposal(Struct, frozen=True):
    """`why` is `similar` (posts like this one have it), `words` (it is said or written) or `seen` (a model saw it)."""

    name: str
    why: str


class AltProposal(Struct, frozen=True):
    """A draft for the description of one medium that has none."""

    media_id: str
    alt: str


class Proposals(Struct, frozen=True):
    """What an author might want to add."""

    tags: list[TagProposal]
    alts: list[AltProposal]


_MEDIA = text(
    """
    select a.public_id, a.kind, a.alt,
      (select f.details -> 'labels' from attachment_analyses as f
       where f.attachment_id = a.id and f.details ? 'labels' order by f.created_at desc limit 1) as labels,
      coalesce((select string_agg(s.text, ' ' order by s.position) from transcript_segments as s
                where s.attachment_id = a.id and a.captions_shown), '') as said
    from attachments as a join posts as p on p.id = a.post_id
    where p.public_id = :public_id and a.status = 'ready' order by a.position, a.id
    """
)
_IN_USE = (
    select(Tag.name)
    .join(PostTag)
    .join(Post)
    .where(Tag.name.in_(select(func.unnest(bindparam("words", type_=ARRAY(String))))))
    .where(Post.public_id != bindparam("public_id"), Post.status == "ready", visible_to(VIEWER_ID))
    .group_by(Tag.name)
    .order_by(func.count().desc(), Tag.name)
    .limit(MOST_TAGS)
)


async def propose(reader: AsyncConnection, index: VectorIndex, me: Viewer, post_id: str) -> Proposals:
    """Drafts for one's own post. Raises NotFound, Forbidden."""
    await check_own(reader, me, post_id)
    post = await get_visible(reader, me, post_id)
    media = (await reader.execute(_MEDIA, {"public_id": post_id})).all()
    similar = await _of_similar(reader, index, me, post_id)
    words = await _in_use(reader, me, post, " ".join(medium.said for medium in media))
    seen = [name for medium in media for name in _recognised(medium.labels, RECOGNISED)]
    ranked = [("similar", name) for name in similar] + [("words", name) for name in words]
    ranked += [("seen", normalise(name.replace(" ", "-"))) for name in seen]
    tags: dict[str, TagProposal] = {}
    for why, name in ranked:
        if is_tag(name) and name not in post.tags:
            tags.setdefault(name, TagProposal(name, why))
    alts = [AltProposal(medium.public_id, alt) for medium in media if not medium.alt and (alt := _describe(medium))]
    return Proposals(list(tags.values())[:MOST_TAGS], alts)


async def _of_similar(reader: AsyncConnection, index: VectorIndex, me: Viewer, post_id: str) -> list[str]:
    """Tags of posts like this one, by how often and how near; one that a single far neighbour has is chance."""
    votes: Counter[str] = Counter()
    for item in (await list_similar(reader, index, me, post_id, limit=NEIGHBOURS)).items:
        if item.score >= NEAR:
            votes.update(dict.fromkeys(item.post.tags, round(1000 * item.score)))  # Counter adds whole numbers.
    return [name for name, weight in votes.most_common(MOST_TAGS // 2) if weight >= 1000 * NEAR]


async def _in_use(reader: AsyncConnection, me: Viewer, post: PostView, said: str) -> list[str]:
    found = _WORD.findall(f"{post.title} {post.text} {said}")
    words = list(dict.fromkeys(normalise(word) for word in found))[:500]
    wanted = {"words": words, "public_id": post.id, "viewer_id": me.id}
    return list((await reader.scalars(_IN_USE, wanted)).all())


def _recognised(labels: list[list[Any]] | None, sure: float) -> list[str]:
    return [str(name) for name, probability in labels or [] if probability >= sure]


def _describe(medium: Any) -> str:
    shown = ", ".join(_recognised(medium.labels, SHOWN)[:3])
    said = medium.said
    if len(said) > QUOTED:
        said = said[:QUOTED].rsplit(" ", 1)[0] + "…"
    return " ".join(part for part in (f"Shows {shown}." if shown else "", f"Says: “{said}”" if said else "") if part)
