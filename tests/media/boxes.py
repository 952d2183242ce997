"""When the streams of a fragmented MP4 begin, as browsers take it: by fragments, and by an edit list that has one edit.

ISO/IEC 14496-12: `tfdt` and `trun` say when frames are shown, `elst` what is taken off. Chromium heeds one edit, no more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Start(NamedTuple):
    """The first frame of a stream, in seconds, and how many edits its edit list has."""

    seconds: float
    edits: int


def starts(path: Path) -> dict[str, Start]:
    """By the kind of stream: `vide`, `soun`."""
    content = path.read_bytes()
    found: dict[str, Start] = {}
    for trak in _find(content, "moov", "trak"):
        number = struct.unpack_from(">I", _one(trak, "tkhd"), 20 if _one(trak, "tkhd")[0] else 12)[0]
        header = _one(trak, "mdia", "mdhd")
        scale = struct.unpack_from(">I", header, 20 if header[0] else 12)[0]
        edits = [edit for elst in _find(trak, "edts", "elst") for edit in _edits(elst)]
        taken_off = max(0, edits[0]) if len(edits) == 1 else 0
        begin = min(_times(content, number))
        found[_one(trak, "mdia", "hdlr")[8:12].decode()] = Start((begin - taken_off) / scale, len(edits))
    return found


def _edits(elst: bytes) -> list[int]:
    """The media time of each edit; -1 is an empty one."""
    layout = ">Qqi" if elst[0] else ">Iii"
    count, size = struct.unpack_from(">I", elst, 4)[0], struct.calcsize(layout)
    return [struct.unpack_from(layout, elst, 8 + n * size)[1] for n in range(count)]


def _times(content: bytes, number: int) -> list[int]:
    """When the frames of the track's first fragment are shown, in units of its time scale."""
    for traf in _find(content, "moof", "traf"):
        header = _one(traf, "tfhd")
        flags, track = struct.unpack_from(">II", header)
        if track != number:
            continue
        place = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
        usual = struct.unpack_from(">I", header, place)[0] if flags & 8 else 0
        decoded = struct.unpack_from(">Q" if _one(traf, "tfdt")[0] else ">I", _one(traf, "tfdt"), 4)[0]
        return _shown(_one(traf, "trun"), decoded, usual)
    raise AssertionError(f"no fragment of track {number}")


def _shown(trun: bytes, decoded: int, usual: int) -> list[int]:
    flags, count = struct.unpack_from(">II", trun)
    place, times = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4), []
    for _ in range(count):
        fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
        values = dict(zip(fields, struct.unpack_from(f">{len(fields)}i", trun, place), strict=True))
        place += 4 * len(fields)
        times.append(decoded + values.get(0x800, 0))
        decoded += values.get(0x100, usual)
    return times


def _find(content: bytes, *names: str) -> Iterator[bytes]:
    """What is in the boxes that lie below each other under these names."""
    place = 0
    while place + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        head = 16 if size == 1 else 8
        size = struct.unpack_from(">Q", content, place + 8)[0] if size == 1 else size or len(content) - place
        if name.decode("latin1") == names[0]:
            inside = content[place + head : place + size]
            yield from _find(inside, *names[1:]) if names[1:] else (inside,)
        place += size


def _one(content: bytes, *names: str) -> bytes:
    return next(_find(content, *names))
