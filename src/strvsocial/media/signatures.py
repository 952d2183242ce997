"""What a file is, by its first bytes: never by its name nor by what the client says.

Only what is in the table is taken. Everything else (SVG, HTML, PDF, archives, playlists, ffconcat, text) is refused by
not being in it. A file that is two things at once is what its first bytes say; the decoder's probe has the last word
later. Sources: RFC 2083, RFC 9649 (WebP), ISO 14496-12 and mp4ra.org (brands), RFC 8794 and 9559 (Matroska), RFC 3533
and 7845 (Ogg, Opus), RFC 9639 (FLAC), Apple's AIFF-C draft of 1991, ISO 11172-3 and 13818-7 (MPEG audio headers), id3.org (ID3v2.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from strvsocial.errors import UnsupportedMedia

HEAD_BYTES = 64 * 1024
"""How much of a file's beginning is looked at. Less is enough when the file is shorter."""


class Kind(NamedTuple):
    """`media_type` is `image`, `gif`, `audio` or `video`; `mime` is what the content is."""

    media_type: str
    mime: str


JPEG, PNG = Kind("image", "image/jpeg"), Kind("image", "image/png")
WEBP, AVIF, HEIC = Kind("image", "image/webp"), Kind("image", "image/avif"), Kind("image", "image/heic")
GIF = Kind("gif", "image/gif")
MP3, AAC, M4A = Kind("audio", "audio/mpeg"), Kind("audio", "audio/aac"), Kind("audio", "audio/mp4")
FLAC, WAV, OGG = Kind("audio", "audio/flac"), Kind("audio", "audio/wav"), Kind("audio", "audio/ogg")
AIFF = Kind("audio", "audio/aiff")
WEBM_AUDIO, MATROSKA_AUDIO = Kind("audio", "audio/webm"), Kind("audio", "audio/x-matroska")
MP4, MOV, OGV = Kind("video", "video/mp4"), Kind("video", "video/quicktime"), Kind("video", "video/ogg")
WEBM, MATROSKA = Kind("video", "video/webm"), Kind("video", "video/x-matroska")

ACCEPTED = (
    *(JPEG, PNG, WEBP, AVIF, HEIC, GIF, MP3, AAC, M4A, FLAC, WAV, AIFF, OGG),
    *(WEBM_AUDIO, MATROSKA_AUDIO, MP4, MOV, OGV, WEBM, MATROSKA),
)

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_FILM_BRANDS = {b"isom", b"mp41", b"mp42", b"mp71", b"avc1", b"dash", b"M4V ", b"MSNV", b"mmp4", b"f4v ", b"XAVC"}
_FILM_FAMILIES = (b"iso", b"3gp", b"3g2", b"3ge", b"3gs")
_HANDLER = re.compile(rb"hdlr.{8}(vide|soun)", re.DOTALL)
_CODEC = re.compile(rb"\x86[\x80-\xbf]([AV])_[A-Z0-9]")
_OGG_SOUND = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_OGG_FILM = (b"\x80theora", b"BBCD\x00")


def sniff(head: bytes) -> Kind | None:
    """What the file that begins with `head` is, or None when it is nothing that we take. Never raises."""
    for start, kind in _BY_START:
        if head.startswith(start):
            return kind if isinstance(kind, Kind) else kind(head)
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[4:8] in (b"moov", b"mdat", b"wide"):  # QuickTime from before brands.
        return MOV
    return _mpeg_audio(head)


def get_kind(head: bytes) -> Kind:
    """As `sniff`; raises UnsupportedMedia with a text for people."""
    kind = sniff(head)
    if kind is None:
        start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if b"<svg" in start:
            raise UnsupportedMedia("SVG drawings are not taken. Please save the picture as PNG and try again.")
        raise UnsupportedMedia(
            "This is not a kind of file that we take: pictures (JPEG, PNG, WebP, AVIF, HEIC), GIFs, "
            "sound (MP3, M4A, FLAC, OGG, WAV, AIFF, AAC) and film (MP4, MOV, WebM, MKV)."
        )
    return kind


def _riff(head: bytes) -> Kind | None:
    return {b"WEBP": WEBP, b"WAVE": WAV}.get(head[8:12])


def _iff(head: bytes) -> Kind | None:
    return AIFF if head[8:12] in (b"AIFF", b"AIFC") else None


def _iso_media(head: bytes) -> Kind | None:
    size = int.from_bytes(head[:4], "big")
    if not 16 <= size <= 4096:
        return None
    major, listed = head[8:12], head[16 : min(size, len(head))]
    brands = {major, *(listed[n : n + 4] for n in range(0, len(listed) - 3, 4))}
    if major in _AVIF_BRANDS or (major in _HEIC_BRANDS and brands & _AVIF_BRANDS):
        return AVIF
    if major in _HEIC_BRANDS:
        return HEIC
    if major in _AUDIO_BRANDS:
        return M4A
    if major == b"qt  ":
        return MOV
    if brands & _FILM_BRANDS or major.startswith(_FILM_FAMILIES):
        return M4A if _has_only_sound(head) else MP4
    return None


def _has_only_sound(head: bytes) -> bool:
    """Whether the whole `moov` box is here and names tracks of sound but none of pictures."""
    for kind, start, end in _boxes(head):
        if kind == b"moov" and end <= len(head):
            handlers = set(_HANDLER.findall(head, start, end))
            return handlers == {b"soun"}
    return False


def _boxes(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The top-level boxes that begin in `head`: type, first byte, first byte after."""
    at = 0
    while at + 16 <= len(head):
        size = int.from_bytes(head[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(head[at + 8 : at + 16], "big")
        if size < 8:
            return
        yield head[at + 4 : at + 8], at, at + size
        at += size


def _matroska(head: bytes) -> Kind | None:
    kinds = {b"webm": (WEBM, WEBM_AUDIO), b"matroska": (MATROSKA, MATROSKA_AUDIO)}
    found = re.search(rb"\x42\x82([\x81-\x90])([a-z]+)", head[:256])
    if found is None:
        return None
    name = found[2][: found[1][0] & 0x7F]
    if name not in kinds:
        return None
    film, sound = kinds[name]
    return sound if set(_CODEC.findall(head)) == {b"A"} else film


def _ogg(head: bytes) -> Kind | None:
    first_payloads = list(_ogg_streams(head))
    if any(payload.startswith(_OGG_FILM) for payload in first_payloads):
        return OGV
    if any(payload.startswith(_OGG_SOUND) for payload in first_payloads):
        return OGG
    return None


def _ogg_streams(head: bytes) -> Iterator[bytes]:
    """The beginning of each logical stream: its first page is marked, and all of these come before any other page."""
    at = 0
    while head[at : at + 4] == b"OggS" and len(head) >= at + 28 and head[at + 5] & 2:
        lacing = head[at + 27 : at + 27 + head[at + 26]]
        start = at + 27 + head[at + 26]
        yield head[start : start + 8]
        at = start + sum(lacing)


def _tagged(head: bytes) -> Kind | None:
    """ID3v2 stands before MP3 and, with some programs, before AAC or FLAC."""
    if len(head) < 10 or any(byte & 0x80 for byte in head[6:10]):
        return None
    size = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    after = head[size:].lstrip(b"\x00")
    if len(after) < 4:  # The tag, usually its picture, is longer than what we see.
        return MP3 if len(head) >= 4096 else None
    return FLAC if after.startswith(b"fLaC") else _mpeg_audio(after)


def _mpeg_audio(head: bytes) -> Kind | None:
    """MPEG audio or ADTS: a valid frame header, and another one where the first frame ends."""
    if len(head) < 8:
        return None
    for kind, length in ((MP3, _mpeg_frame_length), (AAC, _adts_frame_length)):
        first = length(head)
        if first and (first + 7 > len(head) or length(head[first : first + 7])):
            return kind
    return None


_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBITS = {
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mpeg_frame_length(head: bytes) -> int:
    """Bytes of the layer II or III frame that begins here; 0 when none does (ISO 11172-3, 2.4.1.3 and 2.4.3.1)."""
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5; 1: layer III, 2: layer II
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer not in (1, 2) or bitrate in (0, 15) or rate == 3:
        return 0
    kbits = _KBITS[(3, layer) if version == 3 else (2, 1)][bitrate - 1]
    samples = 576 if layer == 1 and version != 3 else 1152
    return samples // 8 * kbits * 1000 // _RATES[version][rate] + padding


def _adts_frame_length(head: bytes) -> int:
    """Bytes of the ADTS frame that begins here; 0 when none does (ISO 13818-7, 6.2)."""
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0


_BY_START: tuple[tuple[bytes, Kind | Callable[[bytes], Kind | None]], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"RIFF", _riff),
    (b"RF64", _riff),
    (b"FORM", _iff),
    (b"fLaC", FLAC),
    (b"OggS", _ogg),
    (b"\x1a\x45\xdf\xa3", _matroska),
    (b"ID3", _tagged),
)
