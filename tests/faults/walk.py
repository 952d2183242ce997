"""A walk over every kind of page and over what people do most, timed: what did each answer?"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

import httpx
from tests.front_door import Member, Site

WRITTEN = {"post text": 201, "post picture": 201, "beacon": 204}
"""What a step of `write_all` comes to when all is well, where it is not 303."""


@dataclass(frozen=True)
class Step:
    """What one request came to. `seconds` is up to the whole answer."""

    name: str
    status: int
    seconds: float
    body: bytes = field(repr=False, default=b"")
    headers: httpx.Headers = field(repr=False, default_factory=httpx.Headers)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass
class Walk:
    """The steps of one round by name."""

    steps: dict[str, Step] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]

    @property
    def statuses(self) -> dict[str, int]:
        return {name: step.status for name, step in self.steps.items()}

    @property
    def slowest(self) -> Step:
        return max(self.steps.values(), key=lambda step: step.seconds)

    def table(self) -> str:
        return "\n".join(f"{step.name:24} {step.status} {step.seconds:6.2f} s" for step in self.steps.values())

    def are(self, status: int, *, but: dict[str, int] | None = None) -> bool:
        """Whether every step came to `status`, but for those named."""
        expected = {name: (but or {}).get(name, status) for name in self.steps}
        assert self.statuses == expected, "\n" + self.table()
        return True


def pages_of(member: Member, post: str) -> dict[str, str]:
    """The addresses of every kind of page that a signed-in person reads, by name."""
    return {
        "feed": "/",
        "latest": "/?feed=latest",
        "following": "/?feed=following",
        "explore": "/explore",
        "post": f"/p/{post}",
        "edit": f"/p/{post}/edit",
        "profile": f"/u/{member.username}",
        "followers": f"/u/{member.username}/followers",
        "tag": "/t/alps",
        "search": "/search?q=hut",
        "create": "/create",
        "settings": "/settings",
        "api feed": "/api/v1/feeds/for-you",
        "api post": f"/api/v1/posts/{post}",
        "api similar": f"/api/v1/posts/{post}/similar",
        "api search": "/api/v1/search?q=hut",
    }


NOBODY = {"login": "/login", "signup": "/signup", "explore, signed out": "/explore"}


async def read_all(site: Site, member: Member, post: str, only: Collection[str] = ()) -> Walk:
    """Every page, or `only` some, as somebody who is signed in; and those that are for nobody in particular."""
    walk = Walk()
    async with _browser(site, member) as browser, site.client(raise_errors=False) as anybody:
        for client, pages in ((browser, pages_of(member, post)), (anybody, NOBODY)):
            for name, path in pages.items():
                if not only or name in only:
                    await take(walk, client, name, "GET", path)
    return walk


async def write_all(site: Site, member: Member, post: str, picture: bytes) -> Walk:
    """What people do: sign in, post a text, post a picture, follow nobody but like to look, change settings."""
    walk = Walk()
    login = {"email": member.email, "password": member.password}
    same = {"Sec-Fetch-Site": "same-origin"}
    async with site.client(raise_errors=False, headers=same) as anybody:
        await take(walk, anybody, "log in", "POST", "/login", data=login)
    async with _browser(site, member) as browser:
        await take(walk, browser, "post text", "POST", "/api/v1/posts", json={"title": "Only words"})
        await take(walk, browser, "post text, form", "POST", "/create", data={"title": "Words", "visibility": "public"})
        sent = {"file": ("picture.jpg", picture, "image/jpeg")}
        await take(walk, browser, "post picture", "POST", "/api/v1/posts", data={"title": "A picture"}, files=sent)
        await take(walk, browser, "post picture, form", "POST", "/create", data={"title": "A picture"}, files=sent)
        theme = {"theme": "dark"}
        await take(walk, browser, "theme", "POST", "/theme", data=theme)
        beacons = {"items": [{"post": post, "kind": "open"}]}
        await take(walk, browser, "beacon", "POST", "/api/v1/interactions", json=beacons)
    return walk


def _browser(site: Site, member: Member) -> httpx.AsyncClient:
    headers = {"Sec-Fetch-Site": "same-origin"}
    return site.client(raise_errors=False, headers=headers, cookies=dict(member.browser.cookies))


async def take(walk: Walk, client: httpx.AsyncClient, name: str, method: str, path: str, **options: object) -> Step:
    began = time.monotonic()
    answer = await client.request(method, path, **options)  # type: ignore[arg-type]
    walk.steps[name] = Step(name, answer.status_code, time.monotonic() - began, answer.content, answer.headers)
    return walk.steps[name]
