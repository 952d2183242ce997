"""Files made to escape: to read another file, to call somebody, or to wake a decoder that is not wanted."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from strvsocial.media.sandbox import find_ffmpeg

SECRET = "secret.ts"
"""The film of somebody else. It lies beside the source, too, so that no missing file makes a refusal."""
BARS = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")


class Bait(NamedTuple):
    """What a hostile file would like to reach: a film by its path, and a server by its port."""

    film: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/x.ts"


def ffmpeg(path: Path, *arguments: str) -> bytes:
    """The file that ffmpeg makes of the arguments at `path`, as bytes."""
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return path.read_bytes()


def playlist(address: str, *lines: str) -> bytes:
    head = ("#EXTM3U", "#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-TARGETDURATION:2", *lines)
    return "\n".join([*head, "#EXTINF:1.0,", address, "#EXT-X-ENDLIST", ""]).encode()


def _master(bait: Bait) -> bytes:
    return (
        f'#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="s",URI="{bait.address}"\n'
        f'#EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES="s"\n{bait.address}\n'
    ).encode()


def _dash(bait: Bait) -> bytes:
    return (
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{bait.address}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ).encode()


def _svg(address: str) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="{address}"/></svg>'.encode()


def _key(address: str) -> str:
    return f'#EXT-X-KEY:METHOD=AES-128,URI="{address}"'


def _behind_a_tag(content: bytes) -> bytes:
    """ffmpeg passes over the tag that stands before MP3 and looks at what follows."""
    return b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + content


WRITTEN: dict[str, Callable[[Bait], bytes]] = {
    "hls-file": lambda bait: playlist(f"file://{bait.film}"),
    "hls-beside": lambda _: playlist(SECRET),
    "hls-text": lambda _: playlist("file:///etc/passwd"),
    "hls-http": lambda bait: playlist(bait.address),
    "hls-key": lambda bait: playlist(SECRET, _key(bait.address)),
    "hls-data": lambda _: playlist("data:video/mp2t;base64,R0ARABAAALANAAHBAAAAAfAAKrEEsg=="),
    "hls-concat": lambda bait: playlist(f"concat:{bait.film}|file:///etc/passwd"),
    "hls-subfile": lambda bait: playlist(f"subfile,,start,0,end,0,,:{bait.film}"),
    "hls-master": _master,
    "hls-behind-a-tag": lambda _: _behind_a_tag(playlist(SECRET)),
    "ffconcat": lambda _: f"ffconcat version 1.0\nfile {SECRET}\n".encode(),
    "ffconcat-absolute": lambda bait: f"ffconcat version 1.0\nfile {bait.film}\n".encode(),
    "ffconcat-http": lambda bait: f"ffconcat version 1.0\nfile '{bait.address}'\n".encode(),
    "dash": _dash,
    "sdp": lambda _: (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "rtsp-reference": lambda bait: f"[Reference]\nRef1={bait.address}\n".encode(),
    "vobsub": lambda _: b"# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
    "subtitles": lambda _: (
        b"[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00.00,0:00:09.00,,,0,0,0,,x\n"
    ),
    "avisynth": lambda bait: f'DirectShowSource("{bait.address}")\n'.encode(),
    "ffmetadata": lambda _: b";FFMETADATA1\ntitle=x\n",
    "svg": lambda _: _svg("file:///etc/passwd"),
    "svg-http": lambda bait: _svg(bait.address),
    "postscript": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file showpage\n",
    "pdf": lambda bait: f"%PDF-1.4\n1 0 obj<</Type/Catalog/URI(<{bait.address}>)>>endobj\n%%EOF\n".encode(),
    "magick": lambda bait: f"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 '{bait.address}'\n".encode(),
    "html": lambda _: b"<!doctype html><script>alert(1)</script>" * 100,
    "zip": lambda _: b"PK\x03\x04\x14\x00" + bytes(500) + b"PK\x05\x06" + bytes(18),
    "script": lambda _: b"#!/bin/sh\ntouch /tmp/escaped\n",
    "noise": lambda _: random.Random(1).randbytes(200_000),
}
ENCODED: dict[str, tuple[str, ...]] = {
    "magicyuv.avi": ("-c:v", "magicyuv", "-pix_fmt", "gbrp"),
    "magicyuv.mkv": ("-c:v", "magicyuv", "-pix_fmt", "gbrp"),
    "magicyuv.mov": ("-c:v", "magicyuv", "-pix_fmt", "gbrp"),
    "ffv1.mkv": ("-c:v", "ffv1"),
    "huffyuv.avi": ("-c:v", "huffyuv"),
    "mpeg2.ts": ("-c:v", "mpeg2video"),
}
"""Containers and codecs that ffmpeg knows and we do not read."""
ELSEWHERE = "elsewhere.mov"
"""A film in QuickTime whose pictures lie in another file."""
ESCAPES = [*WRITTEN, *ENCODED, ELSEWHERE]


def write(name: str, bait: Bait, source: Path) -> None:
    """Writes the hostile file `name` to `source`, and the secret beside it."""
    (source.parent / SECRET).write_bytes(bait.film.read_bytes())
    if name in WRITTEN:
        source.write_bytes(WRITTEN[name](bait))
    elif name == ELSEWHERE:
        whole = ffmpeg(source.with_name("whole.mov"), *BARS, *X264)
        source.write_bytes(pointed_elsewhere(whole, "whole.mov"))
    else:
        source.write_bytes(ffmpeg(bait.film.with_name(name), *BARS, *ENCODED[name]))


def pointed_elsewhere(film: bytes, name: str) -> bytes:
    """The film with a data reference (QuickTime File Format, "Data reference atoms") to the file called `name`."""
    path = name.encode()
    alias = bytes(10) + b"\x01v".ljust(28, b"\0") + bytes(12) + bytes([len(path)]) + path.ljust(63, b"\0") + bytes(16)
    alias += b"\0\x01\0\x01" + bytes(16)
    alias += b"\0\x02" + len(path).to_bytes(2, "big") + path + bytes(len(path) % 2) + b"\xff\xff\0\0"
    entry = _box(b"alis", bytes(4) + alias)
    reference = _box(b"dref", bytes(4) + (1).to_bytes(4, "big") + entry)
    return _replace(film, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), reference)


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def _replace(boxes: bytes, path: Sequence[bytes], by: bytes) -> bytes:
    """The boxes with the one at `path` replaced, and the sizes of those around it corrected."""
    made, at = b"", 0
    while at < len(boxes):
        size, kind = int.from_bytes(boxes[at : at + 4], "big"), boxes[at + 4 : at + 8]
        box = boxes[at : at + size]
        if kind == path[0]:
            box = by if len(path) == 1 else _box(kind, _replace(box[8:], path[1:], by))
        made, at = made + box, at + size
    return made
