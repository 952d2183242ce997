"""Pages of posts in lists: explore, one person's, one tag's; and what their authors do with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content import feeds, posts
from strvsocial.content.captions import find_captions
from strvsocial.content.models import MEDIA_TYPES
from strvsocial.content.tags import is_tag, normalise
from strvsocial.content.views import PostView
from strvsocial.errors import BadInput, Forbidden, NotFound
from strvsocial.users import profiles
from strvsocial.web.forms import see
from strvsocial.web.paging import Cursor, Page
from strvsocial.web.rendering import PageResponse, is_fragment, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]
Kind = Annotated[str, QueryParameter(name="media_type", max_length=10)]

WALL = 24
"""Posts on one page of a wall."""
TILES = "content/feeds/_tiles.html"


def known_kind(kind: str) -> str | None:
    """A media type from the address, `None` for all of them. Raises BadInput."""
    if kind and kind not in MEDIA_TYPES:
        raise BadInput(fields={"media_type": f"A kind is one of {', '.join(MEDIA_TYPES)}."})
    return kind or None


def next_address(path: str, cursor: str | None, **query: str | None) -> str | None:
    """The address of the next page of a list."""
    if cursor is None:
        return None
    given = "".join(f"{name}={quote(value)}&" for name, value in query.items() if value)
    return f"{path}?{given}cursor={cursor}"


@get("/explore", name="content.feeds.explore", include_in_schema=False)
async def explore(
    request: AnyRequest, reader: Reader, viewer: MaybeViewer, media_type: Kind = "", cursor: Cursor = None
) -> PageResponse:
    kind = known_kind(media_type)
    found = await feeds.list_explore(reader, viewer, cursor, WALL, kind)
    if is_fragment(request):
        name = TILES if cursor else "content/feeds/_explore.html"
    else:
        name = "content/feeds/explore.html"
    return _wall(name, found, "explore", next_address("/explore", found.next, media_type=kind), media_type=kind)


@get("/t/{tag:str}", name="content.tags.show", include_in_schema=False)
async def show_tag(
    request: AnyRequest, reader: Reader, viewer: MaybeViewer, tag: FromPath[str], cursor: Cursor = None
) -> PageResponse:
    name = normalise(tag)
    if not is_tag(name):
        raise NotFound("No tag is written like this.")
    found = await feeds.list_by_tag(reader, viewer, name, cursor, WALL)
    template = TILES if is_fragment(request) else "content/tags/show.html"
    return _wall(template, found, "tag", next_address(f"/t/{quote(name)}", found.next), tag=name)


@get("/u/{username:str}", name="users.profiles.show", include_in_schema=False)
async def show_profile(
    request: AnyRequest, reader: Reader, viewer: MaybeViewer, username: FromPath[str], cursor: Cursor = None
) -> PageResponse:
    user = await profiles.get_user(reader, viewer, username)
    found = await feeds.list_by_author(reader, viewer, user.username, cursor, WALL)
    template = TILES if is_fragment(request) else "users/profiles/show.html"
    return _wall(template, found, "profile", next_address(user.url, found.next), user=user)


@get("/p/{post_id:str}/card", name="content.posts.card", include_in_schema=False)
async def show_card(
    reader: Reader,
    viewer: MaybeViewer,
    post_id: FromPath[str],
    shape: FromQuery[Literal["card", "single", "tile"]] = "card",
) -> PageResponse:
    """One post as a part of a page, for when its state changes."""
    name = {"card": "_card", "single": "_single_card", "tile": "_tile_card"}[shape]
    shown = await posts.get_visible(reader, viewer, post_id)
    captions = await find_captions(reader, viewer, post_id) if shape == "single" else None
    return page(f"content/posts/{name}.html", post=shown, captions=captions)


@get("/p/{post_id:str}/delete", name="content.posts.confirm_delete", include_in_schema=False)
async def confirm_delete(request: AnyRequest, reader: Reader, me: Me, post_id: FromPath[str]) -> PageResponse:
    shown = await posts.get_visible(reader, me, post_id)
    if not (shown.viewer.is_author or me.is_admin):
        raise Forbidden("This post is not yours.")
    return page(f"content/posts/{'_delete' if is_fragment(request) else 'delete'}.html", post=shown)


@post("/p/{post_id:str}/delete", name="content.posts.delete_by_form", include_in_schema=False, status_code=200)
async def delete(request: AnyRequest, db: Db, me: Me, post_id: FromPath[str]) -> Response[Any]:
    """From a list the card goes; from the post's own page the reader goes to their profile."""
    await posts.delete(db, me, post_id)
    if not is_fragment(request):
        return see(profiles.user_url(me.username))
    if urlsplit(request.headers.get("hx-current-url", "")).path.startswith(f"/p/{post_id}"):
        return Response(b"", media_type="text/html", headers={"HX-Redirect": profiles.user_url(me.username)})
    return Response(b"", media_type="text/html", headers={"HX-Trigger": '{"toast": "The post is deleted."}'})


@post("/p/{post_id:str}/retry", name="content.posts.retry_by_form", include_in_schema=False, status_code=200)
async def retry(request: AnyRequest, db: Db, me: Me, post_id: FromPath[str]) -> Response[Any]:
    await posts.retry(db, me, post_id)
    if not is_fragment(request):
        return see(f"/p/{post_id}")
    await db.flush()
    on_own_page = urlsplit(request.headers.get("hx-current-url", "")).path == f"/p/{post_id}"
    shown = await posts.get_visible(await db.connection(), me, post_id)
    return page(f"content/posts/{'_single_card' if on_own_page else '_card'}.html", post=shown)


def _wall(template: str, found: Page[PostView], source: str, following: str | None, **context: Any) -> PageResponse:
    return page(template, items=found.items, next=following, source=source, **context)


HANDLERS: list[ControllerRouterHandler] = [
    explore,
    show_tag,
    show_profile,
    show_card,
    confirm_delete,
    delete,
    retry,
]
