"""Resumable uploads (tus 1.0): their state in PostgreSQL, their bytes in storage.

Transactions are short; no connection is held while bytes stream. Who writes to an upload holds a lease on its row, which
is renewed only while bytes move: a second writer is refused, a dead or stalled one is replaced within seconds, and
should it wake up again, nothing that it does counts any more.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.db import Database
from strvsocial.errors import BadInput, Conflict, NotFound, StrvError, TooLarge, TooManyRequests
from strvsocial.ids import new_id
from strvsocial.media.incoming import StoredFile, clean_filename
from strvsocial.media.models import Upload
from strvsocial.media.quotas import take
from strvsocial.settings import MB, Settings

LEASE_SECONDS = 6
MOST_UNUSED = 50
"""How many uploads one person may have that nothing was made of yet."""


class Locked(StrvError):
    """Somebody else is writing to this upload just now."""

    status, code, message = 423, "locked", "Another request is sending to this upload."


class LostLease(Conflict):
    """This request was silent for so long that another one took over, or the upload is gone."""

    code, message = "taken_over", "Another request has taken this upload over, or it was removed."


class Bookkeeping:
    """Transactions of uploads, at most two at a time in a process: hundreds of uploads wait for one another here, and
    never for so long in the pool that pages find no connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = asyncio.Semaphore(2)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with self._turns, self._database.transaction() as db:
            yield db


@dataclass
class Lease:
    """An upload's row as it was when its lease was taken, and the token of the lease."""

    upload: Upload
    token: int


_UNHURRIED = text("set local synchronous_commit = off")

_CREATED = select(func.count()).where(Upload.state.in_(("open", "finished")), Upload.expires_at > func.now())

_LOCK = text(
    """
    update uploads set lock_token = :token, locked_until = now() + make_interval(secs => :lease)
    where public_id = :public_id and user_id = :user_id and state = 'open' and expires_at > now()
      and (locked_until is null or locked_until < now())
    returning id
    """
)

_RENEW = text(
    """
    update uploads set locked_until = now() + make_interval(secs => :lease)
    where id = :id and lock_token = :token returning id
    """
)

_UNLOCK = text("update uploads set locked_until = null, lock_token = null where id = :id and lock_token = :token")

# A part counts when it is the next one and the lease still holds.
_STORED = text(
    """
    update uploads set parts = parts || to_jsonb(cast(:etag as text)), multipart_id = :multipart_id,
      "offset" = :offset, part_bytes = :part_bytes, media_type = :media_type, mime = :mime,
      locked_until = now() + make_interval(secs => :lease), expires_at = now() + make_interval(secs => :ttl)
    where id = :id and lock_token = :token and jsonb_array_length(parts) = :number - 1 and "offset" <= :offset
    returning id
    """
)

_KEPT = text(
    """
    update uploads set "offset" = :offset, media_type = :media_type, mime = :mime,
      locked_until = now() + make_interval(secs => :lease), expires_at = now() + make_interval(secs => :ttl)
    where id = :id and lock_token = :token and "offset" <= :offset
    returning id
    """
)

_FINISHED = text(
    """
    update uploads set state = 'finished', sha256 = :sha256, "offset" = length, media_type = :media_type, mime = :mime,
      locked_until = null, lock_token = null, expires_at = now() + make_interval(secs => :ttl)
    where id = :id and lock_token = :token and state = 'open'
    returning id
    """
)

_REMOVE = text(
    """
    delete from uploads where public_id = :public_id and user_id = :user_id and state <> 'used' and expires_at > now()
    returning public_id, key, multipart_id
    """
)

_EXPIRED = text(
    """
    delete from uploads where expires_at < now() and (locked_until is null or locked_until < now())
    returning public_id, key, multipart_id, state
    """
)


def tail_key(public_id: str) -> str:
    """Where the beginning of an upload's unfinished part lies."""
    return f"tails/{public_id}"


async def create(db: AsyncSession, user_id: int, length: int, filename: str, settings: Settings) -> Upload:
    """A new upload of `length` bytes. Raises BadInput, TooLarge, QuotaExceeded, TooManyRequests."""
    largest = max(settings.max_bytes(media_type) for media_type in ("image", "gif", "audio", "video"))
    if length == 0:
        raise BadInput(fields={"file": "This file is empty."})
    if length > largest:
        raise TooLarge(f"This file is too large: a file may have at most {largest // MB} MB.")
    if (await db.scalar(_CREATED.where(Upload.user_id == user_id)) or 0) >= MOST_UNUSED:
        message = f"You have {MOST_UNUSED} uploads that no post uses. Please use or remove some first."
        raise TooManyRequests(message, retry_after=600)
    await take(db, settings, user_id, length)
    upload = Upload(
        public_id=new_id(),
        user_id=user_id,
        key=f"originals/{new_id()}",
        part_bytes=settings.upload_part_bytes,
        length=length,
        filename=clean_filename(filename),
        expires_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, settings.upload_ttl_seconds),
    )
    db.add(upload)
    await db.flush()
    await db.refresh(upload)
    return upload


def _own(user_id: int, public_id: str) -> Select[Upload]:
    return select(Upload).where(
        Upload.public_id == public_id, Upload.user_id == user_id, Upload.expires_at > func.now()
    )


async def get(books: Bookkeeping, user_id: int, public_id: str) -> Upload:
    """One's own upload. Raises NotFound for others' and for expired ones."""
    async with books.transaction() as db:
        upload = await db.scalar(_own(user_id, public_id))
    if upload is None:
        raise NotFound("There is no such upload, or it has expired.")
    return upload


async def take_lease(books: Bookkeeping, user_id: int, public_id: str) -> Lease:
    """The right to write to an upload, for LEASE_SECONDS. Raises NotFound, Locked; Conflict when it is finished."""
    token = secrets.randbits(62)
    wanted = {"public_id": public_id, "user_id": user_id, "token": token, "lease": LEASE_SECONDS}
    async with books.transaction() as db:
        taken = await db.scalar(_LOCK, wanted)
        upload = await db.scalar(_own(user_id, public_id))
    if upload is None:
        raise NotFound("There is no such upload, or it has expired.")
    if taken is None:
        if upload.state != "open":
            raise Conflict("This upload is complete already.")
        raise Locked
    return Lease(upload, token)


async def renew_lease(books: Bookkeeping, lease: Lease) -> None:
    await _change(books, _RENEW, lease)


async def end_lease(books: Bookkeeping, lease: Lease) -> None:
    async with books.transaction() as db:
        await db.execute(_UNLOCK, {"id": lease.upload.id, "token": lease.token})


async def add_part(
    books: Bookkeeping, settings: Settings, lease: Lease, *, etag: str, multipart_id: str, offset: int
) -> None:
    """Counts a part that storage has. `offset` is the first byte after it. Raises LostLease."""
    upload = lease.upload
    number = len(upload.parts) + 1
    had_tail = upload.offset > len(upload.parts) * upload.part_bytes
    values = {
        **_content(lease, settings),
        "etag": etag,
        "multipart_id": multipart_id,
        "offset": offset,
        "part_bytes": upload.part_bytes,
        "number": number,
    }
    # With the part its tail is done with, and the next part's tail will lie in its place: should PostgreSQL forget this
    # row in a crash, it would take that one's bytes for this one's.
    await _change(books, _STORED, lease, values, hurried=had_tail)
    upload.parts = [*upload.parts, etag]
    upload.multipart_id, upload.offset = multipart_id, offset


async def keep_tail(books: Bookkeeping, settings: Settings, lease: Lease, offset: int) -> None:
    """Counts the beginning of a part that storage has at `tail_key`. Raises LostLease."""
    await _change(books, _KEPT, lease, {**_content(lease, settings), "offset": offset})
    lease.upload.offset = offset


async def finish(books: Bookkeeping, settings: Settings, lease: Lease, sha256: bytes) -> None:
    """The object is whole; a post may use it now. Ends the lease. Raises LostLease."""
    await _change(books, _FINISHED, lease, {**_content(lease, settings), "sha256": sha256}, hurried=True)


async def remove(db: AsyncSession, user_id: int, public_id: str) -> Row[Any]:
    """Forgets one's own unused upload; the caller removes its bytes after the commit. Raises NotFound."""
    row = (await db.execute(_REMOVE, {"public_id": public_id, "user_id": user_id})).one_or_none()
    if row is None:
        raise NotFound("There is no such upload, or it has expired.")
    return row


async def forget_expired(db: AsyncSession) -> list[Row[Any]]:
    """Forgets what has expired; the caller removes the bytes of those that were not `used` after the commit."""
    return list(await db.execute(_EXPIRED))


async def claim_uploads(db: AsyncSession, user_id: int, ids: Sequence[str]) -> list[StoredFile]:
    """Marks finished uploads as used in the caller's transaction; the files, in the order of `ids`.

    Raises BadInput for an id that is not the user's, not finished, used before or named twice.
    """
    found = {
        upload.public_id: upload
        for upload in await db.scalars(
            select(Upload)
            .where(Upload.user_id == user_id, Upload.public_id.in_(ids), Upload.expires_at > func.now())
            .order_by(Upload.id)
            .with_for_update()
        )
    }
    files = []
    for public_id in ids:
        upload = found.pop(public_id, None)
        if upload is None or upload.state == "used":
            raise BadInput(fields={"upload": "This upload does not exist, has expired, or was used before."})
        if upload.state == "open":
            raise BadInput(fields={"upload": "This upload is not complete yet."})
        files.append(_as_file(upload))
    await db.execute(update(Upload).where(Upload.user_id == user_id, Upload.public_id.in_(ids)).values(state="used"))
    return files


def _as_file(upload: Upload) -> StoredFile:
    assert upload.sha256 is not None
    assert upload.media_type is not None
    assert upload.mime is not None
    return StoredFile(upload.key, upload.length, upload.sha256, upload.media_type, upload.mime, upload.filename)


def _content(lease: Lease, settings: Settings) -> dict[str, Any]:
    return {
        "media_type": lease.upload.media_type,
        "mime": lease.upload.mime,
        "ttl": settings.upload_ttl_seconds,
        "lease": LEASE_SECONDS,
    }


async def _change(
    books: Bookkeeping, statement: Any, lease: Lease, values: dict[str, Any] | None = None, *, hurried: bool = False
) -> None:
    async with books.transaction() as db:
        if not hurried:
            # Should PostgreSQL crash, an offset of half a second ago is as good: the client sends a part again.
            await db.execute(_UNHURRIED)
        wanted = {"id": lease.upload.id, "token": lease.token, "lease": LEASE_SECONDS, **(values or {})}
        if await db.scalar(statement, wanted) is None:
            raise LostLease
