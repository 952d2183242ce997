"""Queues and given-up jobs as admins see them: how deep, how old, what failed, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content.models import Post
from strvsocial.content.visibility import visible_to
from strvsocial.errors import NotFound
from strvsocial.jobs import QUEUES
from strvsocial.media.models import Attachment
from strvsocial.operations import job_rows
from strvsocial.users import audit
from strvsocial.web.paging import Page, decode_cursor, encode_cursor
from strvsocial.web.viewers import Viewer

TITLES = {
    "quick": "Quick",
    "long": "Films",
    "feature": "Long films",
    "ladder": "Sizes of films",
    "embed": "Understanding",
}
KINDS = {
    "content.process_attachment": "Prepare a picture, GIF or sound",
    "content.process_film": "Prepare a film",
    "content.process_feature": "Prepare a long film",
    "content.finish_film": "Make the other sizes of a film",
    "content.preview_film": "Make the preview of a film",
    "content.renew_medium": "Make a medium anew",
    "content.embed_post": "Understand a post",
    "content.delete_account": "Delete an account",
    "users.process_avatar": "Prepare a profile picture",
    "media.delete_objects": "Delete files",
    "media.sweep_storage": "Tidy up storage",
}

_QUEUES = text(
    """
    select queue,
      count(*) filter (where state = 'queued' and run_after <= now()) as waiting,
      count(*) filter (where state = 'queued' and run_after > now()) as later,
      count(*) filter (where state = 'running') as running,
      count(*) filter (where state = 'dead') as given_up,
      count(*) filter (where state = 'done' and finished_at > now() - interval '1 hour') as done,
      coalesce(extract(epoch from now() - min(run_after) filter (where state = 'queued' and run_after <= now())), 0)::float
        as oldest
    from jobs where state in ('queued', 'running', 'dead') or (state = 'done' and finished_at > now() - interval '1 hour')
    group by queue
    """
)
_DEAD_KINDS = text(
    "select kind, count(*) as count, max(finished_at) as latest from jobs where state = 'dead' group by kind order by kind"
)
# A worker may know more of a job than this code does: the whole row is asked for.
_DEAD = text(
    """
    select id, to_jsonb(jobs) as job, created_at, finished_at from jobs
    where state = 'dead' and (cast(:before as bigint) is null or id < :before) order by id desc limit :limit
    """
)
_DEAD_OF_KIND = text("select id from jobs where state = 'dead' and kind = :kind")
_DEAD_IDS = text("select id from jobs where state = 'dead' and id = any(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(BIGINT))
)


class QueueView(msgspec.Struct, frozen=True):
    """A queue now. `later` wait for their time, `oldest` is the seconds that the longest due one has waited, `done` of an hour."""

    name: str
    title: str
    waiting: int = 0
    later: int = 0
    running: int = 0
    given_up: int = 0
    done: int = 0
    oldest: float = 0


class DeadKind(msgspec.Struct, frozen=True):
    """How many jobs of a kind were given up."""

    kind: str
    title: str
    count: int
    latest: datetime | None


class PostLink(msgspec.Struct, frozen=True):
    """The post that a job is for, if the admin may see it. `failure` is what its author was told."""

    title: str
    url: str
    failure: str | None


class FailureView(msgspec.Struct, frozen=True):
    """A given-up job: for people, and in full for who must find out why."""

    id: int
    kind: str
    title: str
    queue: str
    attempts: int
    created_at: datetime
    finished_at: datetime | None
    summary: str
    error: str
    payload: str
    request_id: str
    post: PostLink | None


async def list_queues(reader: AsyncConnection) -> list[QueueView]:
    """Every queue, those with nothing in them too."""
    rows = {row.queue: dict(row._mapping) for row in await reader.execute(_QUEUES)}
    return [QueueView(name, TITLES[name], **_without_queue(rows.get(name, {}))) for name in QUEUES]


async def list_dead_kinds(reader: AsyncConnection) -> list[DeadKind]:
    return [DeadKind(title=KINDS.get(row.kind, row.kind), **row._mapping) for row in await reader.execute(_DEAD_KINDS)]


async def list_failures(
    reader: AsyncConnection, viewer: Viewer, *, cursor: str | None = None, limit: int = 20
) -> Page[FailureView]:
    """Given-up jobs, the newest first; posts are named only where `viewer` may see them."""
    after = decode_cursor(cursor, (int,))
    rows = (await reader.execute(_DEAD, {"before": after[0] if after else None, "limit": limit + 1})).all()
    shown = rows[:limit]
    posts = await _find_posts(reader, viewer, shown)
    more = encode_cursor(shown[-1].id) if len(rows) > limit else None
    return Page([_as_failure(row, posts.get(row.id)) for row in shown], more)


async def retry(db: AsyncSession, admin: Viewer, job_id: int) -> int:
    """Tries a given-up job again; how many were queued: none when an equal one waits already. Raises NotFound."""
    if (await db.execute(_DEAD_IDS, {"ids": [job_id]})).first() is None:
        raise NotFound("There is no such given-up job; it may have been tried again already.")
    return await _retry(db, admin, [job_id], f"job {job_id}")


async def retry_kind(db: AsyncSession, admin: Viewer, kind: str) -> int:
    """Tries every given-up job of a kind again; how many were queued."""
    ids = (await db.scalars(_DEAD_OF_KIND, {"kind": kind})).all()
    return await _retry(db, admin, ids, kind) if ids else 0


async def _retry(db: AsyncSession, admin: Viewer, ids: Sequence[int], about: str) -> int:
    queued = await job_rows.retry_dead(db, ids)
    await audit.record(db, admin, "jobs.retry", about, jobs=len(queued), kinds=sorted({job.kind for job in queued}))
    return len(queued)


async def _find_posts(reader: AsyncConnection, viewer: Viewer, rows: Sequence[Row[Any]]) -> dict[int, PostLink]:
    """The posts that jobs are for, by the jobs' ids."""
    payloads = {row.id: row.job["payload"] for row in rows}
    attachments = [_number(payload, "attachment_id") for payload in payloads.values()]
    media = select(Attachment.id, Attachment.post_id, Attachment.failure).where(Attachment.id.in_(attachments))
    found = {row.id: row for row in await reader.execute(media)} if any(attachments) else {}
    wanted: dict[int, tuple[int, str | None]] = {}
    for job_id, payload in payloads.items():
        medium = found.get(_number(payload, "attachment_id"))
        post_id = medium.post_id if medium else _number(payload, "post_id")
        if post_id:
            wanted[job_id] = (post_id, medium.failure if medium else None)
    if not wanted:
        return {}
    ids = [post_id for post_id, _ in wanted.values()]
    statement = select(Post.id, Post.public_id, Post.title, Post.failure).where(Post.id.in_(ids), visible_to(viewer.id))
    posts = {row.id: row for row in await reader.execute(statement)}
    return {
        job_id: PostLink(posts[post_id].title, f"/p/{posts[post_id].public_id}", failure or posts[post_id].failure)
        for job_id, (post_id, failure) in wanted.items()
        if post_id in posts
    }


def _number(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    return value if isinstance(value, int) and 0 < value < 2**63 else 0


def _as_failure(row: Row[Any], post: PostLink | None) -> FailureView:
    job = row.job
    error = (job["last_error"] or "").strip()
    return FailureView(
        id=row.id,
        kind=job["kind"],
        title=KINDS.get(job["kind"], job["kind"]),
        queue=TITLES.get(job["queue"], job["queue"]),
        attempts=job["attempts"],
        created_at=row.created_at,
        finished_at=row.finished_at,
        summary=(error.splitlines() or ["It did not say why."])[-1][:300],
        error=error,
        payload=msgspec.json.encode(job["payload"]).decode(),
        request_id=str(job.get("request_id") or ""),
        post=post,
    )


def _without_queue(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "queue"}
