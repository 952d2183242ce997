"""Why a file cannot be shown, in words for the person who posted it."""

from __future__ import annotations

from strvsocial.errors import StrvError
from strvsocial.media.sandbox import Crashed, DecoderFailed, Refused

NOUNS = {"image": "a picture", "gif": "an animation", "audio": "a sound", "video": "a video"}


class CannotDecode(StrvError):
    """The file is hopeless: trying again cannot help. `message` is for people."""

    status, code, message = 422, "cannot_decode", "This file is damaged or is not of a kind that we can open."


def damaged(kind: str) -> CannotDecode:
    return CannotDecode(f"This file is damaged or is not {NOUNS[kind]} that we can open.")


def explain(failure: DecoderFailed, kind: str, max_pixels: int) -> Exception:
    """What to raise for a decoder's failure: CannotDecode when the file is to blame, else the failure, to be tried again."""
    if isinstance(failure, Refused):
        if failure.reason == "too_large" and "pixels" in failure.details:
            megapixels = max(1, round(failure.details["pixels"] / 1e6))
            return CannotDecode(
                f"This picture is too large: {megapixels} megapixels, and we take {max_pixels // 1_000_000}."
            )
        if failure.reason == "too_large":
            return CannotDecode("This file is too large for us to open.")
        if failure.reason == "too_many_frames":
            return CannotDecode(
                f"This animation is too long: we take {failure.details['limit']} frames. Please post it as a video."
            )
        if failure.reason == "unsupported":
            return CannotDecode("HEIC pictures cannot be opened here. Please send this one as JPEG, PNG, WebP or AVIF.")
        return damaged(kind)
    if isinstance(failure, Crashed) and failure.by_file:
        return damaged(kind)
    return failure
