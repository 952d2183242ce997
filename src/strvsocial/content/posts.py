"""Posts: reading one."""

from __future__ import annotations

from strvsocial.content.cards import Reader, find_card
from strvsocial.content.views import PostView
from strvsocial.errors import NotFound
from strvsocial.web.viewers import Viewer


async def get_visible(reader: Reader, viewer: Viewer | None, public_id: str) -> PostView:
    """One post, with transcripts, if `viewer` may see it; else NotFound."""
    view = await find_card(reader, viewer.id if viewer else None, public_id)
    if view is None:
        raise NotFound("This post is not there, or it is not yours to see.")
    return view
