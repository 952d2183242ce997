"""Search as JSON, under /api/v1."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.views import SearchItem
from strvsocial.search.posts import list_matches
from strvsocial.search.queries import LONGEST, parse
from strvsocial.web.paging import Cursor, Limit, Page
from strvsocial.web.viewers import Viewer


@get("/search", name="search.posts.list", tags=["search"], summary="Search posts")
async def posts(
    reader: NamedDependency[AsyncConnection],
    viewer: NamedDependency[Viewer | None],
    q: Annotated[
        str,
        QueryParameter(max_length=LONGEST, description="Words, `from:`, `type:`, `tag:` or `#`, `after:`, `before:`."),
    ] = "",
    media_type: Annotated[
        str | None, QueryParameter(max_length=LONGEST, description="text, image, gif, audio or video.")
    ] = None,
    tag: Annotated[str | None, QueryParameter(max_length=LONGEST, description="Only posts with this tag.")] = None,
    author: Annotated[str | None, QueryParameter(max_length=LONGEST, description="Only posts by this person.")] = None,
    since: Annotated[
        str | None, QueryParameter(max_length=LONGEST, description="Not older than this day or time.")
    ] = None,
    until: Annotated[
        str | None, QueryParameter(max_length=LONGEST, description="Not newer than this day or time.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[SearchItem]:
    """Posts by words: in the title, the text, tags, the author's name, or what is said; found words are in «»."""
    query = parse(q, media_type=media_type, tag=tag, author=author, since=since, until=until)
    return await list_matches(reader, viewer, query, cursor, limit)


HANDLERS: list[ControllerRouterHandler] = [posts]
