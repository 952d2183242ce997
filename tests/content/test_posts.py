"""Publishing, editing, deleting and settling, on rows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text

from strvsocial.content import edits, posts
from strvsocial.content.cards import load_cards
from strvsocial.content.drafts import Changes, Draft
from strvsocial.content.models import Post
from strvsocial.content.settling import settle
from strvsocial.content.views import PostView
from strvsocial.db import Database
from strvsocial.errors import BadInput, Conflict, Forbidden, NotFound
from strvsocial.ids import new_id
from strvsocial.media.incoming import StoredFile
from strvsocial.media.models import Attachment, Rendition
from strvsocial.users.models import User
from strvsocial.web.viewers import Viewer

from .conftest import MakeUser

MIMES = {"image": "image/png", "gif": "image/gif", "audio": "audio/mpeg", "video": "video/mp4"}


def stored(media_type: str) -> StoredFile:
    return StoredFile(f"originals/{new_id()}", 10, bytes(32), media_type, MIMES[media_type], "file")


def viewer_of(user: User) -> Viewer:
    return Viewer(user.id, user.public_id, user.username, user.display_name, "", user.role or "member", "system")


async def publish(database: Database, author: User, *kinds: str, **fields: Any) -> Post:
    async with database.transaction() as db:
        files = [(stored(kind), f"alt {n}") for n, kind in enumerate(kinds)]
        return await posts.publish(db, author.id, Draft(**{"title": "Hello", "files": files, **fields}))


async def card_of(database: Database, post: Post) -> PostView:
    async with database.read() as reader:
        [card] = await load_cards(reader, post.author_id, [post.id])
        return card


async def jobs_for(database: Database, **payload: Any) -> list[tuple[str, str]]:
    async with database.read() as reader:
        query = text("select kind, queue from jobs where payload @> cast(:payload as jsonb) order by id")
        key, value = next(iter(payload.items()))
        return [tuple(row) for row in await reader.execute(query, {"payload": f'{{"{key}": {value}}}'})]


async def finish(database: Database, post: Post, *statuses: str) -> None:
    """What processing writes: a status for each medium, in order, and then the post is settled."""
    async with database.transaction() as db:
        media = select(Attachment).where(Attachment.post_id == post.id).order_by(Attachment.position)
        for medium, status in zip(await db.scalars(media), statuses, strict=True):
            medium.status = status
            medium.failure = "It is broken." if status == "failed" else None
            db.add(
                Rendition(
                    attachment_id=medium.id,
                    name=f"{new_id()}.webp",
                    role="variant",
                    key=f"media/{medium.public_id}/{new_id()}.webp",
                    mime="image/webp",
                    byte_size=1,
                )
            )
        await db.flush()
        await settle(db, post.id)


async def test_a_text_is_ready_at_once(database: Database, make_user: MakeUser) -> None:
    author = await make_user()
    post = await publish(database, author, title="  A\ttitle ", text="Hi **you** #Cats", tags=["#Dogs, CATS", "ａｎｔ"])
    card = await card_of(database, post)
    assert (card.title, card.media_type, card.status, card.pending) == ("A title", "text", "ready", ["embedding"])
    assert card.tags == ["dogs", "cats", "ant"]
    assert "<strong>you</strong>" in card.text_html
    assert await jobs_for(database, post_id=post.id) == [("content.embed_post", "embed")]


@pytest.mark.parametrize("kind", ["image", "gif", "audio", "video"])
async def test_media_wait_to_be_processed(database: Database, make_user: MakeUser, kind: str) -> None:
    post = await publish(database, await make_user(), kind)
    card = await card_of(database, post)
    assert (card.media_type, card.status, card.pending) == (kind, "processing", ["rendition", "embedding"])
    assert (card.media[0].alt, card.media[0].url) == ("alt 0", "")
    async with database.read() as reader:
        media_id = await reader.scalar(select(Attachment.id).where(Attachment.post_id == post.id))
    wanted = ("content.process_film", "long") if kind == "video" else ("content.process_attachment", "quick")
    assert await jobs_for(database, attachment_id=media_id) == [wanted]
    assert await jobs_for(database, post_id=post.id) == []


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"title": ""}, {"title"}),
        ({"title": " \u202e "}, {"title"}),
        ({"title": "x" * 256}, {"title"}),
        ({"title": "x" * 100_000, "text": "y" * 5001}, {"title", "text"}),
        ({"title": "a\x00b", "text": "\ud800"}, {"title", "text"}),
        ({"tags": ["a!"], "visibility": "secret"}, {"tags", "visibility"}),
        ({"tags": [f"t{n}" for n in range(21)]}, {"tags"}),
        ({"tags": ["x" * 65], "idempotency_key": "k" * 201}, {"tags", "Idempotency-Key"}),
        ({"files": [(stored("image"), "x" * 2001)]}, {"alt"}),
        ({"files": [(stored("image"), "")] * 11}, {"file"}),
        ({"files": [(stored("image"), ""), (stored("gif"), "")]}, {"file"}),
        ({"files": [(stored("video"), "")] * 2}, {"file"}),
    ],
)
async def test_every_bad_field_is_named(
    database: Database, make_user: MakeUser, fields: dict[str, Any], bad: set[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        await publish(database, await make_user(), **fields)
    assert set(caught.value.fields or {}) == bad


async def test_what_turns_text_around_is_taken_out(database: Database, make_user: MakeUser) -> None:
    post = await publish(database, await make_user(), title="a\u202eb\u2066c\x07", text="x\u202ey\r\nz")
    assert (post.title, post.text) == ("abc", "xy\nz")


async def test_twenty_equal_submits_make_one_post(database: Database, make_user: MakeUser) -> None:
    author = await make_user()
    made = await asyncio.gather(*(publish(database, author, "image", idempotency_key="k") for _ in range(20)))
    assert len({post.id for post in made}) == 1
    other = await publish(database, await make_user(), "image", idempotency_key="k")
    assert other.id != made[0].id
    async with database.read() as reader:
        kept = (await reader.execute(select(Attachment.source_key).where(Attachment.post_id == made[0].id))).all()
        deleted = await reader.scalar(
            text("select count(*) from jobs where kind = 'media.delete_objects' and payload -> 'keys' ->> 0 <> :key"),
            {"key": kept[0].source_key},
        )
    assert len(kept) == 1
    assert deleted == 19


async def test_settling(database: Database, make_user: MakeUser) -> None:
    author = await make_user()
    post = await publish(database, author, "image", "image")
    await finish(database, post, "ready", "processing")
    assert (await card_of(database, post)).status == "processing"
    await finish(database, post, "ready", "failed")
    card = await card_of(database, post)
    assert (card.status, card.failure, card.pending) == ("failed", "File 2 of 2: It is broken.", [])
    assert card.text == post.text
    async with database.transaction() as db:
        await posts.retry(db, viewer_of(author), post.public_id)
    card = await card_of(database, post)
    assert (card.status, card.failure, card.pending) == ("processing", None, ["rendition", "embedding"])
    await finish(database, post, "ready", "ready")
    card = await card_of(database, post)
    assert (card.status, card.pending) == ("ready", ["embedding"])
    assert ("content.embed_post", "embed") in await jobs_for(database, post_id=post.id)
    async with database.transaction() as db:
        with pytest.raises(Conflict):
            await posts.retry(db, viewer_of(author), post.public_id)


async def test_editing_words(database: Database, make_user: MakeUser) -> None:
    author = await make_user()
    post = await publish(database, author, text="I like #cats", tags=["pets"])
    async with database.transaction() as db:
        edited = await edits.edit(db, viewer_of(author), post.public_id, Changes(text="I like #dogs", title="New"))
    card = await card_of(database, post)
    assert (card.title, card.text, card.tags) == ("New", "I like #dogs", ["pets", "dogs"])
    assert "/t/dogs" in card.text_html
    assert (edited.version, edited.visibility) == (2, "public")
    assert edited.updated_at > edited.created_at
    async with database.transaction() as db:
        await edits.edit(db, viewer_of(author), post.public_id, Changes(tags=[], visibility="private"))
    card = await card_of(database, post)
    assert (card.tags, card.visibility) == (["dogs"], "private")


async def test_editing_media(database: Database, make_user: MakeUser) -> None:
    author = await make_user()
    me = viewer_of(author)
    post = await publish(database, author, "image", "image", "image")
    await finish(database, post, "ready", "ready", "ready")
    one, two, three = [medium.id for medium in (await card_of(database, post)).media]
    async with database.transaction() as db:
        changes = Changes(order=[three, one], remove=[two], alts=["uno", "due", "tre"])
        await edits.edit(db, me, post.public_id, changes)
    card = await card_of(database, post)
    assert [(medium.id, medium.alt) for medium in card.media] == [(three, "tre"), (one, "uno")]
    assert card.status == "ready"
    async with database.transaction() as db:
        changes = Changes(files=[(stored("image"), "quattro")])
        await edits.edit(db, me, post.public_id, changes)
    card = await card_of(database, post)
    assert [medium.alt for medium in card.media] == ["tre", "uno", "quattro"]
    assert (card.status, card.pending) == ("processing", ["rendition", "embedding"])
    async with database.transaction() as db:
        bad = Changes(title="", remove=["x"], order=[one, one], alts=[""] * 9, files=[(stored("gif"), "")])
        with pytest.raises(BadInput) as caught:
            await edits.edit(db, me, post.public_id, bad)
    assert set(caught.value.fields or {}) == {"title", "remove", "order", "alts", "file"}
    async with database.transaction() as db:
        await edits.edit(db, me, post.public_id, Changes(remove=[medium.id for medium in card.media]))
    card = await card_of(database, post)
    assert (card.media_type, card.status, card.media) == ("text", "ready", [])


async def test_only_authors_change_their_posts(database: Database, make_user: MakeUser) -> None:
    post = await publish(database, await make_user())
    hidden = await publish(database, await make_user(), visibility="private")
    stranger = viewer_of(await make_user())
    async with database.transaction() as db:
        for public_id, error in ((post.public_id, Forbidden), (hidden.public_id, NotFound), ("nothing", NotFound)):
            with pytest.raises(error):
                await edits.edit(db, stranger, public_id, Changes(title="Mine"))
            with pytest.raises(error):
                await posts.delete(db, stranger, public_id)
            with pytest.raises(error):
                await posts.retry(db, stranger, public_id)


async def test_deleting_takes_everything_along(database: Database, make_user: MakeUser) -> None:
    author = await make_user()
    post = await publish(database, author, "image")
    await finish(database, post, "ready")
    async with database.transaction() as db:
        space = await db.scalar(
            text(
                "insert into embedding_spaces (name, profile, model, revision, dim)"
                " values ('text', 'test', 'test', 'test', 2) returning id"
            )
        )
        insert = text("insert into embeddings (space_id, post_id, vector) values (:space, :post, :vector)")
        await db.execute(insert, {"space": space, "post": post.id, "vector": bytes(8)})
    async with database.read() as reader:
        keys = {
            await reader.scalar(select(Attachment.source_key).where(Attachment.post_id == post.id)),
            await reader.scalar(select(Rendition.key).join(Attachment).where(Attachment.post_id == post.id)),
        }
        was = await reader.scalar(text("select change from embeddings where post_id = :id"), {"id": post.id})
    async with database.transaction() as db:
        await posts.delete(db, viewer_of(author), post.public_id)
    async with database.read() as reader:
        assert await load_cards(reader, author.id, [post.id]) == []
        row = (await reader.execute(text("select * from embeddings where post_id = :id"), {"id": post.id})).one()
        assert row.vector is None
        assert row.change > was
        query = text("select payload from jobs where kind = 'media.delete_objects' order by id desc limit 1")
        payload = await reader.scalar(query)
        assert set(payload["keys"]) == keys
