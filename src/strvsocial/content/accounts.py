"""What a person leaves behind: posts, media, vectors, then the account itself."""

from __future__ import annotations

from sqlalchemy import delete, select

from strvsocial.content.models import Post
from strvsocial.content.posts import remove
from strvsocial.db import Database
from strvsocial.media.attachments import want_deletion
from strvsocial.media.models import Upload
from strvsocial.users.models import User

_CHUNK = 200


async def delete_everything(database: Database, user_id: int) -> None:
    """Deletes a person in steps; each step is committed, so that a try that was cut short goes on where it stopped."""
    while await _delete_some_posts(database, user_id):
        pass
    async with database.transaction() as db:
        # New uploads and posts are refused by now: the account was suspended when its deletion was asked for.
        finished = select(Upload.key).where(Upload.user_id == user_id, Upload.state == "finished")
        keys = [*(await db.scalars(finished))]
        avatar = await db.scalar(select(User.avatar_key).where(User.id == user_id))
        await want_deletion(db, [*keys, *([avatar] if avatar else [])])
        await db.execute(delete(User).where(User.id == user_id))


async def _delete_some_posts(database: Database, user_id: int) -> bool:
    async with database.transaction() as db:
        some = select(Post.id).where(Post.author_id == user_id).order_by(Post.id).limit(_CHUNK).with_for_update()
        post_ids = list((await db.scalars(some)).all())
        if post_ids:
            await remove(db, post_ids)
        return bool(post_ids)
