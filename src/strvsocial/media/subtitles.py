"""Captions as files: WebVTT as browsers read it, WebVTT and SubRip as people bring them.

WebVTT: https://www.w3.org/TR/webvtt1/
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import NamedTuple

import pysubs2

from strvsocial.errors import BadInput

MAX_BYTES = 1_000_000
MAX_CUES = 5_000
MAX_CUE_TEXT = 500


class Cue(NamedTuple):
    """What is said from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


def read_subtitles(content: str) -> list[Cue]:
    """The cues of a WebVTT or SubRip file in the order of their times, without styles. Raises BadInput."""
    content = content.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    kind = "vtt" if content.startswith("WEBVTT") else "srt"
    try:
        found = pysubs2.SSAFile.from_string(content, format_=kind)
    except (pysubs2.Pysubs2Error, ValueError) as error:
        raise _not_captions() from error
    cues = [Cue(event.start / 1000, event.end / 1000, _plain(event)) for event in found]
    cues = sorted(cue for cue in cues if cue.text)
    if not cues:
        raise _not_captions()
    return cues


def write_webvtt(cues: Iterable[Cue]) -> str:
    """The cues as a WebVTT file."""
    blocks = [f"{_stamp(cue.start)} --> {_stamp(cue.end)}\n{_escaped(cue.text)}\n" for cue in cues]
    return "\n".join(["WEBVTT\n", *blocks])


def _not_captions() -> BadInput:
    return BadInput(fields={"file": "There are no captions in this. Give WebVTT (.vtt) or SubRip (.srt)."})


def _plain(event: pysubs2.SSAEvent) -> str:
    lines = (" ".join(html.unescape(line).split()) for line in event.plaintext.split("\n"))
    return "\n".join(line for line in lines if line)


def _escaped(text: str) -> str:
    """Text between whose lines no cue can begin or end. `>` covers the arrow, too."""
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
    return html.escape("\n".join(lines), quote=False)


def _stamp(seconds: float) -> str:
    whole, milliseconds = divmod(max(0, round(seconds * 1000)), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{milliseconds:03}"
