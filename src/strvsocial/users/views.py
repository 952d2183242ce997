"""People as pages and the API show them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from strvsocial.media.quotas import Quota


class UserCounts(Struct, frozen=True):
    posts: int
    followers: int
    following: int


class UserRelation(Struct, frozen=True):
    """How the viewer stands to this person."""

    following: bool = False
    is_self: bool = False


class UserView(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A person. `id` is opaque; `url` and `avatar_url` are absolute paths on this site."""

    id: str
    username: str
    display_name: str
    bio: str
    avatar_url: str
    url: str
    created_at: datetime
    updated_at: datetime
    counts: UserCounts
    viewer: UserRelation = UserRelation()


class AuthorView(Struct, frozen=True, kw_only=True):
    """The author on a card: a person without counts."""

    id: str
    username: str
    display_name: str
    avatar_url: str
    url: str


class MeView(UserView, frozen=True, kw_only=True):
    """The viewer, with what only they may see. `quota` is in bytes; null where there is no limit."""

    email: str
    role: str
    theme: str
    quota: Quota


class TokenView(Struct, frozen=True):
    """A new bearer token, told this once."""

    token: str
