"""The JSON that clients build upon: keys, times, paging, uploads and tokens as the contract names them."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from sqlalchemy import text
from tests.contract.conftest import Worker
from tests.front_door import PASSWORD, Member, Site
from tests.vectors import DIM, add_space, make_vectors, put

USER = {"id", "username", "display_name", "bio", "avatar_url", "url", "created_at", "counts"}
AUTHOR = {"id", "username", "display_name", "avatar_url", "url"}
POST = {
    *("id", "url", "author", "title", "text", "tags", "visibility", "media_type", "status", "pending", "failure"),
    *("media", "created_at", "updated_at", "counts", "viewer"),
}
MEDIUM = {"id", "kind", "mime", "url", "alt", "placeholder", "variants"}
MAYBE = {"width", "height", "duration", "hls_url", "captions_url", "waveform_url", "transcript"}
MAYBE |= {"storyboard", "preview_url"}
TUS = {"Tus-Resumable": "1.0.0"}


def check_time(value: str) -> None:
    assert value.endswith(("Z", "+00:00"))
    assert "T" in value
    assert abs(datetime.now(UTC) - datetime.fromisoformat(value)) < timedelta(days=1)


def check_user(user: dict[str, Any]) -> None:
    assert set(user) >= USER
    assert set(user["counts"]) == {"posts", "followers", "following"}
    assert user["url"] == f"/u/{user['username']}"
    assert user["avatar_url"].startswith("/")
    check_time(user["created_at"])


def check_post(post: dict[str, Any]) -> None:
    assert set(post) >= POST
    assert set(post["author"]) >= AUTHOR
    assert post["url"] == f"/p/{post['id']}"
    assert set(post["counts"]) == {"likes", "comments", "saves", "reposts", "views"}
    assert all(isinstance(number, int) for number in post["counts"].values())
    assert set(post["viewer"]) >= {"liked", "saved", "reposted"}
    assert all(isinstance(said, bool) for said in post["viewer"].values())
    assert post["media_type"] in ("text", "image", "gif", "audio", "video")
    assert post["status"] in ("processing", "ready", "failed")
    assert set(post["pending"]) <= {"embedding", "rendition", "captions", "waveform"}
    assert post["visibility"] in ("public", "followers", "private")
    assert isinstance(post["tags"], list)
    check_time(post["created_at"])
    check_time(post["updated_at"])


def check_list(answer: dict[str, Any]) -> list[Any]:
    assert set(answer) == {"items", "next"}
    assert answer["next"] is None or isinstance(answer["next"], str)
    return list(answer["items"])


async def get(member: Member, path: str) -> Any:
    answer = await member.api("GET", path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


async def test_an_account_from_sign_up_to_its_end(site: Site) -> None:
    anyone = site.anonymous
    body = {"username": "Shapely.One", "email": "shapely@example.org", "password": PASSWORD}
    made = await anyone.post("/api/v1/accounts", json=body)
    assert made.status_code == 201
    check_user(made.json())
    assert (made.json()["username"], "email" in made.json()) == ("Shapely.One", False)
    wrong = await anyone.post("/api/v1/tokens", json={"email": body["email"], "password": "not this one"})
    assert wrong.status_code == 401
    answer = await anyone.post("/api/v1/tokens", json={"email": body["email"], "password": PASSWORD, "code": None})
    assert (answer.status_code, set(answer.json())) == (201, {"token"})
    client = site.client(headers={"Authorization": f"Bearer {answer.json()['token']}"})
    me = (await client.get("/api/v1/me")).json()
    check_user(me)
    change = {"username": "Shapely.Two", "bio": "B", "display_name": "D", "theme": "dark"}
    changed = (await client.patch("/api/v1/me", json=change)).json()
    check_user(changed)
    assert {name: changed[name] for name in change} == change
    assert changed["id"] == me["id"]
    check_user((await anyone.get("/api/v1/users/shapely.two")).json())
    assert (await anyone.get("/api/v1/users/shapely.one")).status_code == 404
    passwords = {"password": PASSWORD, "new_password": "another good password"}
    assert (await client.put("/api/v1/me/password", json=passwords)).status_code == 204
    email = {"password": "another good password", "email": "shapely.two@example.org"}
    assert (await client.put("/api/v1/me/email", json=email)).status_code == 204
    again = {"email": email["email"], "password": email["password"]}
    second = (await anyone.post("/api/v1/tokens", json=again)).json()["token"]
    other = site.client(headers={"Authorization": f"Bearer {second}"})
    assert (await other.delete("/api/v1/tokens/current")).status_code == 204
    assert (await other.get("/api/v1/me")).status_code == 401
    gone = await client.request("DELETE", "/api/v1/me", json={"password": email["password"]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await anyone.get("/api/v1/users/shapely.two")).status_code == 404
    assert (await client.get("/api/v1/me")).status_code == 401


async def test_lists_of_people(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    for _ in range(2):
        answer = await bob.api("PUT", f"/users/{alice.username}/follow")
        assert (answer.status_code, answer.content) == (204, b"")
    for path in (
        f"/users/{alice.username}/followers",
        f"/users/{bob.username}/following",
        f"/users?q={alice.username}",
    ):
        people = check_list(await get(bob, path))
        assert people
        for user in people:
            check_user(user)
    for _ in range(2):
        assert (await bob.api("DELETE", f"/users/{alice.username}/follow")).status_code == 204
    assert check_list(await get(bob, f"/users/{alice.username}/followers")) == []


@pytest.mark.parametrize("kind", ["image", "gif", "audio", "video"])
async def test_media_items(site: Site, working: Worker, media_files: dict[str, bytes], kind: str) -> None:
    alice = await site.member("alice")
    post = await working.publish(alice, [("file", media_files[kind])], alt="What one sees", tags=["a", "b"])
    check_post(post)
    assert (post["media_type"], post["status"], post["tags"], post["failure"]) == (kind, "ready", ["a", "b"], None)
    [medium] = post["media"]
    assert set(medium) >= MEDIUM | MAYBE
    assert (medium["kind"], medium["alt"]) == (kind, "What one sees")
    assert medium["variants"]
    for variant in medium["variants"]:
        assert {"url", "mime", "width", "height", "bitrate"} <= set(variant)
        answer = await site.anonymous.get(variant["url"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, variant["mime"])
    assert medium["url"] in {variant["url"] for variant in medium["variants"]}
    if kind != "audio":
        assert medium["width"] >= 160
        assert medium["placeholder"]
    if kind == "audio":
        drawn = (await site.anonymous.get(medium["waveform_url"])).json()
        assert drawn["duration"] == pytest.approx(medium["duration"], abs=0.01)
        assert 0 < len(drawn["peaks"]) <= 1_000
        assert 0 < len(medium["peaks"]) <= 160
        assert max(drawn["peaks"]) == 1
        assert max(medium["peaks"]) == 100
    else:
        assert (medium["waveform_url"], medium["peaks"]) == (None, [])
    if kind != "image":
        assert medium["duration"] == pytest.approx(1, abs=0.5)


async def test_feeds_search_and_similar_items(site: Site) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    await bob.api("PUT", f"/users/{alice.username}/follow")
    post = (await alice.api("POST", "/posts", json={"title": "Quixotic windmills", "tags": ["mills"]})).json()
    own = (await bob.api("POST", "/posts", json={"title": "Another"})).json()
    check_post(post)
    async with site.database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired'"))
    space = await add_space(site.database)
    async with site.database.read() as reader:
        statement = text("select id from posts where public_id = any(:ids)")
        ids = list((await reader.execute(statement, {"ids": [post["id"], own["id"]]})).scalars())
    await put(site.database, space, ids, make_vectors(1, dim=DIM)[[0, 0]])
    index = site.app.state.index
    await index.until(lambda: all(index.spaces_of(number) for number in ids))
    for path in ("/feeds/latest", "/feeds/following", "/feeds/for-you"):
        items = check_list(await get(bob, path))
        assert items, path
        for item in items:
            assert set(item) == {"post", "reason"}
            assert set(item["reason"]) >= {"kind", "text", "shares"}
            assert item["reason"]["text"]
            assert sum(item["reason"]["shares"].values()) == pytest.approx(1, abs=0.01)
            check_post(item["post"])
    [similar] = check_list(await get(bob, f"/posts/{own['id']}/similar"))
    assert set(similar) == {"post", "score", "spaces"}
    assert (similar["post"]["id"], similar["spaces"]) == (post["id"], ["text"])
    assert 0 <= similar["score"] <= 1
    check_post(similar["post"])
    for query in (
        "q=quixotic",
        "q=windmills&media_type=text",
        f"q=quixotic&author={alice.username}",
        "q=quixotic&tag=mills&since=2020-01-01&until=2999-01-01",
    ):
        [item] = check_list(await get(bob, f"/search?{query}"))
        assert {"post", "score", "matched"} <= set(item) <= {"post", "score", "matched", "highlight", "at"}
        assert item["matched"]
        assert set(item["matched"]) <= {"text", "tag", "transcript", "meaning"}
        assert item["post"]["id"] == post["id"]
    for item in check_list(await get(bob, "/suggestions/users")):
        check_user(item["user"])
        assert item["reason"]
    [vector] = check_list(await get(alice, f"/posts/{post['id']}/embeddings?vectors=true"))
    assert set(vector) == {"space", "model", "dim", "vector"}
    async with site.database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired'"))


@pytest.mark.parametrize("where", ["profile", "latest", "search", "followers"])
async def test_no_item_comes_twice_while_others_arrive(site: Site, where: str) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    word = alice.username.replace(".", "")

    async def add() -> str:
        if where == "followers":
            fan = await site.member("fan")
            assert (await fan.api("PUT", f"/users/{alice.username}/follow")).status_code == 204
            return fan.public_id
        made = await alice.api("POST", "/posts", json={"title": f"{word} again"})
        return str(made.json()["id"])

    path = {
        "profile": f"/users/{alice.username}/posts",
        "latest": "/feeds/latest",
        "search": f"/search?q={word}",
        "followers": f"/users/{alice.username}/followers",
    }[where]
    expected = [await add() for _ in range(7)]
    seen: list[str] = []
    cursor, pages = "", 0
    while pages < 60 and not set(expected) <= set(seen):
        glue = "&" if "?" in path else "?"
        found = await get(bob, f"{path}{glue}limit=3{cursor}")
        seen += [item.get("post", item)["id"] for item in check_list(found)]
        await add()
        pages += 1
        if found["next"] is None:
            break
        cursor = f"&cursor={found['next']}"
    assert len(seen) == len(set(seen))
    assert set(expected) <= set(seen)


async def test_a_raw_client_speaks_tus(site: Site, media_files: dict[str, bytes]) -> None:
    alice, bob = await site.member("alice"), await site.member("bob")
    content = media_files["video"]
    answer = await site.anonymous.options("/api/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert "1.0.0" in answer.headers["tus-version"].split(",")
    assert {"creation", "termination", "expiration"} <= set(answer.headers["tus-extension"].split(","))
    assert int(answer.headers["tus-max-size"]) == site.settings.max_video_bytes
    metadata = f"filename {b64encode('fílm.mp4'.encode()).decode()},filetype {b64encode(b'video/mp4').decode()}"
    announced = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
    assert (await site.anonymous.post("/api/v1/uploads", headers=announced)).status_code == 401
    made = await alice.api("POST", "/uploads", headers=announced)
    assert (made.status_code, made.headers["tus-resumable"]) == (201, "1.0.0")
    place = made.headers["location"]
    lives = parsedate_to_datetime(made.headers["upload-expires"]) - datetime.now(UTC)
    assert timedelta(0) < lives <= timedelta(seconds=site.settings.upload_ttl_seconds + 5)
    half = len(content) // 2
    chunk = {**TUS, "Content-Type": "application/offset+octet-stream"}
    sent = await alice.client.patch(place, content=content[:half], headers={**chunk, "Upload-Offset": "0"})
    assert (sent.status_code, sent.headers["upload-offset"]) == (204, str(half))
    assert "upload-expires" in sent.headers
    shown = await alice.client.head(place, headers=TUS)
    assert (shown.status_code, shown.headers["cache-control"]) == (200, "no-store")
    assert (shown.headers["upload-offset"], shown.headers["upload-length"]) == (str(half), str(len(content)))
    wrong = await alice.client.patch(place, content=b"x", headers={**chunk, "Upload-Offset": "0"})
    assert wrong.status_code == 409
    plain = {**TUS, "Upload-Offset": str(half), "Content-Type": "text/plain"}
    assert (await alice.client.patch(place, content=b"x", headers=plain)).status_code == 415
    unfinished = await alice.api("POST", "/posts", json={"title": "x", "upload": [place.rsplit("/", 1)[1]]})
    assert unfinished.status_code == 422
    too_long = {**chunk, "Upload-Offset": str(half)}
    assert (await alice.client.patch(place, content=content, headers=too_long)).status_code == 413
    rest = await alice.client.patch(place, content=content[half:], headers={**chunk, "Upload-Offset": str(half)})
    assert (rest.status_code, rest.headers["upload-offset"]) == (204, str(len(content)))
    stolen = await bob.api("POST", "/posts", json={"title": "x", "upload": [place.rsplit("/", 1)[1]]})
    assert stolen.status_code == 422
    post = await alice.api("POST", "/posts", json={"title": "From pieces", "upload": [place.rsplit("/", 1)[1]]})
    assert (post.status_code, post.json()["media_type"]) == (201, "video")
    second = (await alice.api("POST", "/uploads", headers=announced)).headers["location"]
    assert (await alice.client.delete(second, headers=TUS)).status_code == 204
    assert (await alice.client.head(second, headers=TUS)).status_code in (404, 410)
