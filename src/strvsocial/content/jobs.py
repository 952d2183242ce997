"""The jobs of content: media made ready to show, and accounts deleted."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from strvsocial.content import accounts
from strvsocial.content.processing import (
    SIZES_LATER,
    TRY_AGAIN,
    finish_film,
    give_up_attachment,
    give_up_sizes,
    process_attachment,
)
from strvsocial.content.renewing import renew_medium
from strvsocial.content.work import (
    DELETE_ACCOUNT,
    FINISH_FILM,
    PREVIEW_FILM,
    PROCESS_ATTACHMENT,
    PROCESS_FEATURE,
    PROCESS_FILM,
    RENEW_MEDIUM,
)
from strvsocial.jobs import OUT_OF_TIME, Claimed, Handler
from strvsocial.media.failures import TookTooLong

SHORT_FILM_SECONDS = 180
"""Films that last longer wait for each other, so that the others wait for none of them."""
QUICK_SECONDS = 600
"""The most that a picture, a GIF, a sound or a preview may take in all, whatever its decoders do."""
FILM_SECONDS = 4 * 3600
"""The most that a film may take until it can be watched. Each run of its decoder has a shorter limit, by its length."""
SIZES_SECONDS = 12 * 3600
"""The most that the other sizes of a film may take."""
_TRIED_TWICE_SECONDS = 600
"""What was stopped after a longer time than this is not tried again by itself: others wait."""
_TOO_LONG = "Preparing this took longer than we allow. Try again when less is going on."


async def _process(context: Any, jobs: list[Claimed], *, quick: bool = False, most_seconds: float = math.inf) -> None:
    parts = context.settings, context.database, context.storage
    for job in jobs:
        attachment_id = job.payload["attachment_id"]
        try:
            await process_attachment(*parts, attachment_id, job.priority, quick=quick, most_seconds=most_seconds)
        except TookTooLong as error:
            if _may_be_tried_again(job, error):
                raise
            await give_up_attachment(context.database, attachment_id, job.priority, error.message)


async def _process_short(context: Any, jobs: list[Claimed]) -> None:
    await _process(context, jobs, most_seconds=SHORT_FILM_SECONDS)


async def _gave_up(context: Any, job: Claimed, error: str) -> None:
    why = _TOO_LONG if error == OUT_OF_TIME else TRY_AGAIN
    await give_up_attachment(context.database, job.payload["attachment_id"], job.priority, why)


async def _finish(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        attachment_id = job.payload["attachment_id"]
        try:
            await finish_film(context.settings, context.database, context.storage, attachment_id)
        except TookTooLong as error:
            if _may_be_tried_again(job, error):
                raise
            await give_up_sizes(context.database, attachment_id, error.message)


async def _gave_sizes_up(context: Any, job: Claimed, error: str) -> None:
    why = _TOO_LONG if error == OUT_OF_TIME else SIZES_LATER
    await give_up_sizes(context.database, job.payload["attachment_id"], why)


def _may_be_tried_again(job: Claimed, error: TookTooLong) -> bool:
    """Once, if it was short: the machine may just have been busy."""
    return error.seconds <= _TRIED_TWICE_SECONDS and job.attempts < 2


async def _renew(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        attachment_id, generation = job.payload["attachment_id"], job.payload["generation"]
        await renew_medium(context.settings, context.database, context.storage, attachment_id, generation)


async def _delete_account(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        await accounts.delete_everything(context.database, job.payload["user_id"])


HANDLERS = {
    PROCESS_ATTACHMENT: Handler(
        "quick", partial(_process, quick=True), tries=3, timeout=QUICK_SECONDS, gave_up=_gave_up
    ),
    PROCESS_FEATURE: Handler("feature", _process, tries=3, timeout=FILM_SECONDS, gave_up=_gave_up),
    PROCESS_FILM: Handler("long", _process_short, tries=3, timeout=FILM_SECONDS, gave_up=_gave_up),
    FINISH_FILM: Handler("ladder", _finish, tries=3, timeout=SIZES_SECONDS, gave_up=_gave_sizes_up),
    PREVIEW_FILM: Handler("quick", _finish, tries=3, timeout=QUICK_SECONDS, gave_up=_gave_sizes_up),
    RENEW_MEDIUM: Handler("ladder", _renew, tries=3, timeout=SIZES_SECONDS),
    DELETE_ACCOUNT: Handler("quick", _delete_account, tries=10, timeout=3600),
}
