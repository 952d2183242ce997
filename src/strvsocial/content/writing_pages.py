"""The pages on which posts are written and edited: plain forms with the API's field names, which scripts make nicer."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content import posts
from strvsocial.content.forms import edit_sent, publish_sent
from strvsocial.errors import BadInput, StrvError, TooLarge, Unavailable, UnsupportedMedia
from strvsocial.ids import new_id
from strvsocial.media.quotas import find_limited
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.storage.health import StorageHealth
from strvsocial.web.forms import see
from strvsocial.web.rendering import PageResponse, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
SiteStorage = NamedDependency[Storage]
SiteSettings = NamedDependency[Settings]


@get("/create", name="content.posts.new", include_in_schema=False)
async def show_create(request: AnyRequest, me: Me) -> PageResponse:
    about = await _about_files(request, me)
    return page("content/posts/create.html", fields={}, values={}, message="", key=new_id(), **about)


@post(
    "/create",
    name="content.posts.create_by_form",
    include_in_schema=False,
    status_code=200,
    request_max_body_size=None,
)
async def create(request: AnyRequest, db: Db, storage: SiteStorage, settings: SiteSettings, me: Me) -> Response[Any]:
    """Publishes the form and shows the post, which may still be processing."""
    try:
        made = await publish_sent(request, db, storage, settings, me)
    except (BadInput, TooLarge, UnsupportedMedia, Unavailable) as error:
        about = await _about_files(request, me)
        return _refuse(request, "content/posts/create.html", error, key=new_id(), **about)
    return see(f"/p/{made.public_id}")


@get("/p/{post_id:str}/edit", name="content.posts.show_edit", include_in_schema=False)
async def show_edit(request: AnyRequest, reader: Reader, me: Me, post_id: FromPath[str]) -> PageResponse:
    await posts.check_own(reader, me, post_id)
    shown = await posts.get_visible(reader, me, post_id)
    about = await _about_files(request, me)
    return page("content/posts/edit.html", post=shown, fields={}, values={}, message="", **about)


@post(
    "/p/{post_id:str}/edit",
    name="content.posts.edit_by_form",
    include_in_schema=False,
    status_code=200,
    request_max_body_size=None,
)
async def edit(
    request: AnyRequest, db: Db, storage: SiteStorage, settings: SiteSettings, me: Me, post_id: FromPath[str]
) -> Response[Any]:
    await posts.check_own(await db.connection(), me, post_id)
    try:
        await edit_sent(request, db, storage, settings, me, post_id)
    except (BadInput, TooLarge, UnsupportedMedia, Unavailable) as error:
        shown = await posts.get_visible(await db.connection(), me, post_id)
        about = await _about_files(request, me)
        return _refuse(request, "content/posts/edit.html", error, post=shown, **about)
    return see(f"/p/{post_id}")


async def _about_files(request: AnyRequest, me: Viewer) -> dict[str, Any]:
    """`trouble`: why no file can be taken now, for people, empty when all is well; `quota` of who has one."""
    state = request.app.state
    health: StorageHealth = state.storage_health
    trouble = await health.find_trouble()
    async with state.database.read() as reader:
        quota = await find_limited(reader, state.settings, me.id)
    return {"trouble": trouble.message if trouble else "", "quota": quota}


def _refuse(request: AnyRequest, template: str, error: StrvError, **context: Any) -> PageResponse:
    """The form with what had been read of it, and what is wrong; what is wrong with a file is said at the files."""
    sent: dict[str, list[str]] = request.state.get("form_fields", {})
    values = {name: ", ".join(given) if name == "tags" else given[0] for name, given in sent.items() if given}
    fields = dict(error.fields or {})
    if not isinstance(error, BadInput):
        fields.setdefault("file", error.message)
    message = " ".join(fields[name] for name in fields if name not in _SHOWN) or BadInput.message
    headers = {"Retry-After": str(error.retry_after or 5)} if isinstance(error, Unavailable) else {}
    return page(
        template, status=error.status, headers=headers, fields=fields, values=values, message=message, **context
    )


_SHOWN = frozenset({"title", "text", "tags", "file", "alt"})
"""Fields beside which the form itself shows what is wrong."""

HANDLERS: list[ControllerRouterHandler] = [show_create, create, show_edit, edit]
