"""A crowd for benchmarks: people, posts, media and vectors as rows, written with COPY."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np

from strvsocial.db import plain_url
from strvsocial.ids import new_id

WORDS = """
    harbour morning quiet light over the old bridge winter coffee garden market street music river stone paper window
    summer evening walking slowly towards mountain train station yellow bicycle kitchen bread salt ocean wind forest
    shadow letter red door morning choir piano dog cat heron moss lantern blue boat island rain
""".split()  # noqa: SIM905
DIMS = {"text": 384, "look": 1280, "sound": 256}


def words(count: int) -> str:
    return " ".join(random.choices(WORDS, k=count))


def unit_vectors(count: int, dim: int, seed: int, clusters: int = 400) -> np.ndarray:
    """Clustered unit vectors (count x dim, float32): cosines of about 0.5 within a cluster."""
    source = np.random.default_rng(seed)
    centres = np.random.default_rng(dim).standard_normal((clusters, dim), np.float32)
    vectors = centres[source.integers(0, clusters, count)] + source.standard_normal((count, dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(plain_url(url))


async def add_people(connection: asyncpg.Connection, count: int) -> list[int]:
    names = [f"person{new_id()[:10]}" for _ in range(count)]
    rows = [(new_id(), name, name, name, f"{name}@example.org", f"{name}@example.org", name.title()) for name in names]
    columns = ["public_id", "username", "username_key", "username_skeleton", "email", "email_key", "display_name"]
    await connection.copy_records_to_table("users", records=rows, columns=columns)
    return [row["id"] for row in await connection.fetch("select id from users where username = any($1)", names)]


async def add_posts(connection: asyncpg.Connection, authors: list[int], count: int) -> list[int]:
    """Public, ready posts of all kinds in turn, a second apart, with three tags each and a picture where one belongs."""
    first = await connection.fetchval("select coalesce(max(id), 0) + 1 from posts")
    start = datetime.now(UTC) - timedelta(days=30)
    kinds = ("text", "image", "gif", "audio", "video")
    ids = list(range(first, first + count))
    rows = []
    for number, post_id in enumerate(ids):
        moment, text = start + timedelta(seconds=number), words(40)
        kind, author = kinds[number % 5], authors[number % len(authors)]
        title = f"{words(4)} {number}".capitalize()
        rows.append((post_id, new_id(), author, title, text, f"<p>{text}</p>", kind, "ready", moment, moment))
    columns = "id public_id author_id title text text_html media_type status created_at updated_at"
    await connection.copy_records_to_table("posts", records=rows, columns=columns.split())
    await connection.execute("select setval(pg_get_serial_sequence('posts', 'id'), $1)", ids[-1])
    await _add_tags(connection, ids)
    await _add_media(connection, [(row[0], row[6]) for row in rows if row[6] != "text"])
    await connection.execute("analyze")
    return ids


async def _add_tags(connection: asyncpg.Connection, posts: list[int]) -> None:
    names = sorted(set(WORDS))
    await connection.execute("insert into tags (name) select unnest($1::text[]) on conflict do nothing", names)
    tags = [row["id"] for row in await connection.fetch("select id from tags")]
    rows = [(post, tag, at) for post in posts for at, tag in enumerate(random.sample(tags, 3))]
    await connection.copy_records_to_table("post_tags", records=rows, columns=["post_id", "tag_id", "position"])


async def _add_media(connection: asyncpg.Connection, posts: list[tuple[int, str]]) -> None:
    first = await connection.fetchval("select coalesce(max(id), 0) + 1 from attachments")
    media = [
        (
            *(first + number, new_id(), post, kind, "ready", f"originals/{post}", "image/jpeg", 200_000, b"\0" * 32),
            *("A picture of something", 1600, 1200, None if kind == "image" else 12.5, "3OcRJYB4d3h/iIeHeEh3eIhw+j2w"),
        )
        for number, (post, kind) in enumerate(posts)
    ]
    columns = (
        "id public_id post_id kind status source_key source_mime byte_size sha256 alt width height duration placeholder"
    )
    await connection.copy_records_to_table("attachments", records=media, columns=columns.split())
    await connection.execute("select setval(pg_get_serial_sequence('attachments', 'id'), $1)", first + len(media))
    rows: list[tuple[Any, ...]] = []
    for attachment, _, _, kind, *_ in media:
        if kind == "image":
            rows += [
                (attachment, f"w{width}.{form}", "variant", "k", f"image/{form}", 9000, width, width)
                for width in (320, 640, 1280)
                for form in ("webp", "avif")
            ]
            continue
        rows.append((attachment, "poster.webp", "poster", "k", "image/webp", 9000, 640, 480))
        name, mime = ("play.m4a", "audio/mp4") if kind == "audio" else ("play.mp4", "video/mp4")
        rows.append((attachment, name, "playback", "k", mime, 900_000, 640, 480))
    columns = "attachment_id name role key mime byte_size width height"
    await connection.copy_records_to_table("renditions", records=rows, columns=columns.split())


async def add_space(connection: asyncpg.Connection, name: str) -> int:
    return await connection.fetchval(
        "insert into embedding_spaces (name, profile, model, revision, dim, state)"
        " values ($1, 'bench', 'bench', '1', $2, 'active') returning id",
        name,
        DIMS[name],
    )


async def add_vectors(connection: asyncpg.Connection, space: int, posts: list[int], vectors: np.ndarray) -> None:
    for start in range(0, len(posts), 10_000):
        part = zip(posts[start : start + 10_000], vectors[start : start + 10_000], strict=True)
        rows = [(space, post, vector.astype("<f4").tobytes()) for post, vector in part]
        await connection.copy_records_to_table("embeddings", records=rows, columns=["space_id", "post_id", "vector"])
    await connection.execute("analyze embeddings")
