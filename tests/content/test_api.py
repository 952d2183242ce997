"""Posts through the front door: every route, every kind of viewer, and what bad input gets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, text
from tests.front_door import Member, Site

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
GIF = b"GIF89a" + bytes(64)
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(64)
MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(64)
FILES = {"image": PNG, "gif": GIF, "audio": WAV, "video": MP4}
FIELDS = {
    *("id", "url", "author", "title", "text", "tags", "visibility", "media_type", "status", "pending", "failure"),
    *("media", "created_at", "updated_at", "counts", "viewer"),
}


async def publish(member: Member, **fields: Any) -> dict[str, Any]:
    answer = await member.api("POST", "/posts", json={"title": "Hello", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def count(site: Site, query: str, **parameters: Any) -> int:
    async with site.database.read() as reader:
        return int((await reader.execute(text(query), parameters)).scalar_one())


def stored_files(site: Site) -> set[str]:
    folder = site.settings.data_dir
    return {str(path) for path in folder.rglob("*") if path.is_file() and "originals" in path.parts}


@pytest.fixture
def statements(site: Site) -> Iterator[list[str]]:
    """The SQL that the site sends while the test runs."""
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2])

    event.listen(site.database.engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(site.database.engine.sync_engine, "before_cursor_execute", note)


async def test_a_text_from_birth_to_death(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    made = await publish(alice, text="I like **#cats**", tags=["Pets"], visibility="public")
    assert set(made) == FIELDS
    assert made["author"]["username"] == alice.username
    assert made["counts"] == {"likes": 0, "comments": 0, "saves": 0, "reposts": 0, "views": 0}
    assert {"liked": False, "saved": False, "reposted": False}.items() <= made["viewer"].items()
    assert (made["media_type"], made["status"], made["pending"]) == ("text", "ready", ["embedding"])
    assert (made["tags"], made["url"]) == (["pets", "cats"], f"/p/{made['id']}")
    assert datetime.fromisoformat(made["created_at"]).utcoffset() is not None
    path = f"/posts/{made['id']}"
    shown = await site.anonymous.get(f"/api/v1{path}")
    assert (shown.status_code, shown.json()["text"]) == (200, "I like **#cats**")
    edited = await alice.api("PATCH", path, json={"title": "New", "tags": []})
    assert (edited.status_code, edited.json()["title"], edited.json()["tags"]) == (200, "New", ["cats"])
    assert edited.json()["text"] == made["text"]
    assert (await bob.api("DELETE", path)).status_code == 403
    assert (await alice.api("DELETE", path)).status_code == 204
    assert (await alice.api("GET", path)).status_code == 404
    assert (await alice.api("DELETE", path)).status_code == 404


@pytest.mark.parametrize("kind", list(FILES))
async def test_media_are_kept_and_wait(site: Site, kind: str) -> None:
    alice = await site.member("alice")
    number = 3 if kind == "image" else 1
    files = [("file", (f"lie-{n}.txt", FILES[kind], "text/plain")) for n in range(number)]
    data = {"title": "Media", "alt": ["first"], "tags": ["a", "b"]}
    answer = await alice.api("POST", "/posts", data=data, files=files)
    assert answer.status_code == 201, answer.text
    post = answer.json()
    assert (post["media_type"], post["status"], post["tags"]) == (kind, "processing", ["a", "b"])
    assert [medium["alt"] for medium in post["media"]] == ["first", "", ""][:number]
    ids = [medium["id"] for medium in post["media"]]
    if kind == "image":
        changes = {"order": [ids[2], ids[0]], "remove": [ids[1]], "alt": "new"}
        answer = await alice.api("PATCH", f"/posts/{post['id']}", data=changes, files=[("file", ("x", PNG))])
        assert answer.status_code == 200, answer.text
        media = answer.json()["media"]
        assert [medium["id"] for medium in media[:2]] == [ids[2], ids[0]]
        assert (len(media), media[2]["alt"]) == (3, "new")
        answer = await alice.api("PATCH", f"/posts/{post['id']}", json={"alts": ["uno", "due"]})
        assert [medium["alt"] for medium in answer.json()["media"]] == ["uno", "due", "new"]
    assert (await alice.api("DELETE", f"/posts/{post['id']}")).status_code == 204


ACTIONS = {
    "show": ("GET", "", None),
    "embeddings": ("GET", "/embeddings", None),
    "vectors": ("GET", "/embeddings?vectors=true", None),
    "edit": ("PATCH", "", {"title": "Changed"}),
    "retry": ("POST", "/retry", None),
    "delete": ("DELETE", "", None),
}
SEES = {"public": {"anonymous", "other", "follower", "admin"}, "followers": {"follower"}, "private": set()}
ALLOWED = {"show": 200, "embeddings": 200, "vectors": 200, "edit": 200, "retry": 409, "delete": 204}


@pytest.mark.parametrize("visibility", list(SEES))
async def test_every_route_for_every_viewer(site: Site, visibility: str) -> None:
    author, other, follower = await site.member("author"), await site.member("other"), await site.member("follower")
    admin = await site.member("admin")
    await site.make_admin(admin)
    suspended = await site.member("suspended")
    async with site.database.transaction() as db:
        statement = "insert into follows (follower_id, followed_id) values (:follower, :author)"
        await db.execute(text(statement), {"follower": follower.id, "author": author.id})
        await db.execute(text("update users set suspended_at = now() where id = :id"), {"id": suspended.id})
    viewers = {"other": other, "follower": follower, "admin": admin, "suspended": suspended, "author": author}
    post = await publish(author, visibility=visibility)
    for action, (method, ending, body) in ACTIONS.items():
        path = f"/api/v1/posts/{post['id']}{ending}"
        answers = {"anonymous": (await site.anonymous.request(method, path, json=body)).status_code}
        for name, member in viewers.items():
            if name == "admin" and action == "delete":
                continue
            answers[name] = (await member.client.request(method, path, json=body)).status_code
        reading = action in ("show", "embeddings", "vectors")
        assert answers.pop("author") == ALLOWED[action]
        assert answers.pop("suspended") == 401
        if not reading:
            assert answers.pop("anonymous") == 401
        for name, status in answers.items():
            if name not in SEES[visibility]:
                assert status == 404, (action, name)
            elif reading and (action != "vectors" or name == "admin"):
                assert status == 200, (action, name)
            else:
                assert status == 403, (action, name)
    post = await publish(author, visibility=visibility)
    expected = 204 if "admin" in SEES[visibility] else 404
    assert (await admin.api("DELETE", f"/posts/{post['id']}")).status_code == expected
    async with site.database.transaction() as db:
        await db.execute(text("update users set suspended_at = now() where id = :id"), {"id": author.id})
    assert (await other.api("GET", f"/posts/{post['id']}")).status_code == 404
    assert (await other.api("GET", f"/users/{author.username}/posts")).status_code == 404


async def test_lists_hold_what_one_may_see(site: Site, statements: list[str]) -> None:
    author, follower = await site.member("author"), await site.member("follower")
    await follower.api("PUT", f"/users/{author.username}/follow")
    for visibility in ("public", "followers", "private"):
        await publish(author, title=visibility, visibility=visibility)

    async def titles(client: Any, path: str) -> list[str]:
        statements.clear()
        answer = await client.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        assert len([one for one in statements if "from posts" in one.lower()]) == 1
        assert len(statements) <= 2  # One finds out who is asking.
        return [item.get("post", item)["title"] for item in answer.json()["items"]]

    own = f"/users/{author.username}/posts"
    assert await titles(author.client, own) == ["private", "followers", "public"]
    assert await titles(follower.client, own) == ["followers", "public"]
    assert await titles(site.anonymous, own) == ["public"]
    assert await titles(follower.client, "/feeds/following") == ["followers", "public"]
    assert (await titles(follower.client, "/feeds/latest?limit=2")) == ["followers", "public"]
    assert (await site.anonymous.get("/api/v1/feeds/following")).status_code == 401
    item = (await follower.api("GET", "/feeds/following")).json()["items"][0]
    assert item["reason"]["kind"] == "following"
    assert author.username in item["reason"]["text"]
    assert (await follower.api("GET", "/users/nobody-here/posts")).status_code == 404
    first = (await author.api("GET", f"{own}?limit=1")).json()
    second = (await author.api("GET", f"{own}?limit=2&cursor={first['next']}")).json()
    assert [item["title"] for item in second["items"]] == ["followers", "public"]
    assert second["next"] is None
    for bad in ("limit=0", "limit=101", "limit=x", "cursor=x"):
        assert (await author.api("GET", f"/feeds/latest?{bad}")).status_code == 422
    answer = await author.api("GET", "/feeds/latest?media_type=poem")
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"media_type"})


async def test_twenty_equal_submits_are_one_post(site: Site) -> None:
    alice = await site.member("alice")
    before = stored_files(site)

    async def submit() -> Any:
        headers = {"Idempotency-Key": "once"}
        data, files = {"title": "Once"}, {"file": ("a.png", PNG)}
        return await alice.api("POST", "/posts", data=data, files=files, headers=headers)

    answers = await asyncio.gather(*(submit() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert await count(site, "select count(*) from posts where author_id = :id", id=alice.id) == 1
    lost = stored_files(site) - before
    doomed = await count(
        site,
        "select count(*) from jobs, jsonb_array_elements_text(payload -> 'keys') as key"
        " where kind = 'media.delete_objects' and :names like '%' || split_part(key, '/', 2) || '%'",
        names=" ".join(lost),
    )
    assert (len(lost), doomed) == (20, 19)


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({}, {"title"}),
        ({"title": "", "text": "x" * 5001}, {"title", "text"}),
        ({"title": "x" * 100_000}, {"title"}),
        ({"title": "a\x00b"}, {"title"}),
        ({"title": 5, "colour": "red", "tags": [1]}, {"title", "colour", "tags"}),
        ({"title": "x", "visibility": "secret", "tags": ["a!"]}, {"visibility", "tags"}),
        ({"title": "x", "alt": ["of nothing"]}, {"alt"}),
        ({"title": "x", "tags": ["x"] * 101}, {"tags"}),
        ({"title": "x", "file": "x"}, {"file"}),
    ],
)
async def test_every_bad_field_is_named(site: Site, body: dict[str, Any], bad: set[str]) -> None:
    alice = await site.cast("alice")
    answer = await alice.api("POST", "/posts", json=body)
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, bad)


async def test_bad_bodies_change_nothing(site: Site) -> None:
    alice = await site.member("alice")
    before = stored_files(site)
    cases: list[tuple[int, dict[str, Any]]] = [
        (422, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        (422, {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
        (422, {"json": [1]}),
        (415, {"content": b"hello", "headers": {"Content-Type": "text/plain"}}),
        (413, {"content": b'"' + b"x" * 1_000_001 + b'"', "headers": {"Content-Type": "application/json"}}),
        (422, {"data": {"title": ["a", "b"]}}),
        (422, {"data": {"title": "x", "colour": "red"}}),
        (422, {"data": {"title": "x"}, "files": [("file", ("a.png", PNG)), ("file", ("b.gif", GIF))]}),
        (422, {"data": {"title": ""}, "files": [("file", ("a.png", PNG))]}),
        (422, {"data": {"title": "x"}, "files": [("file", ("a.png", PNG))] * 11}),
        (422, {"data": {"title": "x"}, "files": [("file", ("a.png", b""))]}),
        (415, {"data": {"title": "x"}, "files": [("file", ("a.png", b"<svg/>"))]}),
        (422, {"data": {"title": "x"}, "headers": {"Idempotency-Key": "k" * 201}}),
    ]
    for status, options in cases:
        answer = await alice.api("POST", "/posts", **options)
        assert answer.status_code == status, (options.get("data"), answer.text)
    assert await count(site, "select count(*) from posts where author_id = :id", id=alice.id) == 0
    assert stored_files(site) == before
    assert (await site.anonymous.post("/api/v1/posts", json={"title": "x"})).status_code == 401


async def test_bad_edits_change_nothing(site: Site) -> None:
    alice = await site.member("alice")
    post = await publish(alice)
    path = f"/posts/{post['id']}"
    for body, bad in (
        ({"title": " ", "colour": "x"}, {"colour"}),
        ({"title": " ", "alts": ["x"]}, {"title", "alts"}),
        ({"remove": ["x"], "order": ["y"]}, {"remove", "order"}),
        ({"visibility": "x", "tags": ["a b!"]}, {"visibility", "tags"}),
    ):
        answer = await alice.api("PATCH", path, json=body)
        assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, bad)
    assert (await alice.api("GET", path)).json() == post
    assert (await alice.api("PATCH", path, json={})).status_code == 200


async def test_failed_media_can_be_tried_again(site: Site) -> None:
    alice = await site.member("alice")
    answer = await alice.api("POST", "/posts", data={"title": "x", "text": "Kept"}, files={"file": ("a.png", PNG)})
    path = f"/posts/{answer.json()['id']}"
    async with site.database.transaction() as db:
        query = "select id, post_id from attachments where public_id = :id"
        medium = (await db.execute(text(query), {"id": answer.json()["media"][0]["id"]})).one()
        await db.execute(
            text("update jobs set state = 'dead' where payload ->> 'attachment_id' = :id"), {"id": str(medium.id)}
        )
        failed = "update attachments set status = 'failed', failure = 'It is broken.' where id = :id"
        await db.execute(text(failed), {"id": medium.id})
        await db.execute(
            text("update posts set status = 'failed', failure = 'x' where id = :id"), {"id": medium.post_id}
        )
    answer = await alice.api("POST", f"{path}/retry")
    assert (answer.status_code, answer.json()["status"], answer.json()["failure"]) == (200, "processing", None)
    assert answer.json()["text"] == "Kept"
    queued = "select count(*) from jobs where state = 'queued' and payload ->> 'attachment_id' = :id"
    assert await count(site, queued, id=str(medium.id)) == 1


async def test_vectors_are_shown_to_authors(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    post = await publish(alice)
    async with site.database.transaction() as db:
        space = await db.scalar(
            text(
                "insert into embedding_spaces (name, profile, model, revision, dim, state) values ('sound', 'test',"
                " 'tiny', '1', 2, case when exists (select from embedding_spaces where name = 'sound' and"
                " state = 'active') then 'retired' else 'active' end) returning id"
            )
        )
        query = "insert into embeddings (space_id, post_id, vector) select :space, id, :vector from posts where public_id = :id"
        vector = b"\x00\x00\x80\x3f\x00\x00\x00\xbf"
        await db.execute(text(query), {"space": space, "vector": vector, "id": post["id"]})
    path = f"/posts/{post['id']}/embeddings"
    assert (await bob.api("GET", path)).json()["items"] == [{"space": "sound", "model": "tiny", "dim": 2}]
    shown = (await alice.api("GET", f"{path}?vectors=true")).json()["items"]
    assert shown == [{"space": "sound", "model": "tiny", "dim": 2, "vector": [1.0, -0.5]}]
    async with site.database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired' where id = :id"), {"id": space})


async def test_views_count_once_an_hour(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    post, hidden = await publish(alice), await publish(alice, visibility="private")

    def opened(*ids: str) -> dict[str, Any]:
        return {"items": [{"post": one, "kind": "open", "source": "feed", "position": 3} for one in ids]}

    async def views() -> int:
        return int((await alice.api("GET", f"/posts/{post['id']}")).json()["counts"]["views"])

    reports = [
        bob.api("POST", "/interactions", json=opened(post["id"], post["id"], hidden["id"], "x")) for _ in range(8)
    ]
    assert {answer.status_code for answer in await asyncio.gather(*reports)} == {204}
    assert await views() == 1
    nobody, somebody = site.client(headers={"User-Agent": "One"}), site.client(headers={"User-Agent": "Two"})
    for client in (nobody, nobody, somebody):
        assert (await client.post("/api/v1/interactions", json=opened(post["id"]))).status_code == 204
    assert await views() == 3
    async with site.database.transaction() as db:
        await db.execute(
            text("update interactions set created_at = now() - interval '2 hours' where user_id = :id"), {"id": bob.id}
        )
    await bob.api("POST", "/interactions", json=opened(post["id"]))
    assert await views() == 4
    assert await count(site, "select count(*) from interactions where user_id = :id", id=bob.id) == 17
    for bad in (
        {"items": [{"post": post["id"], "kind": "like"}]},
        {"items": [{"post": post["id"], "kind": "open", "colour": "red"}]},
        {"items": [{"post": post["id"], "kind": "dwell", "value": -1}]},
        {"items": [{"post": post["id"], "kind": "open", "source": "<b>"}]},
        {"items": [{"post": "x", "kind": "open"}] * 51},
        {},
    ):
        assert (await bob.api("POST", "/interactions", json=bad)).status_code == 422


async def test_the_document_says_what_posts_take(site: Site) -> None:
    document = (await site.anonymous.get("/schema/openapi.json")).json()
    publishing = document["paths"]["/api/v1/posts"]["post"]
    assert set(publishing["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
        "application/x-www-form-urlencoded",
    }
    schema = publishing["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"title", "text", "tags", "visibility", "file", "alt"} <= set(schema["properties"])
    assert {"201", "401", "413", "415", "422"} <= set(publishing["responses"])
    for path, method in (
        ("/posts/{post_id}", "get"),
        ("/posts/{post_id}", "patch"),
        ("/posts/{post_id}", "delete"),
        ("/posts/{post_id}/embeddings", "get"),
        ("/posts/{post_id}/retry", "post"),
        ("/users/{username}/posts", "get"),
        ("/feeds/latest", "get"),
        ("/feeds/following", "get"),
        ("/interactions", "post"),
    ):
        assert document["paths"][f"/api/v1{path}"][method]["summary"]
    assert "text_html" not in str(document)


async def test_finished_uploads_become_media(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")

    async def upload(member: Member) -> str:
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(PNG))}
        made = await member.api("POST", "/uploads", headers=headers)
        assert made.status_code == 201, made.text
        place = str(made.headers["location"])
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        }
        assert (await member.client.patch(place, content=PNG, headers=headers)).status_code == 204
        return place.rsplit("/", 1)[1]

    uploads = [await upload(alice), await upload(alice)]
    for wrong in ([*uploads, uploads[0]], [await upload(bob)], ["nothing"]):
        answer = await alice.api("POST", "/posts", json={"title": "x", "upload": wrong})
        assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"upload"})
    body = {"title": "Uploaded", "upload": uploads, "alt": ["one", "two"]}
    headers = {"Idempotency-Key": "uploads"}
    answers = [await alice.api("POST", "/posts", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].text == answers[1].text
    assert [medium["alt"] for medium in answers[0].json()["media"]] == ["one", "two"]
    answer = await alice.api("POST", "/posts", json={**body, "title": "Again"})
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"upload"})
    data = {"title": "Plain form", "upload": "", "alt": "", "tags": ""}
    assert (await alice.api("POST", "/posts", data=data)).status_code == 201
    twice = [await alice.api("POST", "/posts", data={**data, "idempotency_key": "form"}) for _ in range(2)]
    assert twice[0].json()["id"] == twice[1].json()["id"]
