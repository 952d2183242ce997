"""Search for posts by words: title, text, tags, author and what is said in them, through PostgreSQL's trigrams.

Every word has to be found somewhere, as a part of a word in any case; where nothing is found so, titles
may differ by a slip of the pen. The score is
between 0 and 1: how much of the words the best field holds, titles and tags before authors, texts and speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Float,
    Row,
    Select,
    String,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.cards import load_numbered
from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.views import SearchItem
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.media.models import Attachment, TranscriptSegment
from strvsocial.search.highlights import mark
from strvsocial.search.queries import Filters, Query
from strvsocial.users.models import User
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

MOST_MATCHES = 500
"""Of what matches in a field, the newest this many are ranked."""
FUZZY_FROM = 4
"""Shorter words match too much when letters may differ."""
TITLE, TAG, AUTHOR, TEXT, SPEECH = 1.0, 0.95, 0.8, 0.7, 0.7


async def list_matches(
    reader: AsyncConnection, viewer: Viewer | None, query: Query, cursor: str | None = None, limit: int = 20
) -> Page[SearchItem]:
    """A page of posts that match, the best first; without words, those that the filters leave, the newest first.

    Raises BadInput: the cursor is none of ours.
    """
    after = decode_cursor(cursor, (float, int, bool))
    if query.is_empty:
        return Page([])
    viewer_id = viewer.id if viewer else None
    place, fuzzy = (after[:2], after[2]) if after else (None, False)
    rows = (await reader.execute(_select(query, place, limit + 1, fuzzy=fuzzy), {"viewer_id": viewer_id})).all()
    if not rows and query.words and after is None:
        fuzzy = True
        rows = (await reader.execute(_select(query, None, limit + 1, fuzzy=True), {"viewer_id": viewer_id})).all()
    by_id = {row.id: row for row in rows[:limit]}
    cards = await load_numbered(reader, viewer_id, list(by_id))
    items = [
        SearchItem(
            post=card,
            score=round(by_id[post_id].score, 4),
            matched=_matched(by_id[post_id]),
            highlight=_highlight(by_id[post_id], query.words),
            at=by_id[post_id].at,
        )
        for post_id, card in cards
    ]
    more = len(rows) > limit
    return Page(items, encode_cursor(rows[limit - 1].place, rows[limit - 1].id, fuzzy) if more else None)


def _select(query: Query, place: tuple[float, int] | None, limit: int, *, fuzzy: bool) -> Select[Any]:
    ranked = (_ranked(query, fuzzy) if query.words else _filtered(query)).subquery()
    statement = select(ranked).order_by(ranked.c.place.desc(), ranked.c.id.desc()).limit(limit)
    if place is not None:
        statement = statement.where(tuple_(ranked.c.place, ranked.c.id) < tuple_(*place))
    return statement


def _allowed(filters: Filters) -> list[Any]:
    conditions: list[Any] = [Post.status == "ready", visible_to(VIEWER_ID)]
    if filters.media_types:
        conditions.append(Post.media_type.in_(filters.media_types))
    for name in filters.tags:
        tagged = select(PostTag.post_id).join(Tag).where(Tag.name == name)
        conditions.append(Post.id.in_(tagged))
    if filters.author is not None:
        conditions.append(
            Post.author_id == select(User.id).where(User.username_key == filters.author).scalar_subquery()
        )
    if filters.since is not None:
        conditions.append(Post.created_at >= filters.since)
    if filters.until is not None:
        conditions.append(Post.created_at < filters.until)
    return conditions


def _filtered(query: Query) -> Select[Any]:
    nothing = cast(literal(None), String)
    return select(
        Post.id,
        cast(func.extract("epoch", Post.created_at), Float).label("place"),
        literal(1.0).label("score"),
        literal(False).label("in_text"),
        literal(bool(query.filters.tags)).label("in_tag"),
        literal(query.filters.author is not None).label("in_author"),
        nothing.label("title"),
        nothing.label("text"),
        nothing.label("said"),
        cast(literal(None), Float).label("at"),
    ).where(*_allowed(query.filters))


def _ranked(query: Query, fuzzy: bool) -> Select[Any]:
    matches = (
        select(Post.id, Post.title, Post.text, Post.author_id)
        .where(Post.id.in_(_candidates(query, fuzzy)), *(_holds(word, fuzzy) for word in query.words))
        .cte("matches")
    )
    words, phrase = query.words, query.phrase
    patterns = [_pattern(word) for word in words]
    tag = (
        select(func.max(func.similarity(Tag.name, phrase)))
        .join(PostTag)
        .where(PostTag.post_id == matches.c.id, or_(*(Tag.name.ilike(pattern) for pattern in patterns)))
        .scalar_subquery()
        .correlate(matches)
    )
    said = (
        select(TranscriptSegment.text, TranscriptSegment.start)
        .join(Attachment)
        .where(
            Attachment.post_id == matches.c.id,
            Attachment.captions_shown,
            or_(*(TranscriptSegment.text.ilike(p) for p in patterns)),
        )
        .order_by(func.word_similarity(phrase, TranscriptSegment.text).desc(), TranscriptSegment.start)
        .limit(1)
        .lateral("said")
    )
    in_title = func.word_similarity(phrase, matches.c.title)
    in_text = case(
        (and_(*(matches.c.text.ilike(p) for p in patterns)), 1.0),
        (or_(*(matches.c.text.ilike(p) for p in patterns)), 0.5),
        else_=0.0,
    )
    in_author = func.greatest(
        func.similarity(phrase, User.username_key), func.word_similarity(phrase, User.display_name)
    )
    scored = (
        select(
            matches.c.id,
            matches.c.title,
            matches.c.text,
            said.c.text.label("said"),
            said.c.start.label("at"),
            or_(in_title >= 0.3, in_text > 0).label("in_text"),
            tag.is_not(None).label("in_tag"),
            or_(*(or_(User.username_key.ilike(p), User.display_name.ilike(p)) for p in patterns)).label("in_author"),
            func.greatest(
                TITLE * in_title,
                TAG * func.coalesce(tag, 0.0),
                AUTHOR * in_author,
                TEXT * in_text,
                SPEECH * func.coalesce(func.word_similarity(phrase, said.c.text), 0.0),
            ).label("best"),
        )
        .join(User, User.id == matches.c.author_id)
        .outerjoin(said, true())
        .subquery("scored")
    )
    score = cast(func.round(cast(func.least(scored.c.best, 1.0), Float) * 1_000_000) / 1_000_000, Float)
    return select(
        scored.c.id,
        score.label("place"),
        score.label("score"),
        scored.c.in_text,
        scored.c.in_tag,
        scored.c.in_author,
        scored.c.title,
        scored.c.text,
        scored.c.said,
        scored.c.at,
    )


def _candidates(query: Query, fuzzy: bool) -> CompoundSelect[Any]:
    """The newest posts that may match, from each field with its own index: what follows never looks at more.

    Titles and texts hold every word, for one bitmap of both; the other fields hold any, and `_holds` has the last word.
    """
    words, patterns = query.words, [_pattern(word) for word in query.words]
    people = select(User.id).where(
        or_(*(or_(User.username_key.ilike(p), User.display_name.ilike(p)) for p in patterns))
    )
    tags = select(Tag.id).where(or_(*(Tag.name.ilike(p) for p in patterns)))
    speech = select(Attachment.post_id).join(TranscriptSegment).where(Attachment.captions_shown)
    sources = (
        and_(*(_written(word, fuzzy) for word in words)),
        Post.id.in_(select(PostTag.post_id).where(PostTag.tag_id.in_(tags))),
        Post.author_id.in_(people),
        Post.id.in_(speech.where(or_(*(TranscriptSegment.text.ilike(p) for p in patterns)))),
    )
    allowed = _allowed(query.filters)
    newest = (
        select(Post.id).where(source, *allowed).order_by(Post.id.desc()).limit(MOST_MATCHES).subquery()
        for source in sources
    )
    return union(*(select(found.c.id) for found in newest))


def _written(word: str, fuzzy: bool) -> ColumnElement[bool]:
    pattern = _pattern(word)
    exact = or_(Post.title.ilike(pattern), Post.text.ilike(pattern))
    return or_(exact, literal(word).op("<%")(Post.title)) if fuzzy and len(word) >= FUZZY_FROM else exact


def _holds(word: str, fuzzy: bool) -> ColumnElement[bool]:
    """Whether a post holds a word anywhere; costly, for few posts."""
    pattern = _pattern(word)
    tagged = exists().where(PostTag.post_id == Post.id, PostTag.tag_id == Tag.id, Tag.name.ilike(pattern))
    by = exists().where(
        User.id == Post.author_id, or_(User.username_key.ilike(pattern), User.display_name.ilike(pattern))
    )
    said = exists().where(
        Attachment.post_id == Post.id,
        TranscriptSegment.attachment_id == Attachment.id,
        Attachment.captions_shown,
        TranscriptSegment.text.ilike(pattern),
    )
    return or_(_written(word, fuzzy), tagged.correlate(Post), by.correlate(Post), said.correlate(Post))


def _pattern(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _matched(row: Row[Any]) -> list[str]:
    found = (
        ("text", row.in_text),
        ("tag", row.in_tag),
        ("transcript", row.said is not None),
        ("author", row.in_author),
    )
    return [name for name, is_in in found if is_in]


def _highlight(row: Row[Any], words: Sequence[str]) -> str | None:
    fields = (row.text, row.said, row.title)
    return next((marked for field in fields if field and (marked := mark(field, words))), None)
