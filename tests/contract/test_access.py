"""Every route of the site, for everybody who may come to it: whoever may not see something learns nothing of it.

`ROWS` has a row for each route of the application; a route without one fails `test_every_route_has_a_row`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from litestar.routes import HTTPRoute
from sqlalchemy import text
from tests.contract.conftest import Worker
from tests.front_door import Member, Site
from tests.vectors import DIM, add_space, make_vectors, put

ROLES = ("anonymous", "other", "follower", "owner", "admin", "suspended")
SEES = {
    "public": {"anonymous", "other", "follower", "owner", "admin"},
    "followers": {"follower", "owner"},
    "private": {"owner"},
    "deleted": set[str](),
}
GOOD = {200, 204, 303, 409}
"""303 leads on after a form; 409 says that nothing has failed that could be tried again."""


@dataclass(frozen=True)
class Row:
    """Who may: `all`, `signed_in`, or of a post `see` it, `own` it, `delete` it or read its `vectors`; `admin`s."""

    who: str
    body: dict[str, Any] | None = None
    destroys: bool = False


ALL, SIGNED_IN, SEE, OWN, UPLOAD = Row("all"), Row("signed_in"), Row("see"), Row("own"), Row("upload")
ADMIN = Row("admin")
CAPTIONS = Row("captions")
"""Of posts with sound: tests/captions asks for everybody."""
ROWS: dict[str, Row] = {
    "GET /": ALL,
    "GET /fresh": Row("count"),
    "GET /explore": ALL,
    "GET /search": ALL,
    "GET /t/{tag}": ALL,
    "GET /u/{username}": ALL,
    "GET /u/{username}/followers": ALL,
    "GET /u/{username}/following": ALL,
    "POST /u/{username}/follow": SIGNED_IN,
    "POST /u/{username}/unfollow": SIGNED_IN,
    "GET /login": ALL,
    "POST /login": Row("credentials"),
    "POST /logout": Row("credentials"),
    "GET /signup": ALL,
    "POST /signup": Row("credentials"),
    "POST /theme": Row("all", {"theme": "light"}),
    "GET /settings": SIGNED_IN,
    "POST /settings/avatar": SIGNED_IN,
    "POST /settings/avatar/remove": SIGNED_IN,
    "POST /settings/delete": SIGNED_IN,
    "POST /settings/email": SIGNED_IN,
    "POST /settings/password": SIGNED_IN,
    "POST /settings/profile": SIGNED_IN,
    "POST /settings/tokens": SIGNED_IN,
    "POST /settings/sessions/{session_id}/end": SIGNED_IN,
    "POST /settings/tokens/{token_id}/end": SIGNED_IN,
    "GET /create": SIGNED_IN,
    "POST /create": SIGNED_IN,
    "GET /p/{post_id}": SEE,
    "GET /p/{post_id}/card": SEE,
    "GET /p/{post_id}/similar": SEE,
    "GET /p/{post_id}/edit": OWN,
    "GET /p/{post_id}/proposals": OWN,
    "POST /p/{post_id}/edit": Row("own", {"title": "Edited"}),
    "POST /p/{post_id}/retry": OWN,
    "GET /p/{post_id}/captions": CAPTIONS,
    "POST /p/{post_id}/captions": CAPTIONS,
    "GET /p/{post_id}/transcript": CAPTIONS,
    "GET /p/{post_id}/delete": Row("delete"),
    "POST /p/{post_id}/delete": Row("delete", destroys=True),
    "GET /media/avatars/{name}": ALL,
    "HEAD /media/avatars/{name}": ALL,
    "GET /media/{attachment_id}/{name}": Row("media"),
    "HEAD /media/{attachment_id}/{name}": Row("media"),
    "GET /admin": ADMIN,
    "GET /admin/jobs": ADMIN,
    "POST /admin/jobs/retry": Row("admin", {"kind": "none"}),
    "POST /admin/jobs/{job_id}/retry": ADMIN,
    "GET /admin/log": ADMIN,
    "GET /admin/map": ADMIN,
    "GET /admin/media": ADMIN,
    "POST /admin/media/{medium_id}/retry": ADMIN,
    "GET /admin/people": ADMIN,
    "GET /admin/people/{username}/suspend": ADMIN,
    "POST /admin/people/{username}/sign-out": ADMIN,
    "POST /admin/people/{username}/suspend": ADMIN,
    "POST /admin/people/{username}/unsuspend": ADMIN,
    "GET /admin/processes": ADMIN,
    "GET /admin/storage": ADMIN,
    "GET /media/{attachment_id}/captions.vtt": CAPTIONS,
    "GET /media/{attachment_id}/master.m3u8": Row("media"),
    "GET /livez": ALL,
    "GET /readyz": ALL,
    "GET /metrics": ALL,
    "GET /schema": ALL,
    "GET /schema/{path}": ALL,
    "GET /schema/openapi.json": ALL,
    "GET /static/{file_path}": ALL,
    "HEAD /static/{file_path}": ALL,
    "GET /static/dist/{file_path}": ALL,
    "HEAD /static/dist/{file_path}": ALL,
    "GET /events": Row("stream"),
    "POST /api/v1/accounts": Row("credentials"),
    "POST /api/v1/tokens": Row("credentials"),
    "DELETE /api/v1/tokens/current": Row("credentials"),
    "GET /api/v1/me": SIGNED_IN,
    "PATCH /api/v1/me": Row("signed_in", {"bio": "Here"}),
    "DELETE /api/v1/me": SIGNED_IN,
    "PUT /api/v1/me/avatar": SIGNED_IN,
    "DELETE /api/v1/me/avatar": SIGNED_IN,
    "PUT /api/v1/me/email": SIGNED_IN,
    "PUT /api/v1/me/password": SIGNED_IN,
    "GET /api/v1/users": ALL,
    "GET /api/v1/users/{username}": ALL,
    "PUT /api/v1/users/{username}/follow": SIGNED_IN,
    "DELETE /api/v1/users/{username}/follow": SIGNED_IN,
    "GET /api/v1/users/{username}/followers": ALL,
    "GET /api/v1/users/{username}/following": ALL,
    "GET /api/v1/users/{username}/posts": ALL,
    "POST /api/v1/posts": SIGNED_IN,
    "GET /api/v1/posts/{post_id}": SEE,
    "PATCH /api/v1/posts/{post_id}": Row("own", {"title": "Edited"}),
    "DELETE /api/v1/posts/{post_id}": Row("delete", destroys=True),
    "POST /api/v1/posts/{post_id}/retry": OWN,
    "GET /api/v1/posts/{post_id}/embeddings": SEE,
    "GET /api/v1/posts/{post_id}/embeddings?vectors=true": Row("vectors"),
    "GET /api/v1/posts/{post_id}/proposals": OWN,
    "GET /api/v1/posts/{post_id}/captions": CAPTIONS,
    "PATCH /api/v1/posts/{post_id}/captions": CAPTIONS,
    "DELETE /api/v1/posts/{post_id}/captions": CAPTIONS,
    "GET /api/v1/posts/{post_id}/similar": SEE,
    "GET /api/v1/feeds/latest": ALL,
    "GET /api/v1/feeds/following": SIGNED_IN,
    "GET /api/v1/feeds/for-you": SIGNED_IN,
    "GET /api/v1/suggestions/users": SIGNED_IN,
    "GET /api/v1/search": ALL,
    "POST /api/v1/interactions": Row("all", {"items": []}),
    "POST /api/v1/uploads": SIGNED_IN,
    "HEAD /api/v1/uploads/{upload_id}": UPLOAD,
    "PATCH /api/v1/uploads/{upload_id}": UPLOAD,
    "DELETE /api/v1/uploads/{upload_id}": UPLOAD,
}


def rows(*who: str) -> Iterator[tuple[str, str, Row]]:
    for name, row in ROWS.items():
        if row.who in who:
            yield (*name.split(" ", 1), row)  # type: ignore[misc]


def test_every_route_has_a_row(site: Site) -> None:
    routes = [route for route in site.app.routes if isinstance(route, HTTPRoute)]
    served = {
        f"{method} {route.path_format or '/'}"
        for route in routes
        for handler in route.route_handlers
        for method in map(str, handler.http_methods)
        if method != "OPTIONS"
    }
    assert {name for name in ROWS if "?" not in name} == served


@dataclass
class People:
    """Somebody in each role, with a client for each way to be known."""

    site: Site
    members: dict[str, Member]

    def clients(self, role: str) -> dict[str, httpx.AsyncClient]:
        if role == "anonymous":
            return {"nobody": self.site.anonymous}
        member = self.members[role]
        return {"session": member.browser, "bearer": member.client}

    async def publish(self, **fields: Any) -> str:
        answer = await self.members["owner"].api("POST", "/posts", json={"title": "A post", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest_asyncio.fixture(scope="module")
async def people(site: Site) -> People:
    members = {role: await site.member(role[:8]) for role in ROLES if role != "anonymous"}
    await site.make_admin(members["admin"])
    owner = members["owner"]
    assert (await members["follower"].api("PUT", f"/users/{owner.username}/follow")).status_code == 204
    async with site.database.transaction() as db:
        statement = text("update users set suspended_at = now() where id = :id")
        await db.execute(statement, {"id": members["suspended"].id})
    return People(site, members)


def stranger(path: str) -> set[int]:
    """What somebody gets who must sign in first: pages lead to the login."""
    if path.startswith(("/api/", "/events")):
        return {401}
    return {303}


def expected(row: Row, path: str, role: str, way: str, visibility: str) -> set[int]:
    """The statuses that are right."""
    api = path.startswith(("/api/", "/media/", "/events"))
    if role == "suspended" and way == "bearer" and api:
        return {401}
    known = role not in ("anonymous", "suspended") and (api or way == "session")
    if row.who in ("own", "delete") and not known:
        return stranger(path)
    role = role if known else "anonymous"
    if role not in SEES[visibility]:
        return {404}
    allowed = {"own": {"owner"}, "delete": {"owner", "admin"}, "vectors": {"owner", "admin"}}
    if row.who in allowed and role not in allowed[row.who]:
        return {403}
    return GOOD


async def ask(client: httpx.AsyncClient, method: str, path: str, row: Row) -> httpx.Response:
    body: dict[str, Any] = {}
    if row.body is not None:
        body = {"json": row.body} if path.startswith("/api/") else {"data": row.body}
    return await client.request(method, path, **body)


@pytest.mark.parametrize("visibility", list(SEES))
async def test_routes_of_a_post(people: People, visibility: str) -> None:
    """Route × role × way of being known: invisible looks like missing, visible but not one's own is forbidden."""
    shown_as = "public" if visibility == "deleted" else visibility
    post = await people.publish(visibility=shown_as)
    if visibility == "deleted":
        assert (await people.members["owner"].api("DELETE", f"/posts/{post}")).status_code == 204
    asked = 0
    for method, path, row in rows("see", "own", "delete", "vectors"):
        for role in ROLES:
            for way, client in people.clients(role).items():
                answer = await ask(client, method, path.format(post_id=post), row)
                right = expected(row, path, role, way, visibility)
                assert answer.status_code in right, (method, path, role, way, answer.status_code)
                asked += 1
                if answer.status_code == 404:
                    missing = await ask(client, method, path.format(post_id="nothere"), row)
                    assert without_place(missing.text, "nothere") == without_place(answer.text, post), (path, role)
                if row.destroys and right == GOOD:
                    post = await people.publish(visibility=shown_as)
    assert asked == 17 * 11


def without_place(body: str, post: str) -> str:
    """An error page says which address and which request it was."""
    return re.sub(r"\b[0-9a-f]{24}\b", "", body.replace(post, ""))


async def test_routes_for_people_who_are_signed_in(people: People) -> None:
    """Nobody and suspended people are sent away, whatever they send; everybody may read what is for all."""
    known = {"username": people.members["owner"].username, "session_id": 1, "token_id": 1}
    for method, path, row in rows("signed_in"):
        address = path.format(**known)
        assert (await ask(people.site.anonymous, method, address, row)).status_code in stranger(path), path
        for way, client in people.clients("suspended").items():
            answer = await ask(client, method, address, row)
            assert answer.status_code in stranger(path), (path, way)
        bearer_on_page = await ask(people.members["other"].client, method, address, row)
        if not path.startswith("/api/"):
            assert bearer_on_page.status_code == 303, path
            assert bearer_on_page.headers["location"].startswith("/login"), path


async def test_routes_for_admins(people: People) -> None:
    """Everybody else sees nothing there: people who are signed in what a wrong address shows, others the login."""
    guest = await people.site.member("guest")
    known = {"username": guest.username, "job_id": 999_999, "medium_id": "none"}
    for method, path, row in rows("admin"):
        address = path.format(**known)
        for role in ROLES:
            for way, client in people.clients(role).items():
                answer = await ask(client, method, address, row)
                if way != "session" or role == "suspended":
                    assert answer.status_code == 303, (path, role, way)
                    assert answer.headers["location"].startswith("/login"), (path, role, way)
                elif role == "admin":
                    right = 404 if "job_id" in path or "medium_id" in path else 303 if method == "POST" else 200
                    assert answer.status_code == right, (path, role, answer.status_code)
                else:
                    missing = await client.request(method, "/no-such-page")
                    assert (answer.status_code, missing.status_code) == (404, 404), (path, role)


async def test_routes_for_all(people: People) -> None:
    known = {"username": people.members["owner"].username, "tag": "birds", "path": "openapi.json", "name": "none.webp"}
    known["file_path"] = "nothing.css"
    for method, path, row in rows("all"):
        for role in ROLES:
            for way, client in people.clients(role).items():
                answer = await ask(client, method, path.format(**known), row)
                denied = role == "suspended" and way == "bearer" and path.startswith(("/api/", "/media/"))
                right = {401} if denied else {404} if "{file_path}" in path or "{name}" in path else {200, 204, 303}
                assert answer.status_code in right, (method, path, role, way, answer.status_code)
    for path in ("/api/v1/me", "/api/v1/feeds/latest", "/api/v1/search"):
        answer = await people.site.anonymous.get(path, headers={"Authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_token")


async def test_uploads_sessions_and_tokens_of_others(people: People, site: Site) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    owner, other = people.members["owner"], people.members["other"]
    made = await owner.api("POST", "/uploads", headers={**tus, "Upload-Length": "5"})
    place = made.headers["location"]
    chunk = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    for member in (other, people.members["admin"], people.members["follower"]):
        for method in ("HEAD", "PATCH", "DELETE"):
            answer = await member.client.request(method, place, headers=chunk, content=b"12345")
            missing = await member.client.request(method, f"{place}x", headers=chunk, content=b"12345")
            assert (answer.status_code, missing.status_code) == (404, 404), method
            assert answer.text == missing.text
    assert (await site.anonymous.head(place, headers=tus)).status_code == 401
    assert (await owner.client.head(place, headers=tus)).headers["upload-offset"] == "0"
    async with site.database.read() as reader:
        session = await reader.scalar(text("select id from sessions where user_id = :id"), {"id": owner.id})
        token = await reader.scalar(text("select id from api_tokens where user_id = :id"), {"id": owner.id})
    for path in (f"/settings/sessions/{session}/end", f"/settings/tokens/{token}/end"):
        assert (await other.browser.post(path)).status_code in (303, 404)
    for path in ("/settings/sessions/99999999999999999999/end", "/settings/tokens/99999999999999999999/end"):
        assert (await other.browser.post(path)).status_code in (303, 404, 422)
    assert (await owner.browser.get("/settings")).status_code == 200
    assert (await owner.client.get("/api/v1/me")).status_code == 200


def urls_of(post: dict[str, Any]) -> set[str]:
    """Every address of media bytes in a post."""
    found = set()
    for medium in post["media"]:
        found |= {medium["url"], medium["poster_url"], *(variant["url"] for variant in medium["variants"])}
        found |= {medium[key] for key in ("hls_url", "captions_url", "waveform_url", "preview_url")}
        found |= {medium["storyboard"]["url"]} if medium["storyboard"] else set()
    return {url for url in found if url}


async def test_media_bytes(people: People, site: Site, working: Worker, media_files: dict[str, bytes]) -> None:
    """Every rendition, whole, in part and by HEAD; private from the moment on that the post is."""
    owner = people.members["owner"]
    posts = [await working.publish(owner, [("x", media_files[kind])]) for kind in ("image", "video", "audio")]
    urls = sorted(url for post in posts for url in urls_of(post))
    assert len(urls) >= 5
    assert any(url.endswith("/preview.mp4") for url in urls)
    asked = 0
    for visibility in ("public", "followers", "private", "public", "private", "deleted"):
        for post in posts:
            path = f"/posts/{post['id']}"
            if visibility == "deleted":
                answer = await owner.api("DELETE", path)
            else:
                answer = await owner.api("PATCH", path, json={"visibility": visibility})
            assert answer.status_code in (200, 204)
        for role in ROLES:
            for way, client in people.clients(role).items():
                right = expected(Row("media"), "/media/", role, way, visibility)
                for url in urls:
                    whole = await client.get(url)
                    part = await client.get(url, headers={"Range": "bytes=0-9"})
                    head = await client.head(url)
                    cached = await client.get(url, headers={"If-None-Match": "*"})
                    asked += 4
                    if right == GOOD:
                        assert (whole.status_code, part.status_code, head.status_code) == (200, 206, 200), (url, role)
                        assert (len(part.content), cached.status_code) == (10, 304)
                        assert "sandbox" in whole.headers["content-security-policy"]
                        assert whole.headers["cache-control"].startswith("private")
                    else:
                        statuses = {answer.status_code for answer in (whole, part, head, cached)}
                        assert statuses == right, (url, role, way, visibility)
                        assert not {"etag", "accept-ranges"} & set(head.headers)
    assert asked > 1000


async def test_what_is_kept_for_the_embedder_is_served_to_nobody(
    people: People, site: Site, working: Worker, media_files: dict[str, bytes]
) -> None:
    owner = people.members["owner"]
    post = await working.publish(owner, [("x.mp4", media_files["video"])])
    attachment = post["media"][0]["id"]
    async with site.database.read() as reader:
        statement = text(
            "select name, role from renditions as r join attachments as a on a.id = attachment_id where public_id = :id"
        )
        found = {row.name: row.role for row in await reader.execute(statement, {"id": attachment})}
    hidden = {name for name, role in found.items() if role in ("pcm", "frames")}
    assert hidden == {"pcm", "frames"}
    for name in {*hidden, "original", "source", "..%2fx", "%2e%2e", "."}:
        for member in (owner, people.members["admin"]):
            assert (await member.client.get(f"/media/{attachment}/{name}")).status_code == 404, name


def mentions(answer: httpx.Response, secret: str) -> bool:
    assert answer.status_code == 200, (answer.url, answer.text[:300])
    return secret in answer.text


async def test_no_list_tells_of_what_one_may_not_see(people: People, site: Site) -> None:
    """Feeds, search, walls, tags, profiles, similar posts and suggestions, as JSON and as pages."""
    async with site.database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired'"))
    owner, other, follower = (people.members[role] for role in ("owner", "other", "follower"))
    space = await add_space(site.database)
    word = f"zq{secrets.token_hex(5)}"
    posts: dict[str, str] = {}
    for visibility in ("public", "followers", "private"):
        fields = {"title": f"{word} {visibility}x", "text": f"{word} in text #{word}", "visibility": visibility}
        posts[visibility] = await people.publish(**fields)
    bait = (await other.api("POST", "/posts", json={"title": "Bait"})).json()["id"]
    async with site.database.read() as reader:
        statement = text("select public_id, id from posts where public_id = any(:ids)")
        ids = {row.public_id: row.id for row in await reader.execute(statement, {"ids": [bait, *posts.values()]})}
    vector = make_vectors(1, dim=DIM)
    await put(site.database, space, list(ids.values()), vector[[0] * len(ids)])
    index = site.app.state.index
    await index.until(lambda: all(index.spaces_of(number) for number in ids.values()))
    places = [
        "/api/v1/feeds/latest?limit=100", f"/api/v1/search?q={word}&limit=100", f"/api/v1/search?q=%23{word}", f"/api/v1/search?q=from:{owner.username}&limit=100",
        f"/api/v1/users/{owner.username}/posts?limit=100", f"/api/v1/posts/{bait}/similar?limit=100", f"/p/{bait}", f"/p/{bait}/similar",
        "/", "/?feed=latest", "/explore", f"/search?q={word}", f"/t/{word}", f"/u/{owner.username}",
    ]  # fmt: skip
    signed_in = [
        "/api/v1/feeds/following?limit=100",
        "/api/v1/feeds/for-you?limit=100",
        "/api/v1/suggestions/users",
        "/?feed=following",
        "/?feed=for-you",
    ]
    seen: dict[str, set[str]] = {role: set() for role in ROLES}
    for role in ("anonymous", "other", "follower", "owner", "admin"):
        for way, client in people.clients(role).items():
            for path in [*places, *(signed_in if role != "anonymous" else [])]:
                if way == "bearer" and not path.startswith("/api/"):
                    continue
                answer = await client.get(path)
                for visibility, post in posts.items():
                    shown = mentions(answer, f"{word} {visibility}x") or f"/p/{post}" in answer.text
                    if shown:
                        seen[role].add(visibility)
                        assert role in SEES[visibility], (path, role, visibility)
    assert seen["anonymous"] == seen["other"] == seen["admin"] == {"public"}
    assert seen["follower"] == {"public", "followers"}
    assert seen["owner"] == {"public", "followers", "private"}
    counts = {}
    for role in ("anonymous", "follower", "owner"):
        client = next(iter(people.clients(role).values()))
        counts[role] = (await client.get(f"/api/v1/users/{owner.username}")).json()["counts"]["posts"]
    assert counts["anonymous"] < counts["follower"] < counts["owner"]
    similar = await follower.api("GET", f"/posts/{bait}/similar?limit=100")
    found = {item["post"]["id"] for item in similar.json()["items"]}
    assert found & set(posts.values()) == {posts["public"], posts["followers"]}
    for visibility in ("followers", "private"):
        answer = await other.api("GET", f"/posts/{posts[visibility]}/similar")
        assert answer.status_code == 404
    async with site.database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired'"))


async def test_counts_of_new_posts_count_what_one_may_see(site: Site) -> None:
    alice, follower, bob = await site.member("alice"), await site.member("fan"), await site.member("bob")
    assert (await follower.api("PUT", f"/users/{alice.username}/follow")).status_code == 204
    before = (await bob.api("POST", "/posts", json={"title": "Before"})).json()["id"]
    hidden = (await alice.api("POST", "/posts", json={"title": "Hidden", "visibility": "private"})).json()["id"]

    async def counted(client: httpx.AsyncClient, after: str, feed: str = "latest") -> str:
        answer = await client.get("/fresh", params={"after": after, "feed": feed})
        assert answer.status_code == 200, answer.text
        found = re.search(r"(\d+\+?) new post", answer.text)
        return found[1] if found else "0"

    assert [await counted(client, before) for client in (site.anonymous, bob.browser, follower.browser)] == ["0"] * 3
    await alice.api("POST", "/posts", json={"title": "For friends", "visibility": "followers"})
    assert [await counted(client, before) for client in (site.anonymous, bob.browser, follower.browser)] == [
        "0",
        "0",
        "1",
    ]
    await alice.api("POST", "/posts", json={"title": "For all"})
    assert [await counted(client, before) for client in (site.anonymous, bob.browser, follower.browser)] == [
        "1",
        "1",
        "2",
    ]
    assert await counted(follower.browser, before, "following") == "2"
    assert await counted(bob.browser, before, "following") == "0"
    # Whether a hidden post is there, and when it was made, is not told either.
    assert await counted(site.anonymous, hidden) == await counted(site.anonymous, "nothere")
    assert await counted(bob.browser, hidden) == await counted(bob.browser, "nothere")
    assert (await site.anonymous.get(f"/fresh?after={before}&feed=following")).status_code == 303


async def test_vectors_are_for_authors_and_admins(people: People, site: Site) -> None:
    post = await people.publish()
    space = await add_space(site.database, name="look")
    async with site.database.read() as reader:
        number = await reader.scalar(text("select id from posts where public_id = :id"), {"id": post})
    await put(site.database, space, [number], make_vectors(1, dim=DIM))
    for role in ("anonymous", "other", "follower", "owner", "admin"):
        client = next(iter(people.clients(role).values()))
        answer = await client.get(f"/api/v1/posts/{post}/embeddings")
        [item] = answer.json()["items"]
        assert "vector" not in item
        assert (item["space"], item["dim"]) == ("look", DIM)
        answer = await client.get(f"/api/v1/posts/{post}/embeddings?vectors=true")
        if role in ("owner", "admin"):
            assert len(answer.json()["items"][0]["vector"]) == DIM
        else:
            assert answer.status_code == 403
            assert "items" not in answer.json()
    async with site.database.transaction() as db:
        await db.execute(text("update embedding_spaces set state = 'retired' where id = :id"), {"id": space.id})


async def test_suspension_ends_sessions_tokens_and_the_stream(site: Site, web_address: str) -> None:
    alice = await site.member("alice")
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with httpx.AsyncClient(base_url=web_address, headers=headers, timeout=15) as client:
        async with client.stream("GET", "/events") as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            async with site.database.transaction() as db:
                await db.execute(text("update users set suspended_at = now() where id = :id"), {"id": alice.id})
            assert [line async for line in lines if line.startswith("event")] == []
        assert (await client.get("/events")).status_code == 401
    assert (await alice.api("GET", "/me")).status_code == 401
    assert (await alice.browser.get("/settings")).status_code == 303
    assert (await site.anonymous.get(f"/u/{alice.username}")).status_code == 404
