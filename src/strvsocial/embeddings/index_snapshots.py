"""Snapshots of the index in Redis: what a new process starts from. Redis may lose them at any time.

A snapshot is a manifest and parts of at most `PART_BYTES` under names that are never written twice. The parts come first
and expire by themselves until the manifest names them, so that a process killed half-way leaves the old snapshot whole
and litter that goes away. Only one process saves at a time, by a lock that expires.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

VERSION = 1
PART_BYTES = 8 * 1024 * 1024
LOCK_SECONDS = 300
LITTER_SECONDS = 3600


class Manifest(Struct, frozen=True, kw_only=True):
    """What a snapshot holds. `watermark` is where reading PostgreSQL goes on."""

    version: int
    space_id: int
    generation: int
    watermark: int
    count: int
    dim: int
    byte_size: int
    sha256: str
    parts: list[str]
    saved_at: datetime


class BadSnapshot(Exception):
    """A snapshot that must not be used, and why."""


def open_redis(url: str) -> Redis:
    """A client for bytes that gives up soon: the index works without Redis."""
    client: Redis = Redis.from_url(url, socket_timeout=20, socket_connect_timeout=2)
    return client


class SnapshotStore:
    """The snapshots of one site. `site` keeps apart the sites that share a Redis."""

    def __init__(self, redis: Redis, site: str) -> None:
        self._redis = redis
        self._prefix = f"strv:index:{site}"

    def _manifest_key(self, space_id: int) -> str:
        return f"{self._prefix}:{space_id}:manifest"

    async def find_manifest(self, space_id: int) -> Manifest | None:
        """Raises BadSnapshot when it cannot be read, RedisError when Redis is away."""
        stored = await self._redis.get(self._manifest_key(space_id))
        if stored is None:
            return None
        try:
            return msgspec.json.decode(stored, type=Manifest)
        except msgspec.DecodeError as error:
            raise BadSnapshot(f"the manifest is damaged: {error}") from error

    async def find_usable_manifest(self, space_id: int) -> Manifest | None:
        """The manifest, or None where there is none or a damaged one. Raises RedisError."""
        try:
            return await self.find_manifest(space_id)
        except BadSnapshot:
            return None

    async def load(self, space_id: int, dim: int, generation: int) -> tuple[Manifest, bytearray] | None:
        """The newest snapshot of a space, checked against its checksum. Raises BadSnapshot or RedisError."""
        manifest = await self.find_manifest(space_id)
        if manifest is None:
            return None
        if (manifest.version, manifest.space_id, manifest.dim) != (VERSION, space_id, dim):
            raise BadSnapshot(f"it is for another space or version: {manifest.space_id}, {manifest.dim} values")
        if manifest.generation < generation:
            raise BadSnapshot("it is older than the last request to rebuild")
        packed = bytearray()
        for name in manifest.parts:
            part = await self._redis.get(name)
            if part is None:
                raise BadSnapshot(f"part {name} is missing")
            packed += part
        if hashlib.sha256(packed).hexdigest() != manifest.sha256 or len(packed) != manifest.byte_size:
            raise BadSnapshot(f"the checksum is wrong over {len(packed)} of {manifest.byte_size} bytes")
        return manifest, packed

    async def save(self, manifest: Manifest, packed: bytes | bytearray) -> None:
        """Replaces the snapshot of a space. Raises RedisError."""
        old = await self.find_usable_manifest(manifest.space_id)
        name = f"{self._prefix}:{manifest.space_id}:{secrets.token_hex(8)}"
        view = memoryview(packed)
        parts = [f"{name}:{start // PART_BYTES}" for start in range(0, len(view), PART_BYTES)]
        for position, part in enumerate(parts):
            chunk = bytes(view[position * PART_BYTES : (position + 1) * PART_BYTES])
            await self._redis.set(part, chunk, ex=LITTER_SECONDS)
        named = msgspec.structs.replace(manifest, parts=parts)
        await self._redis.set(self._manifest_key(manifest.space_id), msgspec.json.encode(named))
        for part in parts:
            await self._redis.persist(part)
        if old is not None:
            await self._redis.delete(*old.parts)

    async def drop(self, space_id: int) -> bool:
        """Forgets the snapshot of a space; says whether there was one."""
        old = await self.find_usable_manifest(space_id)
        return bool(await self._redis.delete(self._manifest_key(space_id), *(old.parts if old else ())))

    async def lock(self, space_id: int) -> str | None:
        """A token when this process may save now, else None."""
        token = secrets.token_hex(8)
        taken = await self._redis.set(f"{self._prefix}:{space_id}:saving", token, nx=True, ex=LOCK_SECONDS)
        return token if taken else None

    async def unlock(self, space_id: int, token: str) -> None:
        key = f"{self._prefix}:{space_id}:saving"
        if await self._redis.get(key) == token.encode():
            await self._redis.delete(key)


def describe(packed: bytes | bytearray, *, space_id: int, generation: int, watermark: int, dim: int) -> Manifest:
    """The manifest of packed bytes, its parts not yet named. Hashes: call it in a thread."""
    return Manifest(
        version=VERSION,
        space_id=space_id,
        generation=generation,
        watermark=watermark,
        count=int.from_bytes(packed[:8], "little"),
        dim=dim,
        byte_size=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        parts=[],
        saved_at=datetime.now(UTC),
    )


__all__ = ["BadSnapshot", "Manifest", "RedisError", "SnapshotStore", "describe", "open_redis"]
