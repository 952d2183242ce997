"""Where a person's picture is."""

from __future__ import annotations

DEFAULT_AVATAR = "/static/avatar.svg"


def avatar_url(avatar_key: str | None) -> str:
    """The address of the picture with this storage key, or of the default one."""
    return f"/media/{avatar_key}" if avatar_key else DEFAULT_AVATAR
