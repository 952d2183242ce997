"""The pages that recommend: the feed, and a post with what is like it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.content import feeds, posts
from strvsocial.content.captions import find_captions
from strvsocial.content.pages import WALL, Kind, known_kind, next_address
from strvsocial.content.timecodes import media_fragment
from strvsocial.content.views import FeedItem, PostView, Reason
from strvsocial.embeddings.index import VectorIndex
from strvsocial.errors import NotSignedIn
from strvsocial.recommendations.for_you import list_for_you
from strvsocial.recommendations.proposals import propose
from strvsocial.recommendations.ranked_lists import RankedLists
from strvsocial.recommendations.similar import list_similar
from strvsocial.web.paging import Cursor, Page
from strvsocial.web.rendering import PageResponse, is_fragment, page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Reader = NamedDependency[AsyncConnection]
MaybeViewer = NamedDependency[Viewer | None]
Me = NamedDependency[Viewer]
Index = NamedDependency[VectorIndex]

CARDS = 20
"""Posts on one page of a feed."""
TITLES = {"for-you": "For you", "following": "Following", "latest": "Latest"}
Moment = Annotated[str, QueryParameter(max_length=20)]
_NO_REASON = Reason(kind="", text="")


@get("/", name="recommendations.feeds.show", include_in_schema=False)
async def show_feed(
    request: AnyRequest,
    reader: Reader,
    viewer: MaybeViewer,
    index: Index,
    ranked_lists: NamedDependency[RankedLists],
    feed: Annotated[str, QueryParameter(max_length=20)] = "",
    media_type: Kind = "",
    cursor: Cursor = None,
) -> PageResponse:
    """One's own feed for whoever is signed in, the latest for everybody."""
    feed = feed if feed in TITLES else ("for-you" if viewer else "latest")
    kind = known_kind(media_type) if feed == "latest" else None
    if feed == "latest":
        found = _plain(await feeds.list_latest(reader, viewer, cursor, CARDS, [kind] if kind else []))
    elif viewer is None:
        raise NotSignedIn
    elif feed == "following":
        found = _plain(await feeds.list_following(reader, viewer, cursor, CARDS))
    else:
        found = await list_for_you(reader, index, ranked_lists, viewer, cursor, CARDS)
    own = await feeds.list_unfinished(reader, viewer) if viewer and cursor is None and kind is None else []
    if is_fragment(request):
        name = "content/feeds/_items.html" if cursor else "content/feeds/_home.html"
    else:
        name = "content/feeds/index.html"
    return page(
        name,
        feed=feed,
        title=TITLES[feed],
        media_type=kind,
        items=found.items,
        own=own,
        newest=_newest(own, found.items),
        next=next_address("/", found.next, feed=feed, media_type=kind),
        first_page=cursor is None,
        is_index_loading=feed == "for-you" and not index.ready,
    )


@get("/fresh", name="recommendations.feeds.fresh", include_in_schema=False)
async def show_fresh(
    reader: Reader,
    viewer: MaybeViewer,
    after: Annotated[str, QueryParameter(max_length=40)],
    feed: Annotated[Literal["latest", "following"], QueryParameter()] = "latest",
) -> PageResponse:
    """Part of the feed's page: how many posts came after the one that stands first there."""
    if feed == "following" and viewer is None:
        raise NotSignedIn
    count = await feeds.count_newer(reader, viewer, after, followed=feed == "following")
    return page("content/feeds/_fresh.html", feed=feed, count=count)


@get("/p/{post_id:str}", name="content.posts.page", include_in_schema=False)
async def show_post(
    reader: Reader,
    viewer: MaybeViewer,
    index: Index,
    post_id: FromPath[str],
    cursor: Cursor = None,
    t: Moment = "",
    end: Moment = "",
) -> PageResponse:
    """A post and a page of what is like it. A sound or a film starts at `t` and stops at `end`, in seconds."""
    shown = await posts.get_visible(reader, viewer, post_id)
    return await _with_similar("show", shown, reader, viewer, index, cursor, media_fragment(t, end))


@get("/p/{post_id:str}/similar", name="recommendations.similar.page", include_in_schema=False)
async def show_similar(
    request: AnyRequest,
    reader: Reader,
    viewer: MaybeViewer,
    index: Index,
    post_id: FromPath[str],
    cursor: Cursor = None,
) -> PageResponse:
    """The next page of what is like a post: a part for the endless wall, a whole page for a plain link."""
    shown = await posts.get_visible(reader, viewer, post_id)
    name = "_similar" if is_fragment(request) else "show"
    return await _with_similar(name, shown, reader, viewer, index, cursor)


async def _with_similar(
    name: str,
    shown: PostView,
    reader: AsyncConnection,
    viewer: Viewer | None,
    index: VectorIndex,
    cursor: str | None,
    moment: str = "",
) -> PageResponse:
    similar = await list_similar(reader, index, viewer, shown.id, cursor, WALL)
    has_sound = name == "show" and shown.media_type in ("audio", "video")
    return page(
        f"content/posts/{name}.html",
        post=shown,
        captions=await find_captions(reader, viewer, shown.id) if has_sound else None,
        moment=moment,
        similar=similar.items,
        next=next_address(f"{shown.url}/similar", similar.next),
        is_index_loading=not index.ready,
    )


@get("/p/{post_id:str}/proposals", name="recommendations.proposals.page", include_in_schema=False)
async def show_proposals(reader: Reader, me: Me, index: Index, post_id: FromPath[str]) -> PageResponse:
    """Drafts of tags and descriptions for one's own post; the form on it saves what its author wants of them."""
    proposals = await propose(reader, index, me, post_id)
    shown = await posts.get_visible(reader, me, post_id)
    drafts = {proposal.media_id: proposal.alt for proposal in proposals.alts}
    return page("content/posts/proposals.html", post=shown, proposals=proposals, drafts=drafts)


def _newest(own: list[PostView], items: list[FeedItem]) -> str | None:
    newest = max((*own, *(item.post for item in items)), key=lambda post: post.created_at, default=None)
    return newest.id if newest else None


def _plain(found: Page[PostView]) -> Page[FeedItem]:
    """Posts of a feed that needs no reasons: its name says it."""
    return Page([FeedItem(post=item, reason=_NO_REASON) for item in found.items], found.next)


HANDLERS: list[ControllerRouterHandler] = [show_feed, show_fresh, show_post, show_similar, show_proposals]
