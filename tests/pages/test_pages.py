"""Every page through the front door: its status, its title, its forms without scripts, nothing inline."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
import pytest
from tests.front_door import PASSWORD, Member, Site

from strvsocial.content import posts
from strvsocial.content.drafts import Draft


class Inline(HTMLParser):
    """Collects what a strict content security policy would block, and the page's landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.tags: list[str] = []
        self.in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = dict(attrs)
        self.in_script = tag == "script" and "src" not in names
        for name in names:
            if name == "style" or name.startswith(("on", "hx-on")):
                self.problems.append(f"<{tag} {name}>")
        if tag == "style" or self.in_script:
            self.problems.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        self.in_script = False


def check_page(answer: httpx.Response, title: str) -> str:
    """Asserts what holds for every page and returns its text."""
    assert answer.headers["content-type"].startswith("text/html")
    assert "HX-Request" in answer.headers["vary"]
    assert answer.headers["cache-control"] in ("private, no-cache", "no-store")
    assert f"<title>{title}" in answer.text
    found = Inline()
    found.feed(answer.text)
    assert found.problems == []
    assert found.tags.count("main") == 1
    assert found.tags.count("h1") == 1
    ids = re.findall(r'\sid="([^"]+)"', answer.text)
    assert len(ids) == len(set(ids))
    return answer.text


async def publish(site: Site, author: Member, **draft: object) -> str:
    async with site.database.transaction() as db:
        post = await posts.publish(db, author.id, Draft(**{"title": "Seven herons", **draft}))  # type: ignore[arg-type]
        return post.public_id


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Latest · STRV.social"),
        ("/?feed=latest&media_type=audio", "Latest"),
        ("/explore", "Explore"),
        ("/explore?media_type=text", "Explore"),
        ("/t/herons", "#herons"),
        ("/login", "Log in"),
        ("/signup", "Join"),
    ],
)
async def test_pages_for_anybody(site: Site, path: str, title: str) -> None:
    answer = await site.anonymous.get(path)
    assert answer.status_code == 200
    check_page(answer, title)


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "For you"),
        ("/?feed=following", "Following"),
        ("/?feed=latest", "Latest"),
        ("/explore", "Explore"),
        ("/settings", "Settings"),
    ],
)
async def test_pages_for_members(site: Site, path: str, title: str) -> None:
    mira = await site.cast("mira")
    answer = await mira.browser.get(path)
    assert answer.status_code == 200
    assert mira.username in check_page(answer, title)


@pytest.mark.parametrize("path", ["/settings", "/?feed=for-you", "/?feed=following"])
async def test_what_needs_a_login_leads_there(site: Site, path: str) -> None:
    answer = await site.anonymous.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")


async def test_a_post_has_its_page(site: Site) -> None:
    ada = await site.member("ada")
    post_id = await publish(site, ada, text="By *the river* at dawn. #birds", tags=["water"])
    text = check_page(await site.anonymous.get(f"/p/{post_id}"), "Seven herons")
    assert "<em>the river</em>" in text
    assert 'href="/t/birds"' in text
    assert 'href="/t/water"' in text
    assert f'<link rel="canonical" href="http://localhost:8000/p/{post_id}">' in text
    assert 'property="og:title" content="Seven herons"' in text
    assert f"/p/{post_id}/edit" not in text
    assert f"/p/{post_id}/edit" in (await ada.browser.get(f"/p/{post_id}")).text


async def test_a_private_post_is_nobody_elses(site: Site) -> None:
    ada = await site.member("ada")
    post_id = await publish(site, ada, visibility="private")
    answer = await site.anonymous.get(f"/p/{post_id}")
    assert answer.status_code == 404
    check_page(answer, "Nothing here")
    own = (await ada.browser.get(f"/p/{post_id}")).text
    assert "og:title" not in own
    assert "Only you" in own


async def test_a_profile_shows_the_person_and_the_posts(site: Site) -> None:
    ada, bob = await site.member("ada"), await site.member("bob")
    post_id = await publish(site, ada)
    text = check_page(await bob.browser.get(f"/u/{ada.username}"), ada.username)
    assert f"/p/{post_id}" in text
    assert f'action="/u/{ada.username}/follow"' in text
    assert "<b>1</b> post" in text


async def test_following_without_scripts_and_with(site: Site) -> None:
    ada, bob = await site.member("ada"), await site.member("bob")
    plain = await bob.browser.post(f"/u/{ada.username}/follow")
    assert (plain.status_code, plain.headers["location"]) == (303, f"/u/{ada.username}")
    followers = check_page(await bob.browser.get(f"/u/{ada.username}/followers"), "Followers")
    assert bob.username in followers
    part = await bob.browser.post(
        f"/u/{ada.username}/unfollow",
        headers={"HX-Request": "true", "HX-Current-URL": f"http://localhost:8000/u/{ada.username}"},
    )
    assert part.status_code == 200
    assert "<html" not in part.text
    assert f'hx-post="/u/{ada.username}/follow"' in part.text
    assert f'hx-target="#followers-{ada.public_id}" hx-swap="innerHTML">0<' in part.text


async def test_lists_go_on_by_link_and_in_parts(site: Site) -> None:
    ada = await site.member("ada")
    made = [await publish(site, ada, title=f"Wave {number}") for number in range(30)]
    first = (await site.anonymous.get(f"/u/{ada.username}")).text
    following = re.search(rf'href="(/u/{re.escape(ada.username)}\?cursor=[\w-]+)"', first)
    assert following is not None
    page = await site.anonymous.get(following[1])
    part = await site.anonymous.get(following[1], headers={"HX-Request": "true"})
    assert "<html" in page.text
    assert "<html" not in part.text
    shown = re.findall(r'<a class="to" href="/p/(\w+)"', first) + re.findall(
        r'<a class="to" href="/p/(\w+)"', part.text
    )
    assert shown == made[::-1]


async def test_deleting_asks_first(site: Site) -> None:
    ada, bob = await site.member("ada"), await site.member("bob")
    post_id = await publish(site, ada)
    check_page(await ada.browser.get(f"/p/{post_id}/delete"), "Delete “Seven herons”?")
    assert (await bob.browser.get(f"/p/{post_id}/delete")).status_code == 403
    assert (await bob.browser.post(f"/p/{post_id}/delete")).status_code == 403
    answer = await ada.browser.post(f"/p/{post_id}/delete")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/u/{ada.username}")
    assert (await ada.browser.get(f"/p/{post_id}")).status_code == 404


async def test_signing_up_in_and_out(site: Site) -> None:
    browser = site.client(headers={"Sec-Fetch-Site": "same-origin"})
    form = {"username": "nora.lind", "email": "nora@example.org", "password": PASSWORD, "next": "/explore"}
    answer = await browser.post("/signup", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/explore")
    assert "nora.lind" in (await browser.get("/")).text
    assert (await browser.post("/logout")).status_code == 303
    assert "nora.lind" not in (await browser.get("/")).text
    wrong = await browser.post("/login", data={"email": "nora@example.org", "password": "not this one"})
    text = check_page(wrong, "Log in")
    assert wrong.status_code == 401
    assert 'value="nora@example.org"' in text
    assert "not this one" not in text
    right = await browser.post("/login", data={"email": "nora@example.org", "password": PASSWORD, "next": "//evil"})
    assert (right.status_code, right.headers["location"]) == (303, "/")


async def test_a_wrong_form_keeps_what_was_written(site: Site) -> None:
    form = {"username": "x", "email": "nobody", "password": "short"}
    answer = await site.client(headers={"Sec-Fetch-Site": "same-origin"}).post("/signup", data=form)
    text = check_page(answer, "Join")
    assert answer.status_code == 422
    assert 'value="nobody"' in text
    assert 'value="short"' not in text
    for name in ("username", "email", "password"):
        assert f'id="{name}-error"' in text


async def test_settings_change_the_profile(site: Site) -> None:
    ada = await site.member("ada")
    form = {"display_name": "Ada O.", "username": ada.username, "bio": "Herons, mostly."}
    answer = await ada.browser.post("/settings/profile", data=form)
    assert answer.headers["location"] == "/settings?saved=profile#profile"
    assert "Herons, mostly." in (await site.anonymous.get(f"/u/{ada.username}")).text
    refused = await ada.browser.post("/settings/profile", data={**form, "username": "!"})
    assert refused.status_code == 422
    assert 'value="!"' in check_page(refused, "Settings")


async def test_settings_change_password_and_address(site: Site) -> None:
    ada = await site.member("ada")
    wrong = await ada.browser.post("/settings/password", data={"password": "no", "new_password": "another good one"})
    assert wrong.status_code == 422
    assert "This is not your password." in wrong.text
    right = await ada.browser.post(
        "/settings/password", data={"password": PASSWORD, "new_password": "another good one"}
    )
    assert right.status_code == 303
    form = {"password": "another good one", "email": f"new.{ada.username}@example.org"}
    assert (await ada.browser.post("/settings/email", data=form)).status_code == 303
    assert f"new.{ada.username}@example.org" in (await ada.browser.get("/settings")).text


async def test_tokens_are_shown_once(site: Site) -> None:
    ada = await site.member("ada")
    made = await ada.browser.post("/settings/tokens", data={"name": "backup"})
    token = re.search(r'id="new-token">([^<]+)<', made.text)
    assert made.status_code == 200
    assert token is not None
    client = site.client(headers={"Authorization": f"Bearer {token[1]}"})
    assert (await client.get("/api/v1/me")).json()["username"] == ada.username
    listed = (await ada.browser.get("/settings")).text
    assert token[1] not in listed
    end = re.search(r'action="(/settings/tokens/\d+/end)"><button[^>]+aria-label="End the token backup"', listed)
    assert end is not None
    assert (await ada.browser.post(end[1])).status_code == 303
    assert (await client.get("/api/v1/me")).status_code == 401


async def test_a_session_can_be_ended_from_another(site: Site) -> None:
    ada = await site.member("ada")
    other = site.client(headers={"Sec-Fetch-Site": "same-origin", "User-Agent": "Firefox/140 (Linux)"})
    await other.post("/login", data={"email": ada.email, "password": PASSWORD})
    listed = (await ada.browser.get("/settings")).text
    end = re.search(r'action="(/settings/sessions/\d+/end)"', listed)
    assert end is not None
    assert "Firefox on Linux" in listed
    assert (await ada.browser.post(end[1])).status_code == 303
    assert (await other.get("/settings")).status_code == 303


async def test_the_theme_is_kept_on_the_account_and_in_a_cookie(site: Site) -> None:
    ada = await site.member("ada")
    assert '<html lang="en" data-theme="system">' in (await ada.browser.get("/")).text
    answer = await ada.browser.post("/theme", data={"theme": "dusk", "next": "/explore"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/explore")
    assert 'data-theme="dusk"' in (await ada.browser.get("/explore")).text
    nobody = site.client(headers={"Sec-Fetch-Site": "same-origin"})
    assert (await nobody.post("/theme", data={"theme": "sea"}, headers={"HX-Request": "true"})).status_code == 204
    assert 'data-theme="sea"' in (await nobody.get("/")).text
    assert (await nobody.post("/theme", data={"theme": "lava"})).status_code == 422


async def test_an_account_can_be_deleted(site: Site) -> None:
    ada = await site.member("ada")
    assert (await ada.browser.post("/settings/delete", data={"password": "wrong"})).status_code == 422
    assert (await ada.browser.post("/settings/delete", data={"password": PASSWORD})).status_code == 303
    assert (await site.anonymous.get(f"/u/{ada.username}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/nowhere", 404, "Nothing here"),
        ("/p/nothing", 404, "Nothing here"),
        ("/u/nobody.at.all", 404, "Nothing here"),
        ("/explore?media_type=smell", 422, "Something does not fit"),
        ("/explore?cursor=broken", 422, "Something does not fit"),
    ],
)
async def test_what_goes_wrong_has_a_page(site: Site, path: str, status: int, title: str) -> None:
    answer = await site.anonymous.get(path)
    assert answer.status_code == status
    check_page(answer, title)


PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090 7753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082".replace(" ", "")
)


FORM = "multipart/form-data; boundary=x"


def as_browser(fields: dict[str, str]) -> bytes:
    """A form as browsers send it when no file was chosen: with a part for the file that has an empty name."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    empty = '--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n'
    return ("\r\n".join([*parts, empty]) + "\r\n--x--\r\n").encode()


async def test_writing_without_scripts(site: Site) -> None:
    ada = await site.member("ada")
    text = check_page(await ada.browser.get("/create"), "New post")
    assert "Up to 10 pictures, 32 MB each" in text
    assert "or one video, 4 GB" in text
    words = {"title": "Low tide", "text": "So *low*.", "tags": "sea, calm", "visibility": "public"}
    answer = await ada.browser.post("/create", content=as_browser(words), headers={"Content-Type": FORM})
    assert answer.status_code == 303
    shown = check_page(await ada.browser.get(answer.headers["location"]), "Low tide")
    assert 'href="/t/calm"' in shown
    pictured = await ada.browser.post(
        "/create", data={**words, "alt": "A dot"}, files={"file": ("dot.png", PICTURE, "image/png")}
    )
    assert pictured.status_code == 303
    waiting = (await ada.browser.get(pictured.headers["location"])).text
    assert "Your pictures are being prepared" in waiting
    assert "data-processing" in waiting


async def test_a_form_sent_twice_makes_one_post(site: Site) -> None:
    ada = await site.member("ada")
    key = re.search(r'name="idempotency_key" value="(\w+)"', (await ada.browser.get("/create")).text)
    assert key is not None
    words = {"title": "Once", "idempotency_key": key[1]}
    first, second = [await ada.browser.post("/create", data=words) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]


async def test_a_refused_post_keeps_what_was_written(site: Site) -> None:
    ada = await site.member("ada")
    words = {"title": "", "text": "Do not lose me.", "tags": "sea", "visibility": "followers"}
    answer = await ada.browser.post("/create", data=words)
    text = check_page(answer, "New post")
    assert answer.status_code == 422
    assert "Do not lose me." in text
    assert 'id="title-error"' in text
    assert 'value="followers" checked' in text
    drawing = {"file": ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png")}
    refused = await ada.browser.post("/create", data={**words, "title": "Mine"}, files=drawing)
    assert refused.status_code == 415
    text = check_page(refused, "New post")
    assert 'id="file-error"' in text
    assert "Do not lose me." in text


async def test_editing_without_scripts(site: Site) -> None:
    ada, bob = await site.member("ada"), await site.member("bob")
    post_id = await publish(site, ada, text="First words", tags=["water"])
    text = check_page(await ada.browser.get(f"/p/{post_id}/edit"), "Edit “Seven herons”")
    assert "First words" in text
    assert 'value="water"' in text
    assert (await bob.browser.get(f"/p/{post_id}/edit")).status_code == 403
    form = {"title": "Eight herons", "text": "Better words", "tags": "", "visibility": "public"}
    answer = await ada.browser.post(f"/p/{post_id}/edit", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/p/{post_id}")
    shown = (await site.anonymous.get(f"/p/{post_id}")).text
    assert "Better words" in shown
    assert "/t/water" not in shown


async def test_search_finds_posts_and_people(site: Site) -> None:
    ada = await site.member("quillan")
    post_id = await publish(site, ada, title="Ultramarine ferries")
    text = check_page(await site.anonymous.get("/search", params={"q": "ultramarine"}), "ultramarine · Search")
    assert f"/p/{post_id}" in text
    people = (await site.anonymous.get("/search", params={"q": ada.username})).text
    assert f'href="/u/{ada.username}"' in people
    part = await site.anonymous.get("/search?q=ultramarine", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "<title>ultramarine" in part.text
    nothing = check_page(await site.anonymous.get("/search?q=zzzzqqqq"), "zzzzqqqq")
    assert "No post matches" in nothing
    check_page(await site.anonymous.get("/search"), "Search")


async def test_a_picture_for_the_profile(site: Site) -> None:
    ada = await site.member("ada")
    answer = await ada.browser.post("/settings/avatar", files={"file": ("me.png", PICTURE, "image/png")})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?saved=avatar#avatar")
    refused = await ada.browser.post("/settings/avatar", files={"file": ("me.png", b"not a picture", "image/png")})
    assert refused.status_code == 415
    assert 'id="file-error"' in check_page(refused, "Settings")
