"""How much of what anybody may do: the one table of limits. Counted by account, or by address of who is not signed in.

`web.limits.keep_to_allowance` guards every route before its body is read. Reading and looking around is free, but for what is dear;
whatever writes is limited, by `WRITING` where the table says nothing else. Routes with the same allowance share it: a page
and its twin in the API count together. Guessing passwords is counted by `users.logins`, with allowances from here.
"""

from __future__ import annotations

from typing import NamedTuple


class Allowance(NamedTuple):
    """`burst` at once, and `per_minute` in the long run."""

    name: str
    per_minute: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds between two of many."""
        return 60 / self.per_minute


# Ten failures in fifteen minutes for one account, from wherever; thirty from one address, for whatever account.
LOGIN = Allowance("login", 10 / 15, 10)
LOGIN_FROM = Allowance("login-from", 30 / 15, 30)
CONFIRM = Allowance("confirm", 10 / 15, 10)
"""Of one's password, before what cannot be undone: against guessing it with a stolen session."""
SIGN_UP = Allowance("sign-up", 6, 30)

WRITING = Allowance("writing", 60, 60)
PUBLISH = Allowance("publish", 30, 30)
EDIT = Allowance("edit", 60, 60)
RETRY = Allowance("retry", 10, 20)
FOLLOW = Allowance("follow", 60, 60)
AVATAR = Allowance("avatar", 6, 10)
TOKENS = Allowance("tokens", 6, 20)
REPORT = Allowance("report", 120, 120)
ANNOUNCE = Allowance("announce-upload", 60, 120)
APPEND = Allowance("append-to-upload", 1_200, 1_200)
SEARCH = Allowance("search", 120, 60)
FIND_PEOPLE = Allowance("find-people", 120, 60)
RANKED = Allowance("ranked", 240, 120)
"""What asks the index: similar posts, suggestions, the feed for one."""
STREAM = Allowance("stream", 120, 60)
MEDIA = Allowance("media", 6_000, 3_000)

ALLOWANCES: dict[str, Allowance] = {
    "POST /create": PUBLISH,
    "POST /api/v1/posts": PUBLISH,
    "POST /p/{post_id}/edit": EDIT,
    "PATCH /api/v1/posts/{post_id}": EDIT,
    "POST /p/{post_id}/captions": EDIT,
    "PATCH /api/v1/posts/{post_id}/captions": EDIT,
    "DELETE /api/v1/posts/{post_id}/captions": RETRY,
    "POST /p/{post_id}/retry": RETRY,
    "POST /api/v1/posts/{post_id}/retry": RETRY,
    "POST /u/{username}/follow": FOLLOW,
    "POST /u/{username}/unfollow": FOLLOW,
    "PUT /api/v1/users/{username}/follow": FOLLOW,
    "DELETE /api/v1/users/{username}/follow": FOLLOW,
    "POST /settings/avatar": AVATAR,
    "PUT /api/v1/me/avatar": AVATAR,
    "POST /settings/tokens": TOKENS,
    "POST /api/v1/interactions": REPORT,
    "POST /api/v1/uploads": ANNOUNCE,
    "PATCH /api/v1/uploads/{upload_id}": APPEND,
    "HEAD /api/v1/uploads/{upload_id}": APPEND,
    "GET /search": SEARCH,
    "GET /api/v1/search": SEARCH,
    "GET /api/v1/users": FIND_PEOPLE,
    "GET /p/{post_id}/similar": RANKED,
    "GET /api/v1/posts/{post_id}/similar": RANKED,
    "GET /api/v1/posts/{post_id}/embeddings": RANKED,
    "GET /api/v1/feeds/for-you": RANKED,
    "GET /api/v1/suggestions/users": RANKED,
    "GET /events": STREAM,
    "GET /media/{attachment_id}/{name}": MEDIA,
    "HEAD /media/{attachment_id}/{name}": MEDIA,
    "GET /media/avatars/{name}": MEDIA,
    "HEAD /media/avatars/{name}": MEDIA,
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def allowance_of(method: str, path_template: str) -> Allowance | None:
    """What a route may be used; None for what is free."""
    return ALLOWANCES.get(f"{method} {path_template}") or (None if method in _SAFE else WRITING)
