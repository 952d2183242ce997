"""The job that turns posts into vectors: loads them, has the pipeline look and listen, stores what came out.

What is found in single attachments is kept, so that a changed title costs one sentence and no second listening. Long
audio is heard in pieces: after some minutes of it the job queues itself again, so that other posts get their turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog
from sqlalchemy import text

from strvsocial import causes
from strvsocial.content.embedding_rows import finish_posts, load_posts, save_analyses, save_heard, want_again
from strvsocial.db import Database
from strvsocial.embeddings import pipeline, vectors
from strvsocial.embeddings.active import Active, ActiveModels
from strvsocial.embeddings.findings import SAMPLE_RATE
from strvsocial.embeddings.inputs import Analysis, AttachmentInput, PostInput, PostVectors
from strvsocial.errors import StrvError, Unavailable
from strvsocial.jobs import Claimed, Handler, Postpone
from strvsocial.live import wake_index
from strvsocial.settings import get_settings
from strvsocial.storage import Storage

log = structlog.get_logger()
LISTEN_SECONDS = 600
"""Audio that one run listens to before other posts get their turn."""

_HOLD = text("select id, version, status from posts where id = any(:ids) order by id for no key update")


class Context(Protocol):
    """What embedding needs of the context of its process."""

    @property
    def database(self) -> Database: ...
    @property
    def storage(self) -> Storage: ...


class EmbedderContext(Context, Protocol):
    """What the job needs of the embedder's context."""

    @property
    def models(self) -> ActiveModels: ...


async def embed_posts(context: EmbedderContext, jobs: list[Claimed]) -> None:
    """Embeds the posts of `jobs` together. Posts without unheard audio are finished before any listening begins."""
    try:
        active = await context.models.get()
    except StrvError as missing:
        raise Postpone(missing.message, seconds=30) from missing
    try:
        await _embed(context, active, {job.payload["post_id"]: job for job in jobs})
    except Unavailable as resting:
        raise Postpone(resting.message, seconds=15) from resting


async def _embed(context: Context, active: Active, jobs: dict[int, Claimed]) -> None:
    for post_id in await embed_together(context, active, list(jobs)):
        with causes.bound([jobs[post_id].cause]):
            await want_again(context.database, post_id, jobs[post_id].priority)


async def embed_together(context: Context, active: Active, post_ids: list[int], *, finish: bool = True) -> list[int]:
    """Embeds posts as one batch; the ids of those whose audio was not heard up to its end."""
    async with context.database.read() as reader:
        posts = await load_posts(reader, post_ids, pipeline.keys_of(active.profile))
    posts = await _look(context, active, posts)
    silent = [post for post in posts if not any(pipeline.speakers(post, active.profile))]
    await store(context, active, [await _hear_sounds(context, active, post) for post in silent], finish=finish)
    left, unfinished = LISTEN_SECONDS * SAMPLE_RATE, []
    for post in posts:
        if any(pipeline.speakers(post, active.profile)):
            heard, left = await _listen(context, active, post, left)
            if any(pipeline.speakers(heard, active.profile)):
                unfinished.append(post.id)
            else:
                await store(context, active, [await _hear_sounds(context, active, heard)], finish=finish)
    return unfinished


async def _look(context: Context, active: Active, posts: list[PostInput]) -> list[PostInput]:
    media = [attachment for post in posts for attachment in post.attachments]
    found = await pipeline.analyse_looks(active, context.storage, media)
    await save_analyses(context.database, found)
    by_id = dict(found)
    return [
        _with_attachments(
            post,
            [
                pipeline.with_analyses(attachment, [by_id[attachment.id]]) if attachment.id in by_id else attachment
                for attachment in post.attachments
            ],
        )
        for post in posts
    ]


async def _listen(context: Context, active: Active, post: PostInput, left: int) -> tuple[PostInput, int]:
    """Listens while less than `left` samples were heard in this run; what was heard is kept piece by piece."""
    attachments = []
    for known in post.attachments:
        attachment = known
        while left > 0 and pipeline.is_unheard(active.profile, attachment):
            before = attachment.find(pipeline.keys_of(active.profile).speech)
            heard = await pipeline.listen_on(active, context.storage, attachment)
            counts = await save_heard(context.database, attachment.id, heard)
            left -= heard.analysis.details["heard"] - (before.details["heard"] if before else 0)
            said = " ".join(segment.text for segment in heard.segments) if counts else ""
            attachment = pipeline.with_analyses(attachment, [heard.analysis], said)
        attachments.append(attachment)
    return _with_attachments(post, attachments), left


async def _hear_sounds(context: Context, active: Active, post: PostInput) -> PostInput:
    attachments: list[AttachmentInput] = []
    found: list[tuple[int, Analysis]] = []
    for known in post.attachments:
        sound = await pipeline.describe_sound(active, context.storage, known)
        found += [(known.id, sound)] if sound else []
        attachments.append(pipeline.with_analyses(known, [sound]) if sound else known)
    await save_analyses(context.database, found)
    return _with_attachments(post, attachments)


def _with_attachments(post: PostInput, attachments: list[AttachmentInput]) -> PostInput:
    return msgspec.structs.replace(post, attachments=attachments)


async def store(context: Context, active: Active, posts: Sequence[PostInput], *, finish: bool = True) -> None:
    """Encodes what is left to encode and stores the vectors of posts that are still as they were read.

    A post that changed meanwhile has a newer job, which finds the analyses that were kept. `finish`: the posts no longer
    wait for their embedding afterwards.
    """
    if not posts:
        return
    made = await pipeline.make_vectors(active, posts)
    async with context.database.transaction() as db:
        rows = await db.execute(_HOLD, {"ids": [post.id for post in posts]})
        current = {(row.id, row.version) for row in rows if row.status == "ready"}
        good = [result for result in made if (result.post.id, result.post.version) in current]
        for result in good:
            if result.absent and result.post.hashes:
                gone = [active.spaces[name].id for name in result.absent]
                await vectors.withdraw(db, result.post.id, gone)
        await vectors.upsert(db, [entry for result in good for entry in _entries(active, result)])
        if finish:
            await finish_posts(db, [result.post.id for result in good])
        await wake_index(db)


def _entries(active: Active, result: PostVectors) -> list[vectors.Entry]:
    """The rows of a post. One without words gets a tombstone among the texts: it was dealt with and is not missing."""
    post_id = result.post.id
    entries = [
        vectors.Entry(active.spaces[name].id, post_id, vector, input_hash)
        for name, (vector, input_hash) in result.vectors.items()
    ]
    if "text" in result.absent:
        entries.append(vectors.Entry(active.spaces["text"].id, post_id, None, None))
    return entries


async def _gave_up(context: Context, job: Claimed, error: str) -> None:
    """A post is not pending for ever: it is found by its words, and `strvsocial embeddings retry` tries again."""
    log.error("embeddings.gave_up", post_id=job.payload["post_id"], error=error)
    async with context.database.transaction() as db:
        await finish_posts(db, [job.payload["post_id"]])


EMBED_POSTS = Handler("embed", embed_posts, batch=get_settings().embed_batch, tries=4, timeout=1200, gave_up=_gave_up)
