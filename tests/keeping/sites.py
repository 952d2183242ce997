"""Small sites with something of everything, and the console on them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import text
from tests.front_door import Member, Site, environment_of
from typer.testing import CliRunner, Result

from strvsocial.backups.commands import app
from strvsocial.db import plain_url
from strvsocial.ids import new_id
from strvsocial.settings import Settings, get_settings
from strvsocial.storage import open_storage


@dataclass
class Filled:
    """What was put into a site: the bytes of each key, and who is on it."""

    member: Member
    objects: dict[str, bytes] = field(default_factory=dict)


async def fill(site: Site, posts: int = 3, byte_size: int = 100_000) -> Filled:
    """People, posts with originals, renditions and vectors, jobs in every state, an avatar, uploads."""
    settings, member = site.settings, await site.member("alice")
    filled = Filled(member)
    async with open_storage(settings) as storage, site.database.transaction() as db:
        space = await db.scalar(
            text(
                "insert into embedding_spaces (name, profile, model, revision, dim, state) "
                "values ('text', 'tiny', 'tiny', '1', 4, 'active') returning id"
            )
        )
        for number in range(posts):
            original, rendition, frames = (
                f"originals/{new_id()}",
                f"media/{new_id()}/w640.webp",
                f"work/{new_id()}/frames",
            )
            for key in (original, rendition, frames):
                filled.objects[key] = secrets.token_bytes(byte_size)
            values = {
                "author": member.id, "title": f"Post {number}", "post": new_id(), "attachment": new_id(),
                "original": original, "size": len(filled.objects[original]),
                "sha256": hashlib.sha256(filled.objects[original]).digest(),
                "rendition": rendition, "rendition_size": len(filled.objects[rendition]),
                "frames": frames, "frames_size": len(filled.objects[frames]), "space": space,
                "vector": number.to_bytes(4, "little") * 4,
            }  # fmt: skip
            for statement in _POST:
                await db.execute(text(statement), values)
        avatar = f"avatars/{new_id()}.webp"
        filled.objects[avatar] = b"avatar" * 100
        upload = f"originals/{new_id()}"
        filled.objects[upload] = b"upload" * 100
        values = {
            "avatar": avatar, "upload": upload, "size": 600, "user": member.id,
            "sha256": hashlib.sha256(filled.objects[upload]).digest(), "finished": new_id(), "open": new_id(),
        }  # fmt: skip
        for statement in _REST:
            await db.execute(text(statement), values)
        for key, data in filled.objects.items():
            await storage.put(key, data, "application/octet-stream")
        await storage.put("originals/nobody-refers-to-me", b"orphan", "application/octet-stream")
    return filled


_POST = (
    "insert into posts (public_id, author_id, title, media_type, status) values (:post, :author, :title, 'image', 'ready')",
    "insert into attachments (public_id, post_id, kind, status, source_key, source_mime, byte_size, sha256) "
    "select :attachment, id, 'image', 'ready', :original, 'image/png', :size, :sha256 from posts where public_id = :post",
    "insert into renditions (attachment_id, name, role, key, mime, byte_size) select id, 'w640.webp', 'variant', "
    ":rendition, 'image/webp', :rendition_size from attachments where public_id = :attachment",
    "insert into renditions (attachment_id, name, role, key, mime, byte_size) select id, 'frames', 'frames', "
    ":frames, 'application/octet-stream', :frames_size from attachments where public_id = :attachment",
    "insert into embeddings (space_id, post_id, vector) select :space, id, :vector from posts where public_id = :post",
)
_REST = (
    "update users set avatar_key = :avatar where id = :user",
    'insert into uploads (public_id, user_id, state, key, part_bytes, length, "offset", sha256, mime, media_type, expires_at) '
    "values (:finished, :user, 'finished', :upload, 8388608, :size, :size, :sha256, 'image/png', 'image', now() + interval '1 day')",
    "insert into uploads (public_id, user_id, state, key, part_bytes, length, expires_at) "
    "values (:open, :user, 'open', 'originals/open', 8388608, 5000, now() + interval '1 day')",
    "insert into jobs (queue, kind, state, dedupe_key, attempts, lease_until, lease_token) values "
    "('quick', 'test.alone', 'running', 'alone', 1, now() + interval '1 hour', 5), "
    "('quick', 'test.twice', 'running', 'twice', 1, now() + interval '1 hour', 6), "
    "('quick', 'test.twice', 'running', 'twice', 2, now() + interval '1 hour', 7)",
    "insert into jobs (queue, kind, state) values ('quick', 'test.done', 'done'), ('quick', 'test.dead', 'dead')",
)


async def strvsocial(settings: Settings, *arguments: str, **environment: str) -> tuple[int, Any, str]:
    """`strvsocial backup …` in this process: the exit status, what it printed (decoded where it is JSON), its complaints."""

    def run() -> Result:
        get_settings.cache_clear()
        try:
            return CliRunner().invoke(app, arguments[1:], env={**environment_of(settings), **environment})
        finally:
            get_settings.cache_clear()

    assert arguments[0] == "backup"
    done = await asyncio.to_thread(run)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    printed = json.loads(done.stdout) if "--json" in arguments and done.stdout else done.stdout
    return done.exit_code, printed, done.stderr


def files_below(folder: str | Path) -> list[Path]:
    """Every file below a folder, in order."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


async def fetch(settings: Settings, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(plain_url(settings.database_url))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        return rows
    finally:
        await connection.close()


async def read_all(settings: Settings) -> dict[str, bytes]:
    """Everything in the storage."""
    async with open_storage(settings) as storage:
        keys = [item.key async for item in storage.list("")]
        return {key: b"".join([piece async for piece in storage.read(key)]) for key in keys}


async def empty(settings: Settings) -> None:
    """Deletes everything in the storage."""
    async with open_storage(settings) as storage:
        await storage.delete([item.key async for item in storage.list("")])
