"""Errors that carry their status. One renderer answers a page, a fragment or JSON (`strvsocial.web.failures`).

StrvError
├── NotSignedIn      401    ├── Conflict          409
├── Forbidden        403    ├── TooLarge          413
├── NotFound         404    ├── UnsupportedMedia  415
├── Unavailable      503    ├── BadInput          422
└── TooManyRequests  429
"""

from __future__ import annotations


class StrvError(Exception):
    """Something that a person or a client can be told."""

    status = 500
    code = "internal"
    message = "Something went wrong on our side. It was logged; please try again."

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        fields: dict[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.message = message or type(self).message
        self.code = code or type(self).code
        self.fields = fields
        self.retry_after = retry_after
        super().__init__(self.message)


class NotSignedIn(StrvError):
    status, code, message = 401, "not_signed_in", "Please sign in first."


class Forbidden(StrvError):
    status, code, message = 403, "forbidden", "You may not do this."


class NotFound(StrvError):
    status, code, message = 404, "not_found", "There is nothing here, or it is not yours to see."


class Conflict(StrvError):
    status, code, message = 409, "conflict", "Somebody was here first."


class TooLarge(StrvError):
    status, code, message = 413, "too_large", "That is larger than we take."


class UnsupportedMedia(StrvError):
    status, code, message = 415, "unsupported_media", "We do not take this kind of file."


class BadInput(StrvError):
    """`fields` names every bad field at once."""

    status, code, message = 422, "bad_input", "Some fields need another look."


class TooManyRequests(StrvError):
    status, code, message = 429, "too_many_requests", "That was a lot at once. Please wait a moment."


class Unavailable(StrvError):
    status, code, message = 503, "unavailable", "A part of the site is resting. Please try again in a moment."
