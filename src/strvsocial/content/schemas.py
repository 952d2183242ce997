"""Bodies that hold files, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

from strvsocial.content.drafts import MAX_ALT, MAX_IMAGES, MAX_KEY, MAX_TITLE
from strvsocial.content.markdown import MAX_TEXT
from strvsocial.content.models import VISIBILITIES
from strvsocial.content.tags import MAX_TAG, MAX_TAGS


def _texts(description: str, most: int = MAX_IMAGES, **item: Any) -> dict[str, Any]:
    return {"type": "array", "maxItems": most, "items": {"type": "string", **item}, "description": description}


_MAX_ID = 64


_WORDS: dict[str, Any] = {
    "title": {"type": "string", "minLength": 1, "maxLength": MAX_TITLE},
    "text": {"type": "string", "maxLength": MAX_TEXT, "description": "Markdown: no headings, images or HTML."},
    "tags": _texts("Letters, digits, “_”, “-”. #tags in the text are added.", MAX_TAGS, maxLength=MAX_TAG),
    "visibility": {"type": "string", "enum": list(VISIBILITIES)},
}
_FILES: dict[str, Any] = {
    "file": _texts("Form only: up to 10 images, or one GIF, audio or video.", format="binary"),
    "upload": _texts("Ids of finished uploads, in place of files or after them.", maxLength=_MAX_ID),
    "alt": _texts("Descriptions, in the order of the files and uploads.", maxLength=MAX_ALT),
}

POST_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["title"],
    "additionalProperties": False,
    "properties": {
        **_WORDS,
        **_FILES,
        "idempotency_key": {
            "type": "string",
            "maxLength": MAX_KEY,
            "description": "For plain forms, in place of the Idempotency-Key header.",
        },
    },
}
EDIT_BODY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **_WORDS,
        "alts": _texts("New descriptions of the present media, in their present order.", maxLength=MAX_ALT),
        "remove": _texts("Ids of media to take away.", maxLength=_MAX_ID),
        "order": _texts("Ids of media in their new order; those left out follow as they were.", maxLength=_MAX_ID),
        **_FILES,
    },
}

IDEMPOTENCY_KEY: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY,
        "description": "Requests of one person with the same key make one post.",
    }
}
