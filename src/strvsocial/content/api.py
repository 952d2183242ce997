"""Posts and feeds as JSON, under /api/v1."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, SkipValidation
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.content import feeds, posts
from strvsocial.content.forms import edit_sent, publish_sent
from strvsocial.content.interactions import MAX_BEACONS, Beacon, get_visitor, record_beacons
from strvsocial.content.schemas import EDIT_BODY, IDEMPOTENCY_KEY, POST_BODY
from strvsocial.content.vectors import VectorView, list_vectors
from strvsocial.content.views import FeedItem, MediaType, PostView, Reason
from strvsocial.errors import Forbidden
from strvsocial.settings import Settings
from strvsocial.storage import Storage
from strvsocial.web.addresses import client_address
from strvsocial.web.input import read_input
from strvsocial.web.openapi import FORM, JSON, MULTIPART, says, takes
from strvsocial.web.paging import Cursor, Limit, Page
from strvsocial.web.viewers import Viewer

AnyRequest = Request[Any, Any, Any]
Db = NamedDependency[AsyncSession]
Reader = NamedDependency[AsyncConnection]
Me = NamedDependency[Viewer]
MaybeViewer = NamedDependency[Viewer | None]
MediaTypes = Annotated[
    list[MediaType] | None,
    QueryParameter(name="media_type", max_items=20, description="Only these kinds of posts; may be repeated."),
]


_BROKEN_OFF = {"408": "The body stopped before its end."}


class Beacons(msgspec.Struct, frozen=True):
    """What happened on somebody's screen since the last report."""

    items: Annotated[list[Beacon], msgspec.Meta(max_length=MAX_BEACONS)]


@post(
    "/posts",
    name="content.posts.publish",
    summary="Publish a post",
    tags=["posts"],
    request_max_body_size=None,
    opt={**takes(POST_BODY, MULTIPART, JSON, FORM), **says(_BROKEN_OFF, headers=IDEMPOTENCY_KEY)},
)
async def publish(
    request: AnyRequest,
    db: Db,
    storage: NamedDependency[SkipValidation[Storage]],
    settings: NamedDependency[Settings],
    me: Me,
) -> PostView:
    """Publishes a post. The kind is decided by the files' content. An `Idempotency-Key` makes repeats harmless."""
    made = await publish_sent(request, db, storage, settings, me)
    return await posts.get_visible(db, me, made.public_id)


@get("/posts/{post_id:str}", name="content.posts.show", summary="A post", tags=["posts"])
async def show(reader: Reader, viewer: MaybeViewer, post_id: FromPath[str]) -> PostView:
    """One post, with the transcripts of its media."""
    return await posts.get_visible(reader, viewer, post_id)


@patch(
    "/posts/{post_id:str}",
    name="content.posts.edit",
    summary="Edit a post",
    tags=["posts"],
    request_max_body_size=None,
    opt={**takes(EDIT_BODY, JSON, FORM, MULTIPART), **says(_BROKEN_OFF)},
)
async def edit(
    request: AnyRequest,
    db: Db,
    storage: NamedDependency[SkipValidation[Storage]],
    settings: NamedDependency[Settings],
    me: Me,
    post_id: FromPath[str],
) -> PostView:
    """Changes one's own post. What is left out stays. Media can be added, removed and put in another order."""
    # On a connection that is given back at once: a film may take an hour to arrive.
    async with request.app.state.database.read() as reader:
        await posts.check_own(reader, me, post_id)
    await edit_sent(request, db, storage, settings, me, post_id)
    return await posts.get_visible(db, me, post_id)


@delete("/posts/{post_id:str}", name="content.posts.delete", summary="Delete a post", tags=["posts"])
async def remove(db: Db, me: Me, post_id: FromPath[str]) -> None:
    """Deletes one's own post with its media and vectors; admins delete any that they see."""
    await posts.delete(db, me, post_id)


@post(
    "/posts/{post_id:str}/retry",
    name="content.posts.retry",
    summary="Try failed media again",
    tags=["posts"],
    status_code=200,
)
async def retry(request: AnyRequest, db: Db, me: Me, post_id: FromPath[str]) -> PostView:
    """Processes the failed media of one's own post again. 409 when nothing has failed."""
    await posts.retry(db, me, post_id)
    return await posts.get_visible(db, me, post_id)


@get(
    "/posts/{post_id:str}/embeddings",
    name="content.posts.embeddings",
    summary="What the site understood of a post",
    tags=["posts"],
    opt=says({"403": "Vectors of others."}),
)
async def embeddings(
    reader: Reader,
    viewer: MaybeViewer,
    post_id: FromPath[str],
    vectors: Annotated[bool, QueryParameter(description="With the vectors: authors and admins only.")] = False,
) -> Page[VectorView]:
    """The spaces in which a post has a vector."""
    view = await posts.get_visible(reader, viewer, post_id)
    if vectors and not (view.viewer.is_author or (viewer and viewer.is_admin)):
        raise Forbidden("Vectors are shown to the author and to admins only.")
    return Page(await list_vectors(reader, post_id, with_vectors=vectors))


@get("/users/{username:str}/posts", name="content.users.posts", summary="A person's posts", tags=["posts"])
async def of_user(
    reader: Reader, viewer: MaybeViewer, username: FromPath[str], cursor: Cursor = None, limit: Limit = 20
) -> Page[PostView]:
    """One person's posts, newest first."""
    return await feeds.list_by_author(reader, viewer, username, cursor, limit)


@get("/feeds/latest", name="content.feeds.latest", summary="The latest posts", tags=["feeds"])
async def latest(
    reader: Reader,
    viewer: MaybeViewer,
    media_type: MediaTypes = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[FeedItem]:
    """Everything that one may see, newest first."""
    page = await feeds.list_latest(reader, viewer, cursor, limit, media_type or ())
    reason = Reason(kind="latest", text="New here", shares={"recency": 1.0})
    return Page([FeedItem(post=item, reason=reason) for item in page.items], page.next)


@get("/feeds/following", name="content.feeds.following", summary="Posts of people one follows", tags=["feeds"])
async def following(reader: Reader, me: Me, cursor: Cursor = None, limit: Limit = 20) -> Page[FeedItem]:
    """The posts of the people whom one follows, newest first."""
    page = await feeds.list_following(reader, me, cursor, limit)
    return Page([FeedItem(post=item, reason=_followed(item)) for item in page.items], page.next)


def _followed(item: PostView) -> Reason:
    name = item.author.display_name or item.author.username
    return Reason(kind="following", text=f"You follow {name}", shares={"following": 1.0})


@post(
    "/interactions",
    name="content.interactions.report",
    summary="Report what was seen",
    tags=["posts"],
    status_code=204,
    opt=takes(Beacons, JSON),
)
async def report(request: AnyRequest, db: Db, settings: NamedDependency[Settings], viewer: MaybeViewer) -> None:
    """Notes what was seen, opened and played, at most 50 at once; unknown posts are passed over."""
    beacons = await read_input(request, Beacons)
    visitor = None
    if viewer is None:
        address = client_address(request.scope, settings.trusted_proxies)
        visitor = await get_visitor(db, address, request.headers.get("user-agent", ""))
    await record_beacons(db, viewer.id if viewer else None, visitor, beacons.items)


HANDLERS = [publish, show, edit, remove, retry, embeddings, of_user, latest, following, report]
