"""One attachment from stored to shown: media makes what is needed, the post learns how it went."""

from __future__ import annotations

import math
from functools import partial

from sqlalchemy import bindparam, cast, exists, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.progress import tell_progress
from strvsocial.content.retrying import resume_sizes
from strvsocial.content.settling import settle, settle_sizes
from strvsocial.content.twins import adopt_twin
from strvsocial.content.work import want_feature, want_long_processing, want_sizes
from strvsocial.db import Database
from strvsocial.errors import Unavailable
from strvsocial.jobs import URGENT, Postpone
from strvsocial.media.finishing import finish
from strvsocial.media.models import Attachment, Rendition
from strvsocial.media.processing import CannotDecode, TakesLong, process
from strvsocial.settings import Settings
from strvsocial.storage import Storage

_IS_WANTED = select(exists().where(Rendition.attachment_id == bindparam("attachment_id"), Rendition.state == "wanted"))
SIZES_LATER = "Something went wrong while we made them."
TRY_AGAIN = "We could not process this file. Please try again; if it fails once more, try another file."


async def process_attachment(
    settings: Settings,
    database: Database,
    storage: Storage,
    attachment_id: int,
    priority: int = URGENT,
    *,
    quick: bool = False,
    most_seconds: float = math.inf,
) -> None:
    """Makes an attachment fit to be seen or played, and settles its post. One that is gone or done is left alone.

    What would hold a `quick` lane for long goes to the other, and films longer than `most_seconds` to one of their own. Raises Postpone while the storage cannot be reached, and
    TookTooLong.
    """
    async with database.read() as reader:
        status = await reader.scalar(select(Attachment.status).where(Attachment.id == attachment_id))
    if status is None:
        return
    failure: str | None = None
    try:
        await adopt_twin(database, storage, attachment_id)
        tell = partial(tell_progress, attachment_id=attachment_id)
        await process(settings, database, storage, attachment_id, tell, quick=quick, most_seconds=most_seconds)
    except TakesLong:
        async with database.transaction() as db:
            await (want_long_processing if quick else want_feature)(db, attachment_id, priority)
        return
    except CannotDecode as error:
        failure = error.message
    except Unavailable as error:
        raise Postpone(error.message) from error
    async with database.transaction() as db:
        await _finish(db, attachment_id, failure, priority)


async def give_up_attachment(
    database: Database, attachment_id: int, priority: int = URGENT, why: str = TRY_AGAIN
) -> None:
    """After the last try: the attachment has failed, so that nothing stays in `processing` for ever. `why`: in words
    for its author."""
    async with database.transaction() as db:
        await _finish(db, attachment_id, why, priority)


async def _finish(db: AsyncSession, attachment_id: int, failure: str | None, priority: int) -> None:
    attachment = await db.get(Attachment, attachment_id)
    if attachment is None:
        return
    if failure is not None and attachment.status == "processing":
        failed = update(Attachment).where(Attachment.id == attachment_id).values(status="failed", failure=failure)
        await db.execute(failed)
    elif failure is None and await db.scalar(_IS_WANTED, {"attachment_id": attachment_id}):
        await want_sizes(db, attachment_id, priority)
    await settle(db, attachment.post_id, priority)


async def finish_film(settings: Settings, database: Database, storage: Storage, attachment_id: int) -> None:
    """Makes what is still missing of a film, and tells its author. Raises as `process_attachment` does."""
    async with database.transaction() as db:
        await resume_sizes(db, attachment_id)
    try:
        await finish(settings, database, storage, attachment_id, partial(tell_progress, attachment_id=attachment_id))
    except CannotDecode as error:
        await give_up_sizes(database, attachment_id, error.message)
        return
    except Unavailable as error:
        raise Postpone(error.message) from error
    async with database.transaction() as db:
        await _settle_sizes(db, attachment_id)


async def give_up_sizes(database: Database, attachment_id: int, why: str = SIZES_LATER) -> None:
    """After the last try: the film stays as it is, and nothing waits for more. `why`: in words for its author."""
    async with database.transaction() as db:
        rows = update(Rendition).where(Rendition.attachment_id == attachment_id, Rendition.state == "wanted")
        told = Rendition.details.concat(cast({"failure": why}, JSONB))
        await db.execute(rows.values(state="failed", progress=0, details=told))
        await _settle_sizes(db, attachment_id)


async def _settle_sizes(db: AsyncSession, attachment_id: int) -> None:
    attachment = await db.get(Attachment, attachment_id)
    if attachment is not None:
        await settle_sizes(db, attachment.post_id)
