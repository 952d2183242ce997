"""Posts as pages and the API show them. Templates and JSON read the same structs."""

from __future__ import annotations

import re
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


class UnfinishedView(Struct, frozen=True, kw_only=True):
    """A rendition that is not there: it waits, is being made (`progress` in percent), or failed, in words for its author."""

    name: str
    role: str
    state: Literal["waiting", "running", "failed"]
    progress: int = 0
    width: int | None = None
    height: int | None = None
    failure: str | None = None


class SizeView(Struct, frozen=True):
    """One size of a film as its author sees it come: `label` is what people call it."""

    label: str
    name: str
    state: Literal["ready", "waiting", "running", "failed"]
    progress: int


class LoudnessView(Struct, frozen=True):
    """How loud a sound was when it was sent, in LUFS and dBTP (EBU R128), and how many dB were added for serving it."""

    integrated: float
    true_peak: float
    gain: float


class MediaView(Struct, frozen=True, kw_only=True):
    """A medium of a post. `url` is what plays or shows everywhere; `poster_url` stands in for it until it plays.

    `placeholder` is a ThumbHash in base64. `duration` is in seconds, `progress` in percent while it is processed.
    `storyboard` is for scrubbing, `preview_url` a film of a few silent seconds; both come a while after the film.
    `opening` is what is said in the first lines of the transcript, which lists leave out.
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
    unfinished: list[UnfinishedView] = []
    hls_url: str | None = None
    captions_url: str | None = None
    waveform_url: str | None = None
    peaks: list[int] = []
    storyboard: StoryboardView | None = None
    preview_url: str | None = None
    loudness: LoudnessView | None = None
    transcript: str | None = None
    opening: str | None = None
    language: str | None = None

    @property
    def sizes(self) -> list[SizeView]:
        """Every size of a film, the lowest first, as long as one of them is not there."""
        missing = [one for one in self.unfinished if one.role == "rung"]
        made = [found[0] for one in self.variants if (found := _RUNG.search(one.url))] if missing else []
        sizes = [SizeView(_size_label(name), name, "ready", 100) for name in made]
        sizes += [SizeView(_size_label(one.name), one.name, one.state, one.progress) for one in missing]
        return sorted(sizes, key=lambda size: int(size.label.rstrip("p")) if size.label.endswith("p") else 0)

    @property
    def trouble(self) -> str:
        """What could not be made of it and why, in words for its author; empty when nothing failed."""
        failed = [one for one in self.unfinished if one.state == "failed"]
        if not failed:
            return ""
        sizes = [_size_label(one.name) if one.width else "the sound alone" for one in failed if one.role == "rung"]
        *most, last = [*sizes, *(_PARTS.get(one.role, one.name) for one in failed if one.role != "rung")]
        what = f"{', '.join(most)} and {last}" if most else last
        why = next((one.failure for one in failed if one.failure), "")
        return f"{what[0].upper()}{what[1:]} could not be made. {why}".strip()


_RUNG = re.compile(r"(?:h\d+|sound)\.mp4$")
_PARTS = {
    "playback": "the file for downloads",
    "storyboard": "the pictures on the timeline",
    "preview": "the preview",
    "waveform": "the waveform",
    "poster": "the still",
    "variant": "the smaller file",
}
"""What people call the parts that are no sizes."""


def _size_label(name: str) -> str:
    found = re.fullmatch(r"h(\d+)\.\w+", name)
    return f"{found[1]}p" if found else "Sound"


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
