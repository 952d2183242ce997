"""Bytes on their way from a socket to storage, in parts, with constant memory.

A process has a fixed number of part buffers (`PartSlots`), whatever the number of uploads. An upload fills one part
while the part before it is stored and hashed; when no slot is free it waits, and so does its socket. A client that is
too slow to fill a part in a few seconds does not keep others waiting: its part moves to an unlinked temporary file and
comes back to memory, for the short time that storing takes, when it is full.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import IO

import structlog

from strvsocial.errors import StrvError
from strvsocial.storage import Storage

log = structlog.get_logger()

PATIENCE_SECONDS = 5.0
"""How long a part may keep a slot while its client fills it."""
IDLE_SECONDS = 5.0
"""How long buffers are kept for the next upload: to get fresh memory for each part costs as much as to receive it."""


class PartSlots:
    """`count` buffers of `part_bytes` each. Buffers are reused, so that memory neither grows nor splinters."""

    def __init__(self, part_bytes: int, count: int) -> None:
        self.part_bytes = part_bytes
        self._free = asyncio.Semaphore(count)
        self._taken = 0
        self._spare: list[bytearray] = []
        self._letting_go: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        return self._taken

    async def take(self) -> bytearray:
        """A buffer of `part_bytes` whose content is undefined; first come, first served."""
        await self._free.acquire()
        self._taken += 1
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None
        return self._spare.pop() if self._spare else bytearray(self.part_bytes)

    def give_back(self, buffer: bytearray, *, reusable: bool = True) -> None:
        self._taken -= 1
        self._free.release()
        if reusable and len(buffer) == self.part_bytes:
            self._spare.append(buffer)
        if not self._taken:
            self._letting_go = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._spare.clear)


class Part:
    """A part being filled: in a slot, or in a temporary file when its client is slow.

    A full part that waits for the part before it moves to a file as well: no upload ever holds a slot for long while
    it waits for another one, so uploads cannot lock each other out.
    """

    def __init__(self, slots: PartSlots, buffer: bytearray, capacity: int) -> None:
        self.size = 0
        self.capacity = capacity
        self._slots = slots
        self._buffer: bytearray | None = buffer
        self._file: IO[bytes] | None = None
        self._move: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._start_move)

    @property
    def is_full(self) -> bool:
        return self.size == self.capacity

    async def add(self, chunk: bytes | bytearray | memoryview) -> int:
        """Takes what fits and returns how many bytes that were."""
        if self._move is not None:
            await self._move
        count = min(len(chunk), self.capacity - self.size)
        if self._file is not None:
            await asyncio.to_thread(self._file.write, chunk[:count])
        else:
            assert self._buffer is not None
            self._buffer[self.size : self.size + count] = chunk[:count]
        self.size += count
        return count

    async def get_data(self) -> bytearray:
        """The bytes, in a slot, until `release`."""
        self._timer.cancel()
        if self._move is not None:
            await self._move
        if self._file is not None:
            buffer = self._buffer = await self._slots.take()
            file, self._file = self._file, None
            with file:
                await asyncio.to_thread(_read_into, file, buffer, self.size)
        assert self._buffer is not None
        del self._buffer[self.size :]
        return self._buffer

    def release(self, *, reusable: bool = True) -> None:
        """Gives the memory or the file back. May be called twice."""
        self._timer.cancel()
        if self._move is not None:
            self._move.cancel()
        if self._buffer is not None:
            self._slots.give_back(self._buffer, reusable=reusable and self._move is None)
            self._buffer = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _start_move(self) -> None:
        self._move = asyncio.get_running_loop().create_task(self._move_to_file())

    async def _move_to_file(self) -> None:
        buffer = self._buffer
        assert buffer is not None
        try:
            file = await asyncio.to_thread(_write_to_file, buffer, self.size)
        except OSError as error:  # No room for temporary files: then it stays in memory.
            log.warning("uploads.cannot_spill", error=str(error))
            return
        self._file, self._buffer = file, None
        self._slots.give_back(buffer)


def _write_to_file(buffer: bytearray, size: int) -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="strv-part-")  # noqa: SIM115 - it lives as long as its part.
    try:
        file.write(memoryview(buffer)[:size])
    except BaseException:
        file.close()
        raise
    return file


def _read_into(file: IO[bytes], buffer: bytearray, size: int) -> None:
    file.seek(0)
    buffer.extend(bytes(max(0, size - len(buffer))))
    with memoryview(buffer) as view:
        read = file.readinto(view[:size])  # type: ignore[attr-defined]
    if read != size:
        raise OSError("a temporary file lost some of its bytes")


class PartWriter:
    """Writes one object to storage in parts of one size. `finish` or `abort` must be called.

    `on_stored(etag, byte_size)` is awaited after each stored part, in order. With `etags` it goes on where an earlier
    writer of the same multipart upload stopped. `digest` is updated with every part that this writer stores. One part is
    filled while the one before it is stored: a process that dies loses at most these two.
    """

    def __init__(
        self,
        storage: Storage,
        slots: PartSlots,
        key: str,
        mime: str,
        *,
        part_bytes: int | None = None,
        multipart_id: str = "",
        etags: list[str] | None = None,
        on_stored: Callable[[str, int], Awaitable[None]] | None = None,
    ) -> None:
        self.storage, self.key, self.mime = storage, key, mime
        self.multipart_id = multipart_id
        self.etags = list(etags or ())
        self.digest = hashlib.sha256()
        self.byte_size = 0
        self._slots = slots
        self._part_bytes = part_bytes or slots.part_bytes
        self._on_stored = on_stored
        self._part: Part | None = None
        self._storing: asyncio.Task[None] | None = None

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Takes bytes; waits while there is no room for them."""
        view = memoryview(chunk)
        self.byte_size += len(view)
        while view:
            if self._part is None:
                self._part = Part(self._slots, await self._slots.take(), self._part_bytes)
            view = view[await self._part.add(view) :]
            if self._part.is_full:
                await self._hand_over()

    async def flush(self) -> None:
        """Stores what was written, the last and shorter part too, and waits for it."""
        if self._part is not None and self._part.size:
            await self._hand_over()
        await self.wait()

    async def take_rest(self) -> bytes:
        """What was written and does not fill a part, taken out again, once the full parts are stored."""
        await self.wait()
        part, self._part = self._part, None
        if part is None:
            return b""
        try:
            return bytes(await part.get_data())
        finally:
            part.release()

    @property
    def is_storing(self) -> bool:
        return self._storing is not None and not self._storing.done()

    async def finish(self) -> None:
        """Makes the object. One that fits into one part is stored by one request."""
        if not self.multipart_id and self._storing is None:
            self._storing = asyncio.create_task(self._store_whole())
        else:
            await self.flush()
            completing = self.storage.complete_multipart(self.key, self.multipart_id, self.etags)
            self._storing = asyncio.create_task(completing)
        await self.wait()

    async def abort(self) -> None:
        """Leaves nothing behind. What storage cannot remove now is found by the sweep for orphans.

        What storage is doing just now is waited for: cancelled in the middle, it could appear after the removal.
        """
        await self.drop()
        with suppress(StrvError):
            if self.multipart_id:
                await self.storage.abort_multipart(self.key, self.multipart_id)
            await self.storage.delete([self.key])

    async def drop(self) -> None:
        """Gives back what was written and does not fill a part, and waits until storage is done with what does."""
        if self._part is not None:
            self._part.release()
            self._part = None
        if self._storing is not None:
            await asyncio.gather(self._storing, return_exceptions=True)

    async def wait(self) -> None:
        """Waits until the full parts are stored; raises what went wrong with them."""
        if self._storing is not None:
            await asyncio.shield(self._storing)

    async def _hand_over(self) -> None:
        await self.wait()
        part, self._part = self._part, None
        assert part is not None
        self._storing = asyncio.create_task(self._store(part))

    async def _store_whole(self) -> None:
        part, self._part = self._part, None
        data = await part.get_data() if part is not None else bytearray()
        try:
            await self._hash_and(data, self.storage.put(self.key, bytes(data), self.mime))
        finally:
            if part is not None:
                part.release()

    async def _store(self, part: Part) -> None:
        try:
            if not self.multipart_id:
                self.multipart_id = await self.storage.start_multipart(self.key, self.mime)
            data = await part.get_data()
            number = len(self.etags) + 1
            etag = await self._hash_and(data, self.storage.put_part(self.key, self.multipart_id, number, data))
        except BaseException:
            # A connection that was cut off may still hold the buffer.
            part.release(reusable=False)
            raise
        part.release()
        self.etags.append(etag)
        if self._on_stored is not None:
            await self._on_stored(etag, len(data))

    async def _hash_and(self, data: bytearray, storing: Awaitable[str] | Awaitable[None]) -> str:
        hashed = asyncio.create_task(asyncio.to_thread(self.digest.update, data))
        try:
            return await storing or ""
        finally:
            await hashed
