"""Cards: everything about a post in one statement, and only for those who may see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from strvsocial.content.cards import find_card, load_cards
from strvsocial.content.models import PostCounter, PostTag, Tag
from strvsocial.db import Database
from strvsocial.ids import new_id
from strvsocial.media.models import Attachment, Rendition, TranscriptSegment

from .conftest import MakePost, MakeUser

SEEN_BY = {
    "public": {"nobody", "other", "follower", "author", "admin"},
    "followers": {"follower", "author"},
    "private": {"author"},
}


@pytest.mark.parametrize("suspended", [False, True])
@pytest.mark.parametrize("visibility", list(SEEN_BY))
async def test_who_sees_what(
    database: Database, make_user: MakeUser, make_post: MakePost, visibility: str, suspended: bool
) -> None:
    author = await make_user(suspended_at=datetime.now(UTC) if suspended else None)
    post = await make_post(author, visibility=visibility)
    viewers = {
        "nobody": None,
        "other": (await make_user()).id,
        "follower": (await make_user(follows=(author.id,))).id,
        "author": author.id,
        "admin": (await make_user(role="admin")).id,
    }
    async with database.read() as reader:
        seen = {name for name, viewer in viewers.items() if await load_cards(reader, viewer, [post.id])}
        by_address = {name for name, viewer in viewers.items() if await find_card(reader, viewer, post.public_id)}
    assert seen == by_address == (set() if suspended else SEEN_BY[visibility])


async def test_a_card_holds_everything_in_one_statement(
    database: Database, make_user: MakeUser, make_post: MakePost
) -> None:
    author = await make_user(display_name="Ada", avatar_key="avatars/x.webp")
    post = await make_post(author, title="Film", text="Look", text_html="<p>Look</p>", media_type="video")
    await add_film(database, post.id)
    statements: list[str] = []
    listen: Any = lambda *args: statements.append(args[2])  # noqa: E731
    event.listen(database.engine.sync_engine, "before_cursor_execute", listen)
    async with database.read() as reader:
        [card] = await load_cards(reader, author.id, [post.id])
        assert len(statements) == 1
        shown = await find_card(reader, None, post.public_id)
    event.remove(database.engine.sync_engine, "before_cursor_execute", listen)
    assert shown is not None
    assert card.author.avatar_url == "/media/avatars/x.webp"
    assert (card.tags, card.counts.views, card.viewer.is_author) == (["zebra", "ant"], 7, True)
    [medium] = card.media
    base = f"/media/{medium.id}"
    assert (medium.url, medium.mime, medium.poster_url) == (f"{base}/play.mp4", "video/mp4", f"{base}/poster.webp")
    assert [variant.url for variant in medium.variants] == [f"{base}/play.mp4"]
    assert (medium.duration, medium.alt, medium.transcript) == (3.5, "A zebra", None)
    assert (medium.opening, shown.media[0].transcript) == ("Hello there", "Hello there")
    assert not shown.viewer.is_author
    assert card.created_at == post.created_at


async def add_film(database: Database, post_id: int) -> None:
    async with database.transaction() as db:
        tags = [Tag(name="zebra"), Tag(name="ant")]
        film = Attachment(
            public_id=new_id(),
            post_id=post_id,
            kind="video",
            status="ready",
            source_key="originals/x",
            source_mime="video/quicktime",
            byte_size=1,
            sha256=bytes(32),
            alt="A zebra",
            duration=3.5,
        )
        db.add_all([*tags, film, PostCounter(post_id=post_id, views=7)])
        await db.flush()
        db.add_all(PostTag(post_id=post_id, tag_id=tag.id, position=n) for n, tag in enumerate(tags))
        made = [("play.mp4", "playback", "video/mp4"), ("poster.webp", "poster", "image/webp")]
        made += [("pcm", "pcm", "audio/pcm"), ("frames", "frames", "application/octet-stream")]
        db.add_all(
            Rendition(attachment_id=film.id, name=name, role=role, key=name, mime=mime, byte_size=1, width=640)
            for name, role, mime in made
        )
        db.add_all(
            TranscriptSegment(attachment_id=film.id, position=n, start=n, end=n + 1, text=text)
            for n, text in enumerate(["Hello", "there"])
        )


async def test_an_image_shows_as_its_largest_webp(database: Database, make_user: MakeUser, make_post: MakePost) -> None:
    post = await make_post(await make_user(), media_type="image")
    async with database.transaction() as db:
        images = [
            Attachment(
                public_id=new_id(),
                post_id=post.id,
                position=position,
                kind="image",
                source_key="originals/x",
                source_mime="image/png",
                byte_size=1,
                sha256=bytes(32),
            )
            for position in (1, 0)
        ]
        db.add_all(images)
        await db.flush()
        db.add_all(
            Rendition(
                attachment_id=images[0].id,
                name=f"w{width}.{kind}",
                role="variant",
                key="k",
                mime=f"image/{kind}",
                byte_size=1,
                width=width,
                height=width // 2,
            )
            for kind in ("webp", "avif")
            for width in (640, 1280, 320)
        )
    async with database.read() as reader:
        [card] = await load_cards(reader, None, [post.id])
    waiting, done = card.media
    assert (waiting.id, waiting.url, waiting.mime, waiting.variants) == (images[1].public_id, "", "image/png", [])
    assert (done.url, done.mime) == (f"/media/{images[0].public_id}/w1280.webp", "image/webp")
    assert [variant.width for variant in done.variants] == [320, 640, 1280, 320, 640, 1280]


async def test_order_is_kept(database: Database, make_user: MakeUser, make_post: MakePost) -> None:
    author = await make_user()
    posts = [await make_post(author, title=str(n)) for n in range(5)]
    async with database.read() as reader:
        wanted = [posts[3].id, posts[0].id, 10**12, posts[4].id]
        assert [card.title for card in await load_cards(reader, None, wanted)] == ["3", "0", "4"]
        assert await load_cards(reader, None, []) == []
