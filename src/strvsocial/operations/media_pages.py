"""The admin's page of media that failed, each with a way to have it made again."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.operations import failed_media
from strvsocial.operations.places import MEDIA, AnyRequest, show, told
from strvsocial.web.forms import see
from strvsocial.web.paging import Cursor
from strvsocial.web.rendering import PageResponse
from strvsocial.web.viewers import Viewer


@get("/admin/media", name="operations.media.list", include_in_schema=False)
async def show_media(
    request: AnyRequest,
    reader: NamedDependency[AsyncConnection],
    admin: NamedDependency[Viewer],
    cursor: Cursor = None,
    done: Annotated[str, QueryParameter(max_length=40)] = "",
) -> PageResponse:
    found = await failed_media.list_failed(reader, admin, cursor=cursor)
    following = f"/admin/media?cursor={found.next}" if found.next else None
    return show(request, MEDIA, failed=found.items, next=following, note=told(done))


@post("/admin/media/{medium_id:str}/retry", name="operations.media.retry", include_in_schema=False, status_code=200)
async def retry_media(
    db: NamedDependency[AsyncSession], admin: NamedDependency[Viewer], medium_id: FromPath[str]
) -> Response[Any]:
    await failed_media.retry(db, admin, medium_id)
    return see("/admin/media?done=again")


HANDLERS: list[ControllerRouterHandler] = [show_media, retry_media]
