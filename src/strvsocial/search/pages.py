"""The search page: posts by words and filters, and people."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.search.posts import list_matches
from strvsocial.search.queries import LONGEST, parse
from strvsocial.users.profiles import find_users
from strvsocial.web.paging import Cursor
from strvsocial.web.rendering import PageResponse, is_fragment, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]

TILES, PEOPLE = 24, 4


@get("/search", name="search.posts.show", include_in_schema=False)
async def show(
    request: AnyRequest,
    reader: NamedDependency[AsyncConnection],
    viewer: NamedDependency[Viewer | None],
    q: Annotated[str, QueryParameter()] = "",
    media_type: Annotated[str, QueryParameter(max_length=10)] = "",
    cursor: Cursor = None,
) -> PageResponse:
    q = q.replace("\0", "").strip()[:LONGEST]
    query = parse(q, media_type=media_type or None)
    found = None if query.is_empty else await list_matches(reader, viewer, query, cursor, TILES)
    wants_people = q and not cursor and not media_type and query.words
    people = (await find_users(reader, viewer, q[:100], limit=PEOPLE)).items if wants_people else []
    given = {name: value for name, value in (("q", q), ("media_type", media_type)) if value}
    following = f"/search?{urlencode({**given, 'cursor': found.next})}" if found and found.next else None
    if is_fragment(request):
        name = "search/posts/_tiles.html" if cursor else "search/posts/_results.html"
    else:
        name = "search/posts/index.html"
    return page(
        name,
        q=q,
        media_type=media_type,
        items=found.items if found else [],
        people=people,
        next=following,
    )


HANDLERS: list[ControllerRouterHandler] = [show]
