"""The demo content is complete, loads once, and goes without a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from sqlalchemy import func, select

from strvsocial.content.models import Post
from strvsocial.db import Database
from strvsocial.demo import loading
from strvsocial.demo.cast import CAST
from strvsocial.demo.films import FILMS, GIFS
from strvsocial.demo.loading import clear, list_missing, load
from strvsocial.demo.pictures import PICTURES
from strvsocial.demo.posts import POSTS
from strvsocial.demo.sounds import SOUNDS
from strvsocial.media.models import Attachment
from strvsocial.settings import Settings
from strvsocial.storage import open_storage
from strvsocial.users.models import Follow, User


def test_there_are_enough_posts_of_every_kind_by_enough_people() -> None:
    kinds = Counter(post.media[0][0].split(":")[0] if post.media else "words" for post in POSTS)
    assert len(POSTS) >= 60
    assert set(kinds) == {"words", "picture", "gif", "sound", "film"}
    assert min(kinds.values()) >= 6
    assert len({post.author for post in POSTS}) >= 8


def test_everything_that_is_named_can_be_made() -> None:
    makers: dict[str, Mapping[str, object]] = {"picture": PICTURES, "gif": GIFS, "sound": SOUNDS, "film": FILMS}
    for post in POSTS:
        for name, alt in post.media:
            kind, subject = name.split(":")
            assert subject in makers[kind], name
            assert alt or kind == "sound", f"{name} has no alternative text"
    names = {person.username for person in CAST}
    assert {post.author for post in POSTS} <= names
    assert {name for person in CAST for name in person.follows} <= names
    assert {person.portrait for person in CAST} <= set(PICTURES)
    assert {film.sound for film in FILMS.values() if film.sound} <= set(SOUNDS)


@pytest.mark.usefixtures("clean")
async def test_it_loads_once_and_is_cleared(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of each kind: the words of an author, a picture, a GIF, a sound and a film.
    chosen = {
        next(post for post in POSTS if post.media and post.media[0][0].startswith(kind))
        for kind in ("picture", "gif", "sound", "film")
    }
    chosen.add(POSTS[0])
    monkeypatch.setattr(loading, "POSTS", tuple(post for post in POSTS if post in chosen))
    titles: list[str] = []
    async with open_storage(settings) as storage:
        assert await load(database, storage, settings, lambda _done, _total, title: titles.append(title)) == 5
        assert await load(database, storage, settings, lambda *_: None) == 0
    assert len(titles) == 5
    async with database.read() as reader:
        assert await reader.scalar(select(func.count()).select_from(Post).where(Post.is_demo)) == 5
        assert await reader.scalar(select(func.count()).select_from(Attachment)) == 4
        assert await reader.scalar(select(func.count()).select_from(Follow))
        undressed = await reader.scalar(select(func.count()).where(User.is_demo, User.display_name == ""))
        assert undressed == 0
    assert await list_missing(database) == []
    assert await clear(database) == len({post.author for post in chosen})
    async with database.read() as reader:
        assert await reader.scalar(select(func.count()).select_from(Post)) == 0
        assert await reader.scalar(select(func.count()).select_from(User)) == 0
