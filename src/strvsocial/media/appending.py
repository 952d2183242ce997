"""Adding a request's bytes to a resumable upload.

Whole parts are counted as they are stored; the beginning of the next one is kept when the request ends, so that clients
with small requests get on and a broken connection costs next to nothing. A process that is killed loses at most two
parts: the one that is being stored, and the one that is filled meanwhile.

The sha256 comes for free when one request carried the whole file. After a resumption the state of the hash is gone with
the process that had it, so the object is read once more when it is complete: slower than hashing on the way, but it
vouches for what storage really holds, and only resumed uploads pay for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import structlog

from strvsocial.errors import NotFound, StrvError, TooLarge, UnsupportedMedia
from strvsocial.media import uploads
from strvsocial.media.bodies import BrokenOff
from strvsocial.media.incoming import too_large_text
from strvsocial.media.parts import PartSlots, PartWriter
from strvsocial.media.signatures import HEAD_BYTES, get_kind
from strvsocial.media.uploads import LEASE_SECONDS, Bookkeeping, Lease, LostLease, tail_key
from strvsocial.settings import Settings
from strvsocial.storage import Storage

log = structlog.get_logger()


@dataclass(frozen=True)
class Places:
    """What an upload needs of its process."""

    settings: Settings
    books: Bookkeeping
    storage: Storage
    slots: PartSlots


class Overflow(TooLarge):
    """A request carries more than is missing. What the upload has stays."""

    message = "This is more than the length that was announced for this upload."


class _Activity:
    """Renews a lease as long as something moves."""

    def __init__(self, places: Places, lease: Lease) -> None:
        self._places, self._lease = places, lease
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()
        self.writer: PartWriter | None = None
        self.is_finishing = False
        self._task = self._loop.create_task(self._renew())

    def moved(self) -> None:
        self._moved_at = self._loop.time()

    def stop(self) -> None:
        self._task.cancel()

    @property
    def _is_moving(self) -> bool:
        waits_for_us = self.is_finishing or (self.writer is not None and self.writer.is_storing)
        return waits_for_us or self._loop.time() - self._moved_at < LEASE_SECONDS / 3

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            if self._is_moving:
                try:
                    await uploads.renew_lease(self._places.books, self._lease)
                except LostLease:
                    return
                except Exception as error:  # The next try may work; if none does, the lease runs out.
                    log.warning("uploads.lease_not_renewed", error=repr(error))


async def append(places: Places, lease: Lease, pieces: AsyncIterator[bytes]) -> int:
    """Adds `pieces` at the upload's offset and returns the new offset. Ends the lease.

    Raises BrokenOff after keeping what came; TooLarge and UnsupportedMedia after removing an upload that can never be
    taken; LostLease, NotFound, Unavailable.
    """
    activity = _Activity(places, lease)
    try:
        return await _Appending(places, lease, activity).run(pieces)
    except Overflow:
        raise
    except (TooLarge, UnsupportedMedia):
        await asyncio.shield(remove_upload(places, lease.upload.user_id, lease.upload.public_id))
        raise
    finally:
        activity.stop()
        await asyncio.shield(_end(places, lease))


async def finish_interrupted(places: Places, lease: Lease) -> None:
    """Finishes an upload all of whose bytes are here, in parts and perhaps a tail, but whose request died before it
    could. Ends the lease."""

    async def nothing_more() -> AsyncIterator[bytes]:
        return
        yield b""

    await append(places, lease, nothing_more())


async def remove_upload(places: Places, user_id: int, public_id: str) -> None:
    """Removes one's own unused upload and its bytes. Raises NotFound."""
    async with places.books.transaction() as db:
        row = await uploads.remove(db, user_id, public_id)
    await remove_bytes(places.storage, row.public_id, row.key, row.multipart_id)


async def remove_bytes(storage: Storage, public_id: str, key: str, multipart_id: str) -> None:
    """Removes what an upload has in storage. What cannot be removed now is found by the sweep for orphans."""
    with suppress(StrvError):
        if multipart_id:
            await storage.abort_multipart(key, multipart_id)
        await storage.delete([key, tail_key(public_id)])


async def _end(places: Places, lease: Lease) -> None:
    try:
        await uploads.end_lease(places.books, lease)
    except Exception as error:  # It runs out by itself.
        log.warning("uploads.lease_not_ended", error=repr(error))


async def _complete(places: Places, lease: Lease, sha256: bytes | None) -> None:
    upload, storage = lease.upload, places.storage
    try:
        await storage.complete_multipart(upload.key, upload.multipart_id, upload.parts)
    except NotFound:  # Somebody completed it and died before saying so, or the bytes are gone.
        found = await storage.stat(upload.key)
        if found is None or found.byte_size != upload.length:
            log.error("uploads.bytes_lost", upload=upload.public_id)
            await remove_upload(places, upload.user_id, upload.public_id)
            raise
    await uploads.finish(places.books, places.settings, lease, sha256 or await _hash_object(storage, upload.key))


async def _hash_object(storage: Storage, key: str) -> bytes:
    digest = hashlib.sha256()
    async for piece in storage.read(key):
        await asyncio.to_thread(digest.update, piece)
    return digest.digest()


class _Appending:
    def __init__(self, places: Places, lease: Lease, activity: _Activity) -> None:
        self.places, self.lease, self.upload = places, lease, lease.upload
        self.activity = activity
        if not self.upload.parts:
            self.upload.part_bytes = places.settings.upload_part_bytes
        self.is_whole = not self.upload.parts
        self.position = min(len(self.upload.parts) * self.upload.part_bytes, self.upload.length)
        """The first byte of the file that was not fed to this request's writer."""
        self.head = bytearray()
        self.writer = activity.writer = PartWriter(
            places.storage,
            places.slots,
            self.upload.key,
            self.upload.mime or "",
            part_bytes=self.upload.part_bytes,
            multipart_id=self.upload.multipart_id,
            etags=self.upload.parts,
            on_stored=self._count_part,
        )

    async def run(self, pieces: AsyncIterator[bytes]) -> int:
        try:
            await self._take_up_tail()
            async for piece in pieces:
                self.activity.moved()
                if self.position + len(piece) > self.upload.length:
                    raise Overflow
                await self._feed(piece)
                self.activity.moved()
            return await self._end()
        except (BrokenOff, asyncio.CancelledError):
            with suppress(StrvError):
                await asyncio.shield(self._keep_rest())
            await asyncio.shield(self.writer.drop())
            raise
        except BaseException as error:
            is_there = await asyncio.shield(self._clean_up())
            if is_there and isinstance(error, NotFound):  # Somebody else went on, and storage forgot our parts.
                raise LostLease from error
            raise

    async def _end(self) -> int:
        if self.position < self.upload.length:
            await self._keep_rest()
            return self.upload.offset
        self.activity.is_finishing = True
        had_tail = self.upload.offset > 0
        await self._finish()
        if had_tail:
            with suppress(StrvError):
                await self.places.storage.delete([tail_key(self.upload.public_id)])
        return self.upload.length

    async def _finish(self) -> None:
        await self.writer.wait()
        if not self.upload.parts:
            await self.writer.finish()
            await uploads.finish(self.places.books, self.places.settings, self.lease, self.writer.digest.digest())
            return
        await self.writer.flush()
        await _complete(self.places, self.lease, self.writer.digest.digest() if self.is_whole else None)

    async def _take_up_tail(self) -> None:
        kept = self.upload.offset - self.position
        if not kept:
            return
        with suppress(NotFound):
            async for piece in self.places.storage.read(tail_key(self.upload.public_id), 0, kept):
                await self._feed(piece)
        if self.position != self.upload.offset:
            await remove_upload(self.places, self.upload.user_id, self.upload.public_id)
            raise NotFound("Storage has lost a part of this upload. Please start it again.")

    async def _feed(self, piece: bytes) -> None:
        self.position += len(piece)
        if self.upload.media_type is not None and not self.head:
            await self.writer.write(piece)
            return
        self.head += piece
        if len(self.head) >= HEAD_BYTES or self.position == self.upload.length:
            self._recognise()
            head, self.head = self.head, bytearray()
            await self.writer.write(head)

    def _recognise(self) -> None:
        kind = get_kind(bytes(self.head))
        limit = self.places.settings.max_bytes(kind.media_type)
        if self.upload.length > limit:
            raise TooLarge(too_large_text(kind, limit))
        self.upload.media_type, self.upload.mime = kind
        self.writer.mime = kind.mime

    async def _count_part(self, etag: str, _byte_size: int) -> None:
        await uploads.add_part(
            self.places.books,
            self.places.settings,
            self.lease,
            etag=etag,
            multipart_id=self.writer.multipart_id,
            offset=min(len(self.writer.etags) * self.upload.part_bytes, self.upload.length),
        )

    async def _keep_rest(self) -> None:
        """Keeps the beginning of a part, so that the client need not send it again."""
        rest = bytes(self.head) or await self.writer.take_rest()
        offset = len(self.upload.parts) * self.upload.part_bytes + len(rest)
        if offset > self.upload.offset:
            await self.places.storage.put(tail_key(self.upload.public_id), rest, "application/octet-stream")
            await uploads.keep_tail(self.places.books, self.places.settings, self.lease, offset)

    async def _clean_up(self) -> bool:
        """Gives memory back and says whether the upload still is; when not, what this request stored goes as well."""
        await self.writer.drop()
        try:
            await uploads.get(self.places.books, self.upload.user_id, self.upload.public_id)
        except NotFound:
            await self.writer.abort()
            await remove_bytes(self.places.storage, self.upload.public_id, self.upload.key, self.writer.multipart_id)
            return False
        except Exception as error:
            log.warning("uploads.not_cleaned_up", error=repr(error))
        return True
