"""Similar posts and recommendations as JSON, under /api/v1."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content.views import FeedItem, SimilarItem
from strvsocial.embeddings.index import VectorIndex
from strvsocial.recommendations.for_you import list_for_you
from strvsocial.recommendations.proposals import Proposals, propose
from strvsocial.recommendations.ranked_lists import RankedLists
from strvsocial.recommendations.similar import list_similar
from strvsocial.recommendations.suggestions import SuggestedUser, list_suggestions
from strvsocial.web.paging import Cursor, Limit, Page
from strvsocial.web.viewers import Viewer

Reader = NamedDependency[AsyncConnection]


@get(
    "/posts/{post_id:str}/similar",
    name="recommendations.similar.list",
    tags=["recommendations"],
    summary="Similar posts",
)
async def similar(
    reader: Reader,
    index: NamedDependency[VectorIndex],
    viewer: NamedDependency[Viewer | None],
    post_id: FromPath[str],
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[SimilarItem]:
    """Posts like this one by other people, the most similar first. Empty until the post has been understood."""
    return await list_similar(reader, index, viewer, post_id, cursor, limit)


@get(
    "/posts/{post_id:str}/proposals",
    name="recommendations.proposals.show",
    tags=["posts"],
    summary="Drafts of tags and descriptions",
)
async def proposals(
    reader: Reader, index: NamedDependency[VectorIndex], me: NamedDependency[Viewer], post_id: FromPath[str]
) -> Proposals:
    """Tags and descriptions that one's own post might get. They are guesses; nothing is changed by asking."""
    return await propose(reader, index, me, post_id)


@get("/feeds/for-you", name="recommendations.for_you.list", tags=["feeds"], summary="Posts for the viewer")
async def for_you(
    reader: Reader,
    index: NamedDependency[VectorIndex],
    ranked_lists: NamedDependency[RankedLists],
    me: NamedDependency[Viewer],
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[FeedItem]:
    """Posts like those that you published or looked at, each with the reason; then the latest."""
    return await list_for_you(reader, index, ranked_lists, me, cursor, limit)


@get("/suggestions/users", name="recommendations.users.list", tags=["people"], summary="People one might follow")
async def users(
    reader: Reader, index: NamedDependency[VectorIndex], me: NamedDependency[Viewer], limit: Limit = 20
) -> Page[SuggestedUser]:
    """People whom you do not follow and whose posts are like what you posted or looked at."""
    return await list_suggestions(reader, index, me, limit)


HANDLERS: list[ControllerRouterHandler] = [similar, proposals, for_you, users]
