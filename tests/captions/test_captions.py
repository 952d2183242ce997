"""Captions through the front door: who reads them, who changes them, and what a change changes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.front_door import Member, Site

from strvsocial.content.embedding_rows import load_posts, save_heard
from strvsocial.embeddings.findings import Segment
from strvsocial.embeddings.inputs import Analysis, Heard
from strvsocial.embeddings.pipeline import Keys
from strvsocial.ids import new_id

SPOKEN = [Segment(0.5, 2.0, "Waiting for <Godot>"), Segment(2.5, 4.0, "Nothing to be done")]
WORDS = "Waiting for <Godot> Nothing to be done"


class Talk:
    """A post with ten seconds of speech, as the worker and the embedder leave it."""

    def __init__(self, site: Site, author: Member, post_id: str, medium_id: str, ids: tuple[int, int]) -> None:
        self.site, self.author, self.id, self.medium_id = site, author, post_id, medium_id
        self.post_number, self.attachment_number = ids
        self.file = f"/media/{medium_id}/captions.vtt"

    async def change(self, **change: Any) -> httpx.Response:
        return await self.author.api("PATCH", f"/posts/{self.id}/captions", json=change)

    async def read(self, member: Member | None = None) -> httpx.Response:
        client = member.client if member else self.site.anonymous
        return await client.get(f"/api/v1/posts/{self.id}/captions")

    async def embedded_words(self) -> str:
        async with self.site.database.read() as reader:
            [post] = await load_posts(reader, [self.post_number], Keys("look", "speech", "sound"))
        return post.attachments[0].transcript


@pytest_asyncio.fixture
async def talk(site: Site) -> Talk:
    return await make_talk(site, await site.member("alice"))


async def make_talk(site: Site, author: Member, visibility: str = "public") -> Talk:
    answer = await author.api("POST", "/posts", json={"title": "A reading", "visibility": visibility})
    post_id, medium_id = answer.json()["id"], new_id()
    async with site.database.transaction() as db:
        made = text("update posts set media_type = 'audio', pending = '{}' where public_id = :id returning id")
        number = await db.scalar(made, {"id": post_id})
        attachment = text(
            "insert into attachments (public_id, post_id, kind, status, source_key, source_mime, byte_size, sha256,"
            " duration, has_audio, language) values (:medium, :post, 'audio', 'ready', :key, 'audio/mpeg', 1, ''::bytea,"
            " 10, true, 'en') returning id"
        )
        values = {"medium": medium_id, "post": number, "key": f"originals/{medium_id}"}
        attachment_number = await db.scalar(attachment, values)
    await hear(site, attachment_number)
    return Talk(site, author, post_id, medium_id, (number, attachment_number))


async def hear(site: Site, attachment_number: int, segments: list[Segment] = SPOKEN) -> bool:
    details = {"heard": 160_000, "position": len(segments), "language": "en", "speech": True, "complete": True}
    return await save_heard(site.database, attachment_number, Heard(Analysis("speech", None, details), 0, segments))


async def test_captions_are_read_and_played(site: Site, talk: Talk) -> None:
    told = (await talk.read()).json()
    assert told == {
        "language": "en",
        "edited": False,
        "shown": True,
        "segments": [
            {"start": 0.5, "end": 2.0, "text": "Waiting for <Godot>"},
            {"start": 2.5, "end": 4.0, "text": "Nothing to be done"},
        ],
    }
    [medium] = (await site.anonymous.get(f"/api/v1/posts/{talk.id}")).json()["media"]
    assert (medium["captions_url"], medium["language"], medium["transcript"]) == (talk.file, "en", WORDS)
    played = await site.anonymous.get(talk.file)
    assert played.headers["content-type"] == "text/vtt; charset=utf-8"
    assert played.text.startswith("WEBVTT\n\n00:00:00.500 --> 00:00:02.000\nWaiting for &lt;Godot&gt;\n")
    again = await site.anonymous.get(talk.file, headers={"If-None-Match": played.headers["etag"]})
    assert again.status_code == 304


async def test_the_page_has_a_transcript_whose_times_are_links(site: Site, talk: Talk) -> None:
    page = (await site.anonymous.get(f"/p/{talk.id}?t=2.5&end=4")).text
    assert "Waiting for &lt;Godot&gt;" in page
    assert f'href="/p/{talk.id}?t=2.5"' in page
    assert '#t=2.5,4"' in page
    assert f"/p/{talk.id}/captions" not in page
    assert "Waiting for" in (await site.anonymous.get(f"/p/{talk.id}/similar")).text
    assert f"/p/{talk.id}/captions" in (await talk.author.browser.get(f"/p/{talk.id}")).text


@pytest.mark.parametrize("visibility", ["public", "followers", "private"])
async def test_captions_are_seen_by_those_who_see_the_post(site: Site, visibility: str) -> None:
    author, follower, other = [await site.member(name) for name in ("author", "follower", "other")]
    await follower.api("PUT", f"/users/{author.username}/follow")
    talk = await make_talk(site, author, visibility)
    allowed = {"public": (author, follower, other, None), "followers": (author, follower), "private": (author,)}
    for member in (author, follower, other, None):
        client = member.client if member else site.anonymous
        browser = member.browser if member else site.anonymous
        right = 200 if member in allowed[visibility] else 404
        assert (await client.get(talk.file)).status_code == right
        assert (await talk.read(member)).status_code == right
        assert (await browser.get(f"/p/{talk.id}/transcript")).status_code == right
        written = 200 if member is author else (401 if member is None else 403 if right == 200 else 404)
        answer = await client.patch(f"/api/v1/posts/{talk.id}/captions", json={"language": "en"})
        assert answer.status_code == written
        if member is not author:
            assert (await client.delete(f"/api/v1/posts/{talk.id}/captions")).status_code == written
            form = await browser.post(f"/p/{talk.id}/captions", data={"again": "yes"})
            assert form.status_code == (303 if member is None else written)
            if member is None:
                assert form.headers["location"].startswith("/login")
            assert (await browser.get(f"/p/{talk.id}/captions")).status_code == (303 if member is None else written)
    assert (await talk.read(author)).json()["segments"][0]["text"] == SPOKEN[0].text


async def test_a_correction_is_kept_whatever_is_heard_later(site: Site, talk: Talk) -> None:
    answer = await talk.change(
        segments=[{"start": 3, "end": 4, "text": " Second "}, {"start": 0, "end": 2, "text": "First"}]
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["edited"], [one["text"] for one in answer.json()["segments"]]) == (True, ["First", "Second"])
    assert not await hear(site, talk.attachment_number)
    assert await talk.embedded_words() == "First Second"
    async with site.database.read() as reader:
        jobs = await reader.scalar(
            text("select count(*) from jobs where kind = 'content.embed_post' and payload->>'post_id' = :id"),
            {"id": str(talk.post_number)},
        )
    assert jobs == 1


async def test_captions_that_are_off_are_the_authors_alone(site: Site, talk: Talk) -> None:
    assert (await talk.change(shown=False)).status_code == 200
    assert (await talk.read()).status_code == 404
    assert (await site.anonymous.get(talk.file)).status_code == 404
    [medium] = (await site.anonymous.get(f"/api/v1/posts/{talk.id}")).json()["media"]
    assert (medium["captions_url"], medium["transcript"]) == (None, None)
    assert "Godot" not in (await site.anonymous.get(f"/p/{talk.id}")).text
    assert talk.id not in await found_by_words(site)
    assert await talk.embedded_words() == ""
    assert (await talk.read(talk.author)).json()["shown"] is False
    await talk.change(shown=True)
    assert (await found_by_words(site))[talk.id] == 0.5
    assert await talk.embedded_words() == WORDS


async def found_by_words(site: Site) -> dict[str, float]:
    found = (await site.anonymous.get("/api/v1/search?q=godot&limit=100")).json()["items"]
    return {item["post"]["id"]: item["at"] for item in found}


async def test_a_file_takes_the_place_of_all_lines(talk: Talk) -> None:
    subrip = "1\n00:00:01,000 --> 00:00:02,000\nFrom a file\n"
    form = {"file": ("lines.srt", subrip.encode(), "application/x-subrip")}
    answer = await talk.author.browser.post(f"/p/{talk.id}/captions", files=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/p/{talk.id}")
    assert [one["text"] for one in (await talk.read()).json()["segments"]] == ["From a file"]
    for bad in (b"", b"nothing", b"\x00\xff" * 100, b"1\n00:00:01,000 --> 00:00:02,000\n" + b"x" * 1_000_001):
        answer = await talk.author.browser.post(f"/p/{talk.id}/captions", files={"file": ("a.srt", bad)})
        assert answer.status_code == 422
        assert 'id="file-error"' in answer.text
    assert [one["text"] for one in (await talk.read()).json()["segments"]] == ["From a file"]


async def test_lines_are_edited_by_a_plain_form(talk: Talk) -> None:
    page = (await talk.author.browser.get(f"/p/{talk.id}/captions")).text
    assert 'value="0:00.5"' in page
    rows = {
        "start": ["0:00.5", "0:02.5", "", "5"],
        "end": ["0:02", "0:04", "", "6.5"],
        "text": ["One", "", "", "Three"],
    }
    answer = await talk.author.browser.post(f"/p/{talk.id}/captions", data={**rows, "language": "de", "shown": "on"})
    assert answer.status_code == 303, answer.text
    told = (await talk.read()).json()
    assert (told["language"], [tuple(one.values()) for one in told["segments"]]) == (
        "de",
        [(0.5, 2.0, "One"), (5.0, 6.5, "Three")],
    )
    wrong = {"start": "soon", "end": "0:02", "text": "kept <b>words</b>", "shown": "on"}
    answer = await talk.author.browser.post(f"/p/{talk.id}/captions", data=wrong)
    assert answer.status_code == 422
    assert "Caption 1: write times as" in answer.text
    assert "kept &lt;b&gt;words&lt;/b&gt;" in answer.text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"segments": [{"start": 2, "end": 2, "text": "x"}]}, "segments"),
        ({"segments": [{"start": 1, "end": 12, "text": "x"}]}, "segments"),
        ({"segments": [{"start": -1, "end": 2, "text": "x"}]}, "segments"),
        ({"segments": [{"start": 1, "end": 2, "text": "x" * 501}]}, "segments"),
        ({"segments": [{"start": 1, "end": 2, "text": "x", "id": 1}]}, "segments"),
        ({"segments": [], "file": "WEBVTT"}, "file"),
        ({"file": "WEBVTT"}, "file"),
        ({"language": "klingon!"}, "language"),
        ({"shown": "maybe"}, "shown"),
        ({"captions_by": "machine"}, "captions_by"),
    ],
)
async def test_bad_changes_change_nothing(talk: Talk, change: dict[str, Any], field: str) -> None:
    answer = await talk.change(**change)
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["error"]["fields"]
    assert [one["text"] for one in (await talk.read()).json()["segments"]] == [one.text for one in SPOKEN]


async def test_listening_again_forgets_corrections(site: Site, talk: Talk) -> None:
    await talk.change(segments=[{"start": 0, "end": 1, "text": "Mine"}])
    assert (await talk.author.api("DELETE", f"/posts/{talk.id}/captions")).status_code == 204
    assert (await talk.read()).json()["segments"] == []
    assert (await talk.author.api("GET", f"/posts/{talk.id}")).json()["pending"] == ["captions", "embedding"]
    assert "Listening for speech" in (await talk.author.browser.get(f"/p/{talk.id}")).text
    async with site.database.read() as reader:
        left = text("select count(*) from attachment_analyses where attachment_id = :id")
        assert await reader.scalar(left, {"id": talk.attachment_number}) == 0
    assert await hear(site, talk.attachment_number)
    assert [one["text"] for one in (await talk.read()).json()["segments"]] == [one.text for one in SPOKEN]


async def test_where_nobody_speaks_only_the_author_is_told(site: Site, talk: Talk) -> None:
    await talk.change(segments=[])
    assert "Transcript" not in (await site.anonymous.get(f"/p/{talk.id}")).text
    assert "Nobody was heard speaking." in (await talk.author.browser.get(f"/p/{talk.id}")).text


async def test_a_post_without_sound_has_no_captions(site: Site) -> None:
    author = await site.member("alice")
    post = (await author.api("POST", "/posts", json={"title": "Words"})).json()["id"]
    assert (await author.api("GET", f"/posts/{post}/captions")).status_code == 404
    assert (await author.api("PATCH", f"/posts/{post}/captions", json={"shown": False})).status_code == 404
    assert (await author.browser.get(f"/p/{post}/captions")).status_code == 404
