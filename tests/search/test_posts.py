"""Search finds words wherever they are, in the right order, and only what the viewer may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from tests.content.conftest import MakePost, MakeUser

from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.views import SearchItem
from strvsocial.db import Database
from strvsocial.errors import BadInput
from strvsocial.ids import new_id
from strvsocial.media.models import Attachment, TranscriptSegment
from strvsocial.search.posts import list_matches
from strvsocial.search.queries import parse
from strvsocial.users.models import User
from strvsocial.web.paging import Page
from strvsocial.web.viewers import Viewer

pytestmark = pytest.mark.usefixtures("clean")


async def search(
    database: Database, q: str, viewer: User | None = None, cursor: str | None = None, limit: int = 20, **filters: str
) -> Page[SearchItem]:
    who = Viewer(viewer.id, viewer.public_id, viewer.username, "", "", "member", "system") if viewer else None
    async with database.read() as reader:
        return await list_matches(reader, who, parse(q, **filters), cursor, limit)


def titles(page: Page[SearchItem]) -> list[str]:
    return [item.post.title for item in page.items]


async def tag(database: Database, post: Post, name: str) -> None:
    async with database.transaction() as db:
        row = Tag(name=name)
        db.add(row)
        await db.flush()
        db.add(PostTag(post_id=post.id, tag_id=row.id))


async def say(database: Database, post: Post, *segments: tuple[float, str]) -> None:
    async with database.transaction() as db:
        medium = Attachment(
            public_id=new_id(),
            post_id=post.id,
            kind="audio",
            status="ready",
            source_key=new_id(),
            source_mime="audio/mpeg",
            byte_size=1,
            sha256=b"0" * 32,
        )
        db.add(medium)
        await db.flush()
        for position, (start, text) in enumerate(segments):
            db.add(TranscriptSegment(attachment_id=medium.id, position=position, start=start, end=start + 4, text=text))


@pytest_asyncio.fixture
async def alice(make_user: MakeUser) -> User:
    return await make_user(username="alice", display_name="Alice Cooper")


async def test_words_are_found_in_every_field(database: Database, alice: User, make_post: MakePost) -> None:
    await make_post(alice, title="A red Bicycle in the rain")
    await make_post(alice, title="In the text", text="Behind the house stood my old bicycle, waiting.")
    tagged = await make_post(alice, title="In a tag")
    await tag(database, tagged, "bicycle")
    spoken = await make_post(alice, title="In speech", media_type="audio")
    await say(database, spoken, (0.0, "Good morning."), (12.5, "I went by bicycle today."), (20, "Bye, bicycles."))
    await make_post(alice, title="Something else")
    page = await search(database, "bicycle")
    found = {item.post.title: item for item in page.items}
    assert set(found) == {"A red Bicycle in the rain", "In the text", "In a tag", "In speech"}
    assert found["A red Bicycle in the rain"].highlight == "A red «Bicycle» in the rain"
    assert found["In the text"].matched == ["text"]
    assert found["In the text"].highlight == "Behind the house stood my old «bicycle», waiting."
    assert found["In a tag"].matched == ["tag"]
    assert found["In speech"].matched == ["transcript"]
    assert found["In speech"].at == 12.5
    assert found["In speech"].highlight == "I went by «bicycle» today."
    scores = [item.score for item in page.items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert titles(page)[0] == "A red Bicycle in the rain"


async def test_every_word_counts_and_may_be_in_another_field(
    database: Database, alice: User, make_user: MakeUser, make_post: MakePost
) -> None:
    await make_post(alice, title="Sunset by the sea")
    await make_post(await make_user(username="bob"), title="Sunset in the hills")
    assert titles(await search(database, "sunset sea")) == ["Sunset by the sea"]
    assert titles(await search(database, "cooper sunset")) == ["Sunset by the sea"]
    assert (await search(database, "cooper sunset")).items[0].matched == ["text", "author"]
    assert titles(await search(database, "sunset nothing")) == []


async def test_a_slip_of_the_pen_in_a_title_is_forgiven(database: Database, alice: User, make_post: MakePost) -> None:
    await make_post(alice, title="My trusty bicycle")
    assert titles(await search(database, "bycicle")) == []
    assert titles(await search(database, "bicycel")) == ["My trusty bicycle"]


async def test_authors_are_found_by_both_names(database: Database, alice: User, make_post: MakePost) -> None:
    await make_post(alice, title="Hello")
    for q in ("alice", "ALICE", "cooper"):
        page = await search(database, q)
        assert titles(page) == ["Hello"]
        assert page.items[0].matched == ["author"]


async def test_filters_narrow(database: Database, alice: User, make_user: MakeUser, make_post: MakePost) -> None:
    bob = await make_user(username="bob")
    now = datetime.now(UTC)
    old = await make_post(alice, title="old cat", created_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
    await make_post(bob, title="cat film", media_type="video", created_at=now)
    await make_post(bob, title="cat text", created_at=now - timedelta(minutes=1))
    await tag(database, old, "pets")
    assert titles(await search(database, "cat type:video")) == ["cat film"]
    assert titles(await search(database, "cat", media_type="video")) == ["cat film"]
    assert set(titles(await search(database, "cat from:bob"))) == {"cat film", "cat text"}
    assert titles(await search(database, "cat #pets")) == ["old cat"]
    assert titles(await search(database, "cat before:2026-01-31")) == ["old cat"]
    assert titles(await search(database, "cat before:2026-01-30")) == []
    assert "old cat" not in titles(await search(database, "cat", since="2026-01-31T12:00:01Z"))
    assert titles(await search(database, "from:bob")) == ["cat film", "cat text"]
    assert titles(await search(database, "")) == []
    assert titles(await search(database, "from:nobody cat")) == []


async def test_only_what_the_viewer_may_see(
    database: Database, alice: User, make_user: MakeUser, make_post: MakePost
) -> None:
    fan, stranger = await make_user(follows=(alice.id,)), await make_user()
    gone = await make_user(suspended_at=datetime.now(UTC))
    await make_post(alice, title="secret public")
    hidden = await make_post(alice, title="x", visibility="private")
    await say(database, hidden, (1.0, "the secret word"))
    await tag(database, hidden, "secret")
    await make_post(alice, title="secret followers", visibility="followers")
    await make_post(alice, title="secret processing", status="processing")
    await make_post(gone, title="secret suspended")
    assert titles(await search(database, "secret")) == ["secret public"]
    assert titles(await search(database, "secret", stranger)) == ["secret public"]
    assert set(titles(await search(database, "secret", fan))) == {"secret public", "secret followers"}
    assert set(titles(await search(database, "secret", alice))) == {"secret public", "secret followers", "x"}
    assert titles(await search(database, "tag:secret", stranger)) == []


async def test_pages_continue_each_other(database: Database, alice: User, make_post: MakePost) -> None:
    for number in range(25):
        await make_post(alice, title="pear " + "apple " * (number % 5) + str(number))
    whole = titles(await search(database, "pear", limit=100))
    assert len(whole) == 25
    paged: list[str] = []
    cursor: str | None = None
    while True:
        page = await search(database, "pear", cursor=cursor, limit=6)
        paged += titles(page)
        cursor = page.next
        if cursor is None:
            break
    assert paged == whole
    with pytest.raises(BadInput):
        await search(database, "pear", cursor="garbage")


@pytest.mark.parametrize(
    "q", ["%", "_", "100%", "a_b", "\\", "'; drop table posts; --", "(((", "[a-", "''", "<%", ":x"]
)
async def test_odd_characters_are_only_characters(q: str, database: Database, alice: User, make_post: MakePost) -> None:
    await make_post(alice, title="Plain words")
    await make_post(alice, title=f"It says {q} here")
    assert "Plain words" not in titles(await search(database, q))
