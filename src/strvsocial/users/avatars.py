"""People's pictures: where they are, and how one is changed."""

from __future__ import annotations

from typing import Any

from litestar import Request
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.errors import BadInput
from strvsocial.jobs import enqueue
from strvsocial.media.attachments import want_deletion
from strvsocial.media.incoming import FormRules, StoredFile, receive_form
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.users.models import User
from strvsocial.web.viewers import Viewer

DEFAULT_AVATAR = "/static/avatar.svg"
PROCESS_AVATAR = "users.process_avatar"


def avatar_url(avatar_key: str | None) -> str:
    """The address of the picture with this storage key, or of the default one."""
    return f"/media/{avatar_key}" if avatar_key else DEFAULT_AVATAR


async def receive_avatar(request: Request[Any, Any, Any], storage: Storage, settings: Settings) -> StoredFile:
    """The one picture in a form's field `file`, stored.

    Raises:
        BadInput: there is none.
        UnsupportedMedia, TooLarge: it is no picture, or too many bytes.
    """
    rules = FormRules(
        fields={},
        most_files=1,
        most_values=5,
        media_types=frozenset({"image", "gif"}),
        max_file_bytes=settings.max_avatar_bytes,
    )
    form = await receive_form(request, storage, settings, rules)
    if not form.files:
        raise BadInput(fields={"file": "Please choose a picture."})
    return form.files[0]


async def change_avatar(db: AsyncSession, viewer: Viewer, file: StoredFile) -> None:
    """Wants `file` made the viewer's picture; until a worker has done so, the old one stays."""
    payload = {"user_id": viewer.id, "source_key": file.key}
    await enqueue(db, PROCESS_AVATAR, payload, queue="quick")


async def remove_avatar(db: AsyncSession, viewer: Viewer) -> None:
    """Takes the viewer's picture away."""
    old = await db.scalar(select(User.avatar_key).where(User.id == viewer.id).with_for_update())
    if old is not None:
        await db.execute(update(User).where(User.id == viewer.id).values(avatar_key=None, updated_at=func.now()))
        await want_deletion(db, [old])
