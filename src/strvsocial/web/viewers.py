"""The person who is looking. `strvsocial.users` finds out who it is; everything else only reads it."""

from __future__ import annotations

from msgspec import Struct


class Viewer(Struct, frozen=True):
    """Who is looking: the signed-in person of this request. Nobody signed in is `None`.

    Either `session_id` (a browser) or `token_id` (a bearer token) says what the request was signed in with.
    """

    id: int
    public_id: str
    username: str
    display_name: str
    avatar_url: str
    role: str
    theme: str
    session_id: int | None = None
    token_id: int | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"
