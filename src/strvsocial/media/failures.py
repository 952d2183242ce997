"""Why a file cannot be shown, in words for the person who posted it."""

from __future__ import annotations

from strvsocial.errors import StrvError
from strvsocial.media.sandbox import Crashed, DecoderFailed, Refused, TimedOut

NOUNS = {"image": "a picture", "gif": "an animation", "audio": "a sound", "video": "a video"}


class CannotDecode(StrvError):
    """The file is hopeless: trying again cannot help. `message` is for people."""

    status, code, message = 422, "cannot_decode", "This file is damaged or is not of a kind that we can open."


class TookTooLong(StrvError):
    """A decoder was stopped at its time limit of `seconds`. `message` is for people."""

    status, code = 503, "took_too_long"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        minutes = max(1, round(seconds / 60))
        told = "minute" if minutes == 1 else f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
        super().__init__(f"Preparing this took longer than the {told} that we allow. Try again when less is going on.")


def damaged(kind: str) -> CannotDecode:
    return CannotDecode(f"This file is damaged or is not {NOUNS[kind]} that we can open.")


def explain(failure: DecoderFailed, kind: str, max_pixels: int) -> Exception:
    """What to raise for a decoder's failure: CannotDecode when the file is to blame, TookTooLong at the end of its time,
    else the failure, to be tried again."""
    if isinstance(failure, TimedOut):
        return TookTooLong(failure.seconds)
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
