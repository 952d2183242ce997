"""What can go wrong on the way to a running site, told so that a person can act. Standard library only."""

from __future__ import annotations


class LocalProblem(Exception):
    """`message` says what is wrong, `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message} {hint}".strip())
