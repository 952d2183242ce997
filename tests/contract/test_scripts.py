"""Words stay words: nothing that people write becomes an element, an attribute or a way out of the site."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
from sqlalchemy import text
from tests.contract.conftest import Worker
from tests.front_door import ORIGIN, PASSWORD, Member, Site

# Every payload tries to make an element or an attribute whose name holds `zqx`, or to call a function of that name.
PAYLOADS = [
    '"><zqx zqxa=1>', "'><zqx zqxa=1>", '" onmouseover="zqx()" zqxb="', "' onfocus='zqx()' autofocus zqxb='", "</title><zqx>",
    "</textarea><zqx>", "</script><script>zqx()</script>", "<img src=x onerror=zqx()>", '0;url=//zqx.example" http-equiv="refresh', "{{7*7}}zqx{%zqx%}",
    "${7*7}zqx", "<svg/onload=zqx()>", "[zqx](javascript:zqx())", "[zqx](JaVa&#115;cript:zqx())", "![zqx](https://zqx.example/a.png)",
    "<javascript:zqx()>", "[zqx](data:text/html;base64,PHpxeD4=)", '" hx-get="/logout" hx-trigger="load" zqx="', "<a hx-get=/zqx data-hx-get=/zqx>a</a>",
    "&lt;zqx&gt;", "&#x3c;zqx&#x3e;", "`<zqx>`", "```\n<zqx>\n```", 'http://zqx.example/"onmouseover="zqx()', "https://zqx.example/<zqx>",
    '[a](http://zqx.example "t\\" onmouseover=zqx()")', "<style>@import 'zqx'</style>", "<base href=//zqx.example>", "<!--<zqx>-->", "<iframe srcdoc='<zqx>'>",
    "[zqx]: javascript:zqx()\n\n[zqx]", "<https://zqx.example/?a=b&c='d\">", "<math><mtext><zqx></mtext></math>", "\u2028</script><zqx>", "#zqx\"onload=1",
]  # fmt: skip
URLS = {
    "href",
    "src",
    "action",
    "formaction",
    "poster",
    "data",
    "srcset",
    "hx-get",
    "hx-post",
    "hx-put",
    "hx-delete",
    "data-address",
}
FORBIDDEN = {"iframe", "object", "embed", "base", "frame", "math", "style", "applet"}


class Page(HTMLParser):
    """The elements of a page as a browser would find them, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


def problems(html: str) -> Iterator[str]:
    for tag, attributes in Page(html).elements:
        if "zqx" in tag or tag in FORBIDDEN or "http-equiv" in attributes:
            yield f"<{tag} {attributes}>"
        if tag == "script" and not attributes.get("src", "").startswith("/static/"):
            yield f"<script {attributes}>"
        for name, value in attributes.items():
            if "zqx" in name or name.startswith("on") or (name == "style" and "zqx" in value):
                yield f"{tag} {name}"
            plain = "".join(value.split()).lower()
            if name in URLS and (
                plain.startswith(("javascript:", "data:", "vbscript:")) or (tag != "a" and "//zqx" in plain)
            ):
                yield f"{tag} {name}={value}"
            if name.startswith(("hx-", "data-hx-")) and "zqx()" in value:
                yield f"{tag} {name}={value}"
        elsewhere = tag == "a" and urlsplit(attributes.get("href", "")).netloc not in ("", "localhost:8000")
        if elsewhere and not {"nofollow", "ugc"} <= set(attributes.get("rel", "").split()):
            yield f"a link elsewhere without rel: {attributes}"


def check(answer: httpx.Response, *statuses: int) -> Page:
    assert answer.status_code in (statuses or (200,)), (str(answer.url), answer.status_code)
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not list(problems(answer.text)), (str(answer.url), list(problems(answer.text)))
    return Page(answer.text)


def test_the_check_finds_what_it_looks_for() -> None:
    for bad in (
        "<zqx>",
        "<p zqxa>",
        "<p onclick='x'>",
        "<a href='java\nscript:zqx()'>",
        "<script>1</script>",
        "<meta http-equiv=refresh>",
        "<a href='http://e.example'>",
        "<form action='//zqx.example'>",
    ):
        assert list(problems(bad)), bad


async def dress(member: Member, name: str, bio: str) -> None:
    answer = await member.api("PATCH", "/me", json={"display_name": name, "bio": bio})
    assert answer.status_code in (200, 422), answer.text


async def test_words_of_posts(site: Site) -> None:
    """Each payload as a title and a text, on every page that shows posts."""
    alice, reader = await site.member("zqx"), await site.member("reader")
    assert (await reader.api("PUT", f"/users/{alice.username}/follow")).status_code == 204
    for payload in PAYLOADS:
        body = {"title": payload, "text": f"{payload}\n\n{payload} *x*", "tags": ["zqx"]}
        made = await alice.api("POST", "/posts", json=body)
        assert made.status_code == 201, made.text
        post = made.json()["id"]
        shown = check(await site.anonymous.get(f"/p/{post}"))
        if "\n" not in payload and "\u2028" not in payload:
            assert payload in shown.words
        check(await site.anonymous.get(f"/p/{post}/card", params={"shape": "card"}))
        check(await alice.browser.get(f"/p/{post}/edit"))
    check(await alice.browser.get(f"/p/{post}/delete"))
    for path in ("/", "/?feed=following", "/?feed=latest", "/explore", "/t/zqx", "/search?q=zqx", page_of(alice)):
        page = check(await reader.browser.get(path))
        assert "zqx" in page.words, path
        check(await reader.browser.get(path, headers={"HX-Request": "true"}))


def page_of(member: Member) -> str:
    return f"/u/{member.username}"


async def test_words_of_people(site: Site) -> None:
    """Each payload as a display name and a bio, with a post on every page that shows authors."""
    alice, bob = await site.member("alice"), await site.member("bob")
    assert (await bob.api("PUT", f"/users/{alice.username}/follow")).status_code == 204
    post = (await alice.api("POST", "/posts", json={"title": "Plain", "text": "Plain"})).json()["id"]
    for payload in PAYLOADS:
        await dress(alice, payload[:80], payload)
        for path in (page_of(alice), f"/p/{post}", f"/u/{bob.username}/following", f"/p/{post}/card?shape=tile"):
            check(await site.anonymous.get(path))
        check(await alice.browser.get("/settings"))
    check(await bob.browser.get("/?feed=following"))


async def test_words_around_media(site: Site, working: Worker, media_files: dict[str, bytes]) -> None:
    alice = await site.member("alice")
    everything = " ".join(PAYLOADS)
    await dress(alice, PAYLOADS[0], PAYLOADS[8])
    for kind, content in [*media_files.items(), ("broken", media_files["image"][:200])]:
        name = f"{PAYLOADS[2]}.{kind}".replace('"', "")
        post = await working.publish(
            alice, [(name, content)], title=PAYLOADS[8], text=everything, alt=everything[:1900]
        )
        for client in (alice.browser, site.anonymous):
            for path in (
                f"/p/{post['id']}",
                f"/p/{post['id']}/card",
                f"/p/{post['id']}/card?shape=tile",
                "/explore",
                f"/u/{alice.username}",
            ):
                check(await client.get(path))
        check(await alice.browser.get(f"/p/{post['id']}/edit"))


async def test_what_pages_say_again(site: Site) -> None:
    """Searches, forms that come back, wrong addresses, cookies."""
    alice = await site.member("alice")
    stranger = {"Sec-Fetch-Site": "same-origin"}
    for payload in PAYLOADS:
        asked = quote(payload)
        for path in (f"/search?q={asked}", f"/login?next={asked}", f"/signup?next=/{asked}"):
            check(await site.anonymous.get(path), 200, 422)
        for path in (
            f"/{asked}",
            f"/p/{asked}",
            f"/u/{asked}",
            f"/t/{asked}",
            f"/explore?media_type={asked}",
            f"/?cursor={asked}",
        ):
            check(await site.anonymous.get(path), 200, 404, 422)
        account = {"username": payload, "email": payload, "password": "x", "next": payload}
        browser = site.client(headers=stranger, cookies={"theme": quote(payload)})
        check(await browser.get("/login"))
        check(await browser.post("/signup", data=account), 422, 409)
        words = {"title": payload * 20, "text": payload * 300, "tags": payload, "visibility": payload, "alt": payload}
        check(await alice.browser.post("/create", data=words), 422)
        profile = {"username": payload, "display_name": payload * 30, "bio": payload * 50}
        check(await alice.browser.post("/settings/profile", data=profile), 422)
        check(await alice.browser.post("/settings/email", data={"email": payload, "password": PASSWORD}), 422)
        check(await alice.browser.post("/settings/tokens", data={"name": payload}), 200, 422)
        check(
            await alice.browser.get(
                "/settings", headers={"User-Agent": payload.encode("ascii", "ignore").decode().replace("\n", " ")}
            )
        )


async def test_a_login_that_failed_says_the_address_again(site: Site) -> None:
    browser = site.client(headers={"Sec-Fetch-Site": "same-origin"})
    for payload in PAYLOADS[:6]:
        sent = {"email": payload, "password": payload, "next": payload}
        check(await browser.post("/login", data=sent), 401, 422)


async def test_links_in_the_head_are_safe(site: Site) -> None:
    alice = await site.member("alice")
    for payload in PAYLOADS:
        made = await alice.api("POST", "/posts", json={"title": payload, "text": payload})
        page = check(await site.anonymous.get(f"/p/{made.json()['id']}"))
        metas = [attributes for tag, attributes in page.elements if tag == "meta"]
        names = {attribute.get("name") or attribute.get("property") or "charset" for attribute in metas}
        assert all(
            name.split(":")[0]
            in {
                "charset",
                "viewport",
                "htmx-config",
                "theme-color",
                "description",
                "og",
                "article",
                "twitter",
                "color-scheme",
            }
            for name in names
        ), names
        assert {key for meta in metas for key in meta} <= {"charset", "name", "content", "property", "media"}
        title = next(meta["content"] for meta in metas if meta.get("property") == "og:title")
        assert title == made.json()["title"]


async def test_every_link_of_a_text_says_that_it_is_not_ours(site: Site) -> None:
    alice = await site.member("alice")
    written = "https://a.example [b](https://b.example) <https://c.example> [d](mailto:d@d.example) @someone #tag"
    made = await alice.api("POST", "/posts", json={"title": "Links", "text": written})
    links = [
        attributes
        for tag, attributes in check(await site.anonymous.get(f"/p/{made.json()['id']}")).elements
        if tag == "a"
    ]
    elsewhere = [link for link in links if link["href"].startswith(("https://", "mailto:"))]
    assert len(elsewhere) == 4
    assert all({"nofollow", "ugc", "noopener"} <= set(link["rel"].split()) for link in elsewhere)


ELSEWHERE = [
    "//e.example", "///e.example", "////e.example/..", "/\\e.example", "\\\\e.example", "\\/e.example", "https:e.example", "https://e.example", "https:/e.example",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/%0d%0aSet-Cookie:x=1", "/\r\nX-Evil: 1", "/\t/e.example", "\t//e.example", " //e.example",
    "/\n/e.example", "@e.example", "e.example", "?next=//e.example", "http://localhost:8000@e.example", "/..//e.example", "/./\\e.example", "/\u2028/e.example", "",
]  # fmt: skip


def stays(answer: httpx.Response) -> bool:
    """Whether a browser that follows stays on the site. Browsers take backslashes for slashes and drop tabs and line ends."""
    location = answer.headers["location"]
    assert "x-evil" not in answer.headers
    assert "e.example" not in str(answer.headers.get_list("set-cookie"))
    as_browsers_read = "".join(letter for letter in location if letter not in "\t\r\n").strip().replace("\\", "/")
    return location.startswith("/") and urlsplit(urljoin(ORIGIN, as_browsers_read)).netloc == urlsplit(ORIGIN).netloc


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_nobody_is_sent_elsewhere(site: Site, target: str) -> None:
    alice = await site.cast("alice")
    browser = site.client(headers={"Sec-Fetch-Site": "same-origin"})
    login = {"email": alice.email, "password": PASSWORD, "next": target}
    answers: list[Any] = [await browser.post("/login", data=login)]
    answers.append(await alice.browser.get("/login", params={"next": target}))
    answers.append(await alice.browser.get("/signup", params={"next": target}))
    answers.append(await alice.browser.post("/theme", data={"theme": "light", "next": target}))
    for answer in answers:
        assert answer.status_code == 303, answer.text[:300]
        assert stays(answer), answer.headers["location"]
    form = check(await site.anonymous.get("/login", params={"next": target}))
    values = [
        attributes["value"] for tag, attributes in form.elements if tag == "input" and attributes.get("name") == "next"
    ]
    assert all(value.startswith("/") and not value.startswith(("//", "/\\")) for value in values)


async def test_file_names_and_reasons_are_words(site: Site) -> None:
    alice = await site.member("alice")
    made = (await alice.api("POST", "/posts", json={"title": "x"})).json()
    async with site.database.transaction() as db:
        statement = text("update posts set status = 'failed', failure = :failure where public_id = :id")
        await db.execute(statement, {"failure": " ".join(PAYLOADS), "id": made["id"]})
    page = check(await alice.browser.get(f"/p/{made['id']}"))
    assert "<zqx>" in page.words
