"""Loads and clears the demo content, by the same road as a bulk import: in the background of what people do, resumable."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.accounts import delete_everything
from strvsocial.content.imports import Import
from strvsocial.content.models import Post
from strvsocial.db import Database
from strvsocial.demo.cast import CAST
from strvsocial.demo.files import write_film, write_gif, write_jpeg, write_sound
from strvsocial.demo.films import FILMS, GIFS
from strvsocial.demo.pictures import PICTURES
from strvsocial.demo.posts import POSTS, DemoPost
from strvsocial.demo.sounds import SOUNDS
from strvsocial.ids import new_id
from strvsocial.jobs import BULK, enqueue
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.users.accounts import retire
from strvsocial.users.avatars import PROCESS_AVATAR
from strvsocial.users.models import Follow, User

CHUNK = 12
"""Posts that are made, then imported, at a time: the first are on the page before the last are drawn."""

Progress = Callable[[int, int, str], None]
"""Told how many posts are done, of how many, and which one is next."""


async def load(database: Database, storage: Storage, settings: Settings, progress: Progress) -> int:
    """Imports the posts that are not there yet and dresses their authors. Returns how many were imported."""
    wanted = await list_missing(database)
    done = 0
    for start in range(0, len(wanted), CHUNK):
        with tempfile.TemporaryDirectory(prefix="strv-demo-") as folder:
            lines = []
            for number, post in wanted[start : start + CHUNK]:
                progress(len(POSTS) - len(wanted) + done, len(POSTS), post.title)
                lines.append(await asyncio.to_thread(_write_post, Path(folder), number, post))
                done += 1
            listing = Path(folder) / "posts.ndjson"
            listing.write_text("".join(json.dumps(line) + "\n" for line in lines))
            tally = await Import(database, storage, settings).run(listing)
            if tally.bad:
                raise RuntimeError(f"{tally.bad} demo posts were refused by the import")
            async with database.transaction() as db:
                await _mark(db)
        await _dress_cast(database, storage)
    return done


async def clear(database: Database) -> int:
    """Deletes the demo people with everything of theirs. Returns how many people went."""
    async with database.read() as reader:
        ids = list((await reader.execute(select(User.id).where(User.is_demo))).scalars())
    for user_id in ids:
        async with database.transaction() as db:
            await retire(db, user_id)
        await delete_everything(database, user_id)
    return len(ids)


async def list_missing(database: Database) -> list[tuple[int, DemoPost]]:
    """The posts that are not there, each with its number, the quickest to make first."""
    async with database.read() as reader:
        keys = await reader.execute(select(Post.import_key).where(Post.import_key.startswith("demo:")))
        known = set(keys.scalars())
    missing = [(number, post) for number, post in enumerate(POSTS) if f"demo:{number}" not in known]
    return sorted(missing, key=lambda numbered: _effort(numbered[1]))


def _effort(post: DemoPost) -> int:
    """Words come first, films last; within a kind the list's order stays."""
    kind = post.media[0][0].split(":")[0] if post.media else "words"
    return ("words", "picture", "sound", "gif", "film").index(kind)


def _write_post(folder: Path, number: int, post: DemoPost) -> dict[str, object]:
    """The import line of a post, its files written beside it."""
    # Seeded, so that a second run gives a post the same age: 20 minutes to 20 days, mixed over authors and kinds.
    age = timedelta(minutes=20 + random.Random(number).random() ** 2 * 60 * 24 * 20)
    return {
        "key": f"demo:{number}",
        "author": post.author,
        "title": post.title,
        "text": post.text,
        "tags": list(post.tags),
        "files": [_write_file(folder, number, position, name) for position, (name, _) in enumerate(post.media)],
        "alt": [alt for _, alt in post.media],
        "created_at": (datetime.now(UTC) - age).isoformat(),
    }


def _write_file(folder: Path, number: int, position: int, name: str) -> str:
    kind, subject = name.split(":")
    suffix = {"picture": "jpg", "gif": "gif", "sound": "mp3", "film": "mp4"}[kind]
    path = folder / f"{number}-{position}.{suffix}"
    if kind == "picture":
        write_jpeg(path, PICTURES[subject]())
    elif kind == "gif":
        frames, milliseconds = GIFS[subject]
        write_gif(path, frames(), milliseconds)
    elif kind == "sound":
        write_sound(path, SOUNDS[subject]())
    else:
        film = FILMS[subject]
        write_film(path, film.frames(), SOUNDS[film.sound]() if film.sound else None)
    return path.name


async def _mark(db: AsyncSession) -> None:
    names = [person.username for person in CAST]
    await db.execute(update(Post).where(Post.import_key.startswith("demo:")).values(is_demo=True))
    authors = select(Post.author_id).where(Post.is_demo)
    await db.execute(update(User).where(User.id.in_(authors), User.username.in_(names)).values(is_demo=True))


async def _dress_cast(database: Database, storage: Storage) -> None:
    """Names, words about themselves, portraits and follows of the people who have posts by now."""
    async with database.transaction() as db:
        ids = {row.username: row.id for row in await db.execute(select(User.username, User.id).where(User.is_demo))}
    for person in CAST:
        if person.username not in ids:
            continue
        async with database.transaction() as db:
            user = await db.get_one(User, ids[person.username])
            bare = not user.display_name
            user.display_name, user.bio = person.display_name, person.bio
            follows = [{"follower_id": user.id, "followed_id": ids[name]} for name in person.follows if name in ids]
            if follows:
                await db.execute(insert(Follow).values(follows).on_conflict_do_nothing())
        if bare:
            await _give_portrait(database, storage, ids[person.username], person.portrait)


async def _give_portrait(database: Database, storage: Storage, user_id: int, portrait: str) -> None:
    with tempfile.TemporaryDirectory(prefix="strv-demo-") as folder:
        path = Path(folder) / "portrait.jpg"
        await asyncio.to_thread(write_jpeg, path, PICTURES[portrait]())
        key = f"originals/{new_id()}"
        await storage.put_file(key, path, "image/jpeg")
    async with database.transaction() as db:
        await enqueue(db, PROCESS_AVATAR, {"user_id": user_id, "source_key": key}, queue="quick", priority=BULK)
