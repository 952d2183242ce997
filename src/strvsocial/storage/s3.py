"""Storage in an S3 bucket: AWS, Cloudflare R2, SeaweedFS, MinIO, Garage and their like.

Newer botocore adds CRC trailers that some of them do not know; they are only sent where an operation demands one. The
payload is not hashed a second time for the signature when the way is private (TLS or loopback).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import structlog
from aiohttp import ClientError as ConnectionTrouble
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from strvsocial.breaker import Breaker
from strvsocial.errors import NotFound, Unavailable
from strvsocial.settings import Settings
from strvsocial.storage import OpenMultipart, StoredObject
from strvsocial.storage.keys import check_key, check_prefix
from strvsocial.storage.measured import measured
from strvsocial.storage.patience import (
    CHECK_SECONDS,
    COMPLETE_SECONDS,
    GRACE_SECONDS,
    LIST_SECONDS,
    QUICK_SECONDS,
    Pace,
    put_seconds,
)

log = structlog.get_logger()

PIECE_BYTES = 256 * 1024
SINGLE_PUT_BYTES = 32 * 1024 * 1024
"""Files up to this size are stored by one request, larger ones in parts."""
SIGNED_SECONDS = 60
"""How long nginx may begin to fetch an object that somebody was allowed to see."""
_MOST_PARTS = 9_000
_MISSING = {"NoSuchKey", "NoSuchUpload", "NotFound", "404"}
_DELETE_BATCH = 1_000
_AWAY = "The site's storage cannot be reached."
_TRIES = 4
"""Of each call, by botocore: after a random part of 1, 2, 4 seconds, within the call's own limit."""
_FAILURES = 3
"""So many in a row, and storage is left alone for some seconds: pages with many pictures shall not wait for each."""


@contextmanager
def _translated() -> Iterator[None]:
    """Turns botocore's and the connection's errors into our own."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise NotFound("These bytes are not in storage.") from error
        log.warning("storage.refused", operation=error.operation_name, code=code)
        raise Unavailable("The site's storage does not answer as it should.", retry_after=10) from error
    except (BotoCoreError, ConnectionTrouble, OSError, TimeoutError) as error:
        log.warning("storage.unreachable", error=repr(error))
        raise Unavailable(_AWAY, retry_after=10) from error


def _is_private(endpoint: str | None) -> bool:
    """Whether nobody between us and the endpoint can change what is sent."""
    parts = urlsplit(endpoint or "https://s3.amazonaws.com")
    host = parts.hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return parts.scheme == "https" or loopback


def _configuration(settings: Settings) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=2,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        max_pool_connections=max(32, 2 * settings.upload_part_slots),
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path", "payload_signing_enabled": not _is_private(settings.s3_endpoint_url)},
    )


@measured
class S3Storage:
    """Objects in one bucket. `client` is aiobotocore's S3 client."""

    def __init__(self, client: Any, bucket: str, region: str, part_bytes: int) -> None:
        self.client, self.bucket, self.region, self.part_bytes = client, bucket, region, part_bytes
        self._breaker = Breaker(failures=_FAILURES)

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        """Around a wait for the server: puts an end to it, and tells the breaker how it went."""
        try:
            with _translated():
                async with asyncio.timeout(seconds):
                    yield
        except Unavailable:
            self._breaker.failed()
            raise
        except NotFound:
            self._breaker.succeeded()
            raise
        self._breaker.succeeded()

    @asynccontextmanager
    async def _call(self, seconds: float = QUICK_SECONDS) -> AsyncIterator[None]:
        """Around each call: fails at once while the breaker is open."""
        if self._breaker.is_open:
            raise Unavailable(_AWAY, retry_after=10)
        async with self._within(seconds):
            yield

    async def check(self) -> None:
        with suppress(NotFound):
            async with self._within(CHECK_SECONDS):
                await self.client.head_object(Bucket=self.bucket, Key="probe")

    async def put(self, key: str, data: bytes, mime: str) -> None:
        async with self._call(put_seconds(len(data))):
            await self.client.put_object(Bucket=self.bucket, Key=check_key(key), Body=data, ContentType=mime)

    async def put_file(self, key: str, path: Path, mime: str) -> None:
        size = (await asyncio.to_thread(path.stat)).st_size
        if size <= SINGLE_PUT_BYTES:
            await self.put(key, await asyncio.to_thread(path.read_bytes), mime)
            return
        part_bytes = max(self.part_bytes, -(-size // _MOST_PARTS))
        multipart_id = await self.start_multipart(key, mime)
        try:
            with await asyncio.to_thread(path.open, "rb") as file:
                etags: list[str] = []
                while part := await asyncio.to_thread(file.read, part_bytes):
                    etags.append(await self.put_part(key, multipart_id, len(etags) + 1, part))
            await self.complete_multipart(key, multipart_id, etags)
        except BaseException:
            await asyncio.shield(self.abort_multipart(key, multipart_id))
            raise

    async def get_file(self, key: str, path: Path) -> None:
        with await asyncio.to_thread(path.open, "wb") as file:
            async for piece in self.read(key):
                await asyncio.to_thread(file.write, piece)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if end is not None and end <= start:
            return
        # Only a range that leaves something out is asked for: an empty object has no range that could be met.
        wanted = {} if start == 0 and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        async with self._call():
            answer = await self.client.get_object(Bucket=self.bucket, Key=check_key(key), **wanted)
        pace, body = Pace(), answer["Body"]
        async with body:
            while True:
                async with self._within(GRACE_SECONDS):
                    with pace.waiting():
                        piece = await body.read(PIECE_BYTES)
                if not piece:
                    return
                pace.received += len(piece)
                yield piece

    async def internal_address(self, key: str) -> str:
        wanted = {"Bucket": self.bucket, "Key": check_key(key)}
        signed = await self.client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=SIGNED_SECONDS)
        return f"/-/media/bucket/{key}?{urlsplit(signed).query}"

    async def stat(self, key: str) -> StoredObject | None:
        try:
            async with self._call():
                found = await self.client.head_object(Bucket=self.bucket, Key=check_key(key))
        except NotFound:
            return None
        return StoredObject(key, found["ContentLength"], found["ETag"].strip('"'), found["LastModified"])

    async def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), _DELETE_BATCH):
            objects = [{"Key": check_key(key)} for key in keys[first : first + _DELETE_BATCH]]
            async with self._call():
                answer = await self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}
                )
            if answer.get("Errors"):
                log.warning("storage.not_deleted", errors=answer["Errors"][:5])
                raise Unavailable("The site's storage did not delete everything.", retry_after=10)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        async for item in self._items("list_objects_v2", "Contents", Prefix=check_prefix(prefix)):
            if not item["Key"].endswith("/"):  # Some servers list folders too.
                yield StoredObject(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])

    async def _items(self, operation: str, name: str, **wanted: str) -> AsyncIterator[dict[str, Any]]:
        pages = aiter(self.client.get_paginator(operation).paginate(Bucket=self.bucket, **wanted))
        while True:
            async with self._call(LIST_SECONDS):
                page = await anext(pages, None)
            if page is None:
                return
            for item in page.get(name, ()):
                yield item

    async def start_multipart(self, key: str, mime: str) -> str:
        async with self._call():
            answer = await self.client.create_multipart_upload(Bucket=self.bucket, Key=check_key(key), ContentType=mime)
        return str(answer["UploadId"])

    async def put_part(self, key: str, multipart_id: str, number: int, data: bytes | bytearray) -> str:
        async with self._call(put_seconds(len(data))):
            answer = await self.client.upload_part(
                Bucket=self.bucket, Key=check_key(key), UploadId=multipart_id, PartNumber=number, Body=data
            )
        return str(answer["ETag"])

    async def complete_multipart(self, key: str, multipart_id: str, etags: Sequence[str]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        async with self._call(COMPLETE_SECONDS):
            await self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=check_key(key), UploadId=multipart_id, MultipartUpload={"Parts": parts}
            )

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        try:
            async with self._call():
                await self.client.abort_multipart_upload(Bucket=self.bucket, Key=check_key(key), UploadId=multipart_id)
        except NotFound:  # It is gone already: that is what was wanted.
            return

    async def list_multiparts(self) -> AsyncIterator[OpenMultipart]:
        async for item in self._items("list_multipart_uploads", "Uploads"):
            yield OpenMultipart(item["Key"], item["UploadId"], item["Initiated"])

    async def forget_interrupted(self, before: datetime) -> None:
        """S3 keeps nothing of an object that was not sent to its end."""

    async def ensure_bucket(self) -> None:
        """Makes the bucket when it is missing and we may. A key that may not look into buckets is taken at its word."""
        try:
            async with asyncio.timeout(QUICK_SECONDS):
                await self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
                return
        else:
            return
        place = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
        options = {"CreateBucketConfiguration": place} if place else {}
        async with self._call(GRACE_SECONDS):
            await self.client.create_bucket(Bucket=self.bucket, **options)
        log.info("storage.bucket_made", bucket=self.bucket)


@asynccontextmanager
async def open_s3(settings: Settings) -> AsyncIterator[S3Storage]:
    """Storage in the settings' bucket. A server that is down does not keep the site from starting."""
    assert settings.s3_bucket is not None
    secret = settings.aws_secret_access_key
    session = aioboto3.Session()
    client = session.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=_configuration(settings),
    )
    async with client as opened:
        storage = S3Storage(opened, settings.s3_bucket, settings.s3_region, settings.upload_part_bytes)
        try:
            with _translated():
                await storage.ensure_bucket()
        except Unavailable as error:
            log.warning("storage.down_at_start", bucket=settings.s3_bucket, error=str(error))
        yield storage
