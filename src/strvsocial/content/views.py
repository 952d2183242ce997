"""Posts as pages and the API show them. Templates and JSON read the same structs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from msgspec import Struct

from strvsocial.content.markdown import plain_text
from strvsocial.users.views import AuthorView

MediaType = Literal["text", "image", "gif", "audio", "video"]
Visibility = Literal["public", "followers", "private"]
Status = Literal["processing", "ready", "failed"]
Pending = Literal["embedding", "rendition", "captions", "waveform"]


class VariantView(Struct, frozen=True, kw_only=True):
    url: str
    mime: str
    width: int | None = None
    height: int | None = None
    bitrate: int | None = None


class StoryboardView(Struct, frozen=True, kw_only=True):
    """A sheet of small frames of a film, row by row: the one with number `n` (from 0) shows what is on the screen from
    `n * interval` to `(n + 1) * interval` seconds. Sizes are in pixels."""

    url: str
    columns: int
    rows: int
    tile_width: int
    tile_height: int
    interval: float
    count: int


class MediaView(Struct, frozen=True, kw_only=True):
    """A medium of a post. `url` is what plays or shows everywhere; `poster_url` stands in for it until it plays.

    `placeholder` is a ThumbHash in base64. `duration` is in seconds, `progress` in percent while it is processed.
    `storyboard` is for scrubbing, `preview_url` a film of a few silent seconds; both come a while after the film.
    `peaks` are up to 160 heights in percent of the waveform of a sound; `waveform_url` has up to 1000, from 0 to 1.
    """

    id: str
    kind: str
    mime: str
    url: str
    status: Status
    failure: str | None = None
    progress: int | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    alt: str = ""
    placeholder: str | None = None
    poster_url: str | None = None
    variants: list[VariantView] = []
    hls_url: str | None = None
    captions_url: str | None = None
    waveform_url: str | None = None
    peaks: list[int] = []
    storyboard: StoryboardView | None = None
    preview_url: str | None = None
    transcript: str | None = None
    language: str | None = None


class PostCounts(Struct, frozen=True):
    likes: int = 0
    comments: int = 0
    saves: int = 0
    reposts: int = 0
    views: int = 0


class PostRelation(Struct, frozen=True):
    """How the viewer stands to this post."""

    liked: bool = False
    saved: bool = False
    reposted: bool = False
    is_author: bool = False


class PostView(Struct, frozen=True, kw_only=True, dict=True):
    """A post. `text_html` is safe HTML for templates; it lies beside the fields, so that no JSON answer holds it."""

    text_html: ClassVar[str] = ""

    @property
    def excerpt(self) -> str:
        """The text without its marks, in one line, for tiles and previews. No JSON answer holds it either."""
        return plain_text(self.text_html)

    id: str
    url: str
    author: AuthorView
    title: str
    text: str
    tags: list[str]
    visibility: Visibility
    media_type: MediaType
    status: Status
    pending: list[Pending]
    failure: str | None
    media: list[MediaView]
    created_at: datetime
    updated_at: datetime
    counts: PostCounts
    viewer: PostRelation


class Reason(Struct, frozen=True, kw_only=True):
    """Why a post is in a feed. `shares` sums to 1; `post` is the viewer's own or liked post that led here, if one did."""

    kind: str
    text: str
    shares: dict[str, float] = {}
    post: dict[str, Any] | None = None


class FeedItem(Struct, frozen=True, kw_only=True):
    post: PostView
    reason: Reason


class SimilarItem(Struct, frozen=True, kw_only=True):
    post: PostView
    score: float
    spaces: list[str]


class SearchItem(Struct, frozen=True, kw_only=True):
    post: PostView
    score: float
    matched: list[str]
    highlight: str | None = None
    at: float | None = None
