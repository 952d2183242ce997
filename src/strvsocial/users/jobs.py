"""Work on people's behalf."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text, update

from strvsocial.ids import new_id
from strvsocial.jobs import Claimed, Handler
from strvsocial.live import announce
from strvsocial.media.attachments import want_deletion
from strvsocial.media.failures import CannotDecode
from strvsocial.media.images import make_avatar
from strvsocial.users.avatars import PROCESS_AVATAR, avatar_url
from strvsocial.users.models import User

# Two pictures sent at once may be made at once: the one that was sent last must win, whichever is done last.
_IS_OUTDATED = text(
    """
    select exists (select from jobs where kind = :kind and id > :id and state in ('queued', 'running', 'done')
      and created_at > now() - interval '1 hour' and payload ->> 'user_id' = :user_id)
    """
)


async def process_avatar(context: Any, jobs: list[Claimed]) -> None:
    """Makes the picture that somebody sent theirs, under a name that nobody can guess."""
    for job in jobs:
        key = f"avatars/{new_id()}.webp"
        try:
            await make_avatar(context.settings, context.storage, job.payload["source_key"], key)
        except CannotDecode as error:
            await _refuse(context, job, error.message)
            continue
        await _adopt(context, job, key)


async def _adopt(context: Any, job: Claimed, key: str) -> None:
    user_id: int = job.payload["user_id"]
    async with context.database.transaction() as db:
        person = await db.execute(select(User.avatar_key).where(User.id == user_id).with_for_update())
        old = person.one_or_none()
        outdated = await db.scalar(_IS_OUTDATED, {"kind": PROCESS_AVATAR, "id": job.id, "user_id": str(user_id)})
        if old is None or outdated:
            await want_deletion(db, [key, job.payload["source_key"]])
            return
        await db.execute(update(User).where(User.id == user_id).values(avatar_key=key, updated_at=func.now()))
        await want_deletion(db, [job.payload["source_key"], *([old.avatar_key] if old.avatar_key else [])])
        await announce(db, "avatar.ready", user_id, {"url": avatar_url(key)})


async def _refuse(context: Any, job: Claimed, reason: str) -> None:
    async with context.database.transaction() as db:
        await want_deletion(db, [job.payload["source_key"]])
        await announce(db, "avatar.failed", job.payload["user_id"], {"message": reason})


async def _gave_up(context: Any, job: Claimed, error: str) -> None:
    await _refuse(context, job, "We could not make this picture yours. Please try again, or try another one.")


HANDLERS: dict[str, Handler] = {PROCESS_AVATAR: Handler("quick", process_avatar, timeout=90, gave_up=_gave_up)}
