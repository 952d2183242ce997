"""The jobs of content: media made ready to show, and accounts deleted."""

from __future__ import annotations

from typing import Any

from strvsocial.content import accounts
from strvsocial.content.processing import finish_film, give_up_attachment, give_up_sizes, process_attachment
from strvsocial.content.work import DELETE_ACCOUNT, FINISH_FILM, PREVIEW_FILM, PROCESS_ATTACHMENT, PROCESS_FILM
from strvsocial.jobs import Claimed, Handler


async def _process(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        await process_attachment(
            context.settings, context.database, context.storage, job.payload["attachment_id"], job.priority
        )


async def _gave_up(context: Any, job: Claimed, _error: str) -> None:
    await give_up_attachment(context.database, job.payload["attachment_id"], job.priority)


async def _finish(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        await finish_film(context.settings, context.database, context.storage, job.payload["attachment_id"])


async def _gave_sizes_up(context: Any, job: Claimed, _error: str) -> None:
    await give_up_sizes(context.database, job.payload["attachment_id"])


async def _delete_account(context: Any, jobs: list[Claimed]) -> None:
    for job in jobs:
        await accounts.delete_everything(context.database, job.payload["user_id"])


HANDLERS = {
    PROCESS_ATTACHMENT: Handler("quick", _process, tries=3, timeout=600, gave_up=_gave_up),
    PROCESS_FILM: Handler("long", _process, tries=3, timeout=4 * 3600, gave_up=_gave_up),
    FINISH_FILM: Handler("ladder", _finish, tries=3, timeout=12 * 3600, gave_up=_gave_sizes_up),
    PREVIEW_FILM: Handler("quick", _finish, tries=3, timeout=600, gave_up=_gave_sizes_up),
    DELETE_ACCOUNT: Handler("quick", _delete_account, tries=10, timeout=3600),
}
