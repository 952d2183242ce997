"""Opens a picture with libvips (HEIC with libheif) and writes what the site serves of it. Runs in the sandbox,
imports nothing of ours.

What sRGB cannot hold stays in Display P3; everything else becomes sRGB, and so does whatever is no rendition.

The request names a `task`:
`renditions`  `source` to WebP and AVIF at `widths`, `frames` (256 x 256 RGB) and 32 px for the placeholder;
`avatar`      `source` to a square `avatar.webp` of `size` pixels;
`poster`      `picture`, raw RGB of `width` x `height` or an encoded picture, to `poster.webp` and the placeholder;
`storyboard`  `sheet`, raw RGB of `width` x `height`, to `storyboard.webp`.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import pyvips

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # An isolated Python does not look beside the script.
from colours import SEARCHED, SRGB, WIDE, is_wide, profile_of_numbers, told_profile  # type: ignore[import-not-found]

HEIF_ERRORS = (ValueError, LookupError, RuntimeError, OSError, SyntaxError, EOFError)
"""What pillow_heif makes of libheif's errors."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Heif")
BOX, LONG_BOX = 2048, (8192, 1024)
"""Pixels each way; and for what is more than twice as long as wide, so that a long page can still be read."""
POSTER_BOX = 1280
FRAME = 256
TINY = 32
TOLD = "told.icc"


class Refused(Exception):
    """Carried to the worker as `{"refused": reason, …}`."""

    def __init__(self, reason: str, **details: Any) -> None:
        self.answer = {"refused": reason, **details}


def open_loaders() -> None:
    """Blocks every loader of libvips (it has SVG, PDF, Matlab and more), then lets the wanted ones in again."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{loader}", False)
    pyvips.cache_set_max(0)


def read_header(max_pixels: int, name: str = "source") -> Any:
    """The picture before any pixel is decoded. Raises Refused when it would be too large."""
    try:
        header = pyvips.Image.new_from_file(name, access="sequential")
    except pyvips.Error as error:
        sys.stderr.write(str(error))
        raise Refused("damaged") from None
    if header.width * header.height > max_pixels:
        raise Refused("too_large", pixels=header.width * header.height)
    return header


def page_count(header: Any) -> int:
    """More than one for animations; an animated PNG is told by its `acTL` chunk before the first picture data."""
    if header.get("vips-loader").startswith(("gifload", "webpload")):
        return int(header.get("n-pages")) if header.get_typeof("n-pages") else 1
    if header.get("vips-loader").startswith("pngload"):
        with open("source", "rb") as file:
            start = file.read(SEARCHED)
        return 2 if b"acTL" in start.partition(b"IDAT")[0] else 1
    return 1


def box_of(width: int, height: int) -> tuple[int, int]:
    """How wide and high the largest rendition of such a picture may be."""
    if max(width, height) <= 2 * min(width, height):
        return BOX, BOX
    return LONG_BOX if width > height else LONG_BOX[::-1]


def find_colours() -> tuple[str, str | None]:
    """The profile to make renditions of `source` in, and a file with its own when it carries none but is not sRGB."""
    header = pyvips.Image.new_from_file("source", access="sequential")
    if header.get_typeof("icc-profile-data"):
        return WIDE if is_wide(header.get("icc-profile-data")) else SRGB, None
    with open("source", "rb") as file:
        told = told_profile(header, file.read(SEARCHED))
    if told is None:
        return SRGB, None
    with open(TOLD, "wb") as file:
        file.write(told)
    return WIDE if is_wide(told) else SRGB, TOLD


def shrink(
    box: tuple[int, int], crop: bool = False, name: str = "source", profile: str = SRGB, told: str | None = None
) -> Any:
    """The picture upright, in 8-bit RGB, at most as wide and high as `box` (or cropped to it), in memory."""
    picture = pyvips.Image.thumbnail(
        name,
        box[0],
        height=box[1],
        size="both" if crop else "down",
        crop="centre" if crop else "none",
        output_profile=profile,
        fail_on="truncated",
        **({"input_profile": told} if told else {}),
    )
    return plain(picture)


def plain(picture: Any) -> Any:
    if picture.interpretation not in ("srgb", "b-w"):
        picture = picture.colourspace("srgb")
    if picture.interpretation == "b-w":
        picture = picture.colourspace("srgb")
    return picture.cast("uchar").copy_memory()


def flat(picture: Any) -> Any:
    return picture.flatten(background=[255, 255, 255]) if picture.hasalpha() else picture


def save(picture: Any, stem: str, kinds: Sequence[str] = ("webp", "avif"), profile: str = SRGB) -> list[dict[str, Any]]:
    """Writes WebP and AVIF without any metadata, but with the profile where the colours are not those of sRGB."""
    keep = "icc" if profile == WIDE else "none"
    for kind in kinds:
        if kind == "webp":
            picture.webpsave(f"{stem}.webp", Q=80, effort=4, smart_subsample=True, keep=keep)
        else:
            picture.heifsave(f"{stem}.avif", Q=55, effort=2, compression="av1", bitdepth=8, keep=keep)
    size = {"width": picture.width, "height": picture.height}
    return [{"name": f"{stem}.{kind}", **size} for kind in kinds]


def tiny(picture: Any) -> dict[str, Any]:
    """RGBA bytes for the placeholder, at most 32 pixels wide and high."""
    small = picture.thumbnail_image(TINY, height=TINY, size="down", output_profile=SRGB)
    if not small.hasalpha():
        small = small.bandjoin(255)
    small = small.cast("uchar")
    return {
        "width": small.width,
        "height": small.height,
        "rgba": base64.b64encode(small.write_to_memory()).decode(),
    }


def write_frame(picture: Any) -> None:
    """One 256 x 256 RGB frame for the embedder: the square in the middle, resized."""
    side = min(picture.width, picture.height)
    middle = flat(picture).crop((picture.width - side) // 2, (picture.height - side) // 2, side, side)
    frame = middle.thumbnail_image(FRAME, height=FRAME, size="force", output_profile=SRGB)
    with open("frames", "wb") as file:
        file.write(frame.cast("uchar").write_to_memory())


def is_heic(name: str) -> bool:
    """HEIC by its brand; AVIF, its sibling, is libvips' own."""
    with open(name, "rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def unpack_heic(max_pixels: int) -> tuple[int, int]:
    """Turns an HEIC `source` into a small PNG of the same name, upright; returns its size before."""
    import pillow_heif

    try:
        heic = pillow_heif.open_heif("source", convert_hdr_to_8bit=False)
        width, height = heic.size
        if width * height > max_pixels:
            raise Refused("too_large", pixels=width * height)
        kind, _, deep = heic.mode.partition(";")
        bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[kind]
        stride, rows = heic.stride // (2 if deep else 1) // bands, bytes(heic.data)
    except HEIF_ERRORS as error:
        sys.stderr.write(repr(error))
        raise Refused("damaged") from None
    picture = pyvips.Image.new_from_memory(rows, stride, height, bands, "ushort" if deep else "uchar")
    meaning = ("grey16" if deep else "b-w") if bands < 3 else ("rgb16" if deep else "srgb")
    picture = picture.crop(0, 0, width, height).copy(interpretation=meaning)
    numbers = heic.info.get("nclx_profile") or {}
    told = profile_of_numbers(numbers.get("color_primaries", 2), numbers.get("transfer_characteristics", 2))
    profile = heic.info.get("icc_profile") or told
    if profile:
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    target = WIDE if profile and is_wide(profile) else SRGB
    across, down = box_of(width, height)
    small = picture.thumbnail_image(across, height=down, size="down", output_profile=target)
    plain(small).pngsave("unpacked", compression=1, keep="icc" if target == WIDE else "none")
    os.replace("unpacked", "source")
    return width, height


def open_source(max_pixels: int) -> tuple[int, int, int]:
    """Width and height as shown, and the count of pages, once the source is known to be one that may be opened."""
    if is_heic("source"):
        return *unpack_heic(max_pixels), 1
    header = read_header(max_pixels)
    turned = header.get_typeof("orientation") and header.get("orientation") >= 5
    size = (header.height, header.width) if turned else (header.width, header.height)
    return *size, page_count(header)


def make_renditions(request: dict[str, Any]) -> dict[str, Any]:
    width, height, pages = open_source(request["max_pixels"])
    if pages > 1 and request["animation_elsewhere"]:
        return {"pages": pages}
    profile, told = find_colours()
    base = shrink(box_of(width, height), profile=profile, told=told)
    widths = [width for width in request["widths"] if width < base.width]
    made = []
    for target in widths:
        made += save(plain(base.thumbnail_image(target, height=10_000_000, size="down")), f"w{target}", profile=profile)
    made += save(base, f"w{base.width}", profile=profile)
    write_frame(base)
    return {"pages": pages, "width": width, "height": height, "made": made, "tiny": tiny(base)}


def make_avatar(request: dict[str, Any]) -> dict[str, Any]:
    open_source(request["max_pixels"])
    _, told = find_colours()
    shrink((request["size"], request["size"]), crop=True, told=told).webpsave(
        "avatar.webp", Q=82, effort=4, keep="none"
    )
    return {}


def make_poster(request: dict[str, Any]) -> dict[str, Any]:
    if "width" in request:
        with open("picture", "rb") as file:
            picture = pyvips.Image.new_from_memory(file.read(), request["width"], request["height"], 3, "uchar")
        picture = picture.copy(interpretation="srgb").thumbnail_image(POSTER_BOX, height=POSTER_BOX, size="down")
    else:
        read_header(request["max_pixels"], "picture")
        picture = shrink((POSTER_BOX, POSTER_BOX), name="picture")
    picture = plain(picture)
    return {"made": save(picture, "poster", ["webp"]), "tiny": tiny(picture)}


def make_storyboard(request: dict[str, Any]) -> dict[str, Any]:
    with open("sheet", "rb") as file:
        sheet = pyvips.Image.new_from_memory(file.read(), request["width"], request["height"], 3, "uchar")
    sheet.copy(interpretation="srgb").webpsave("storyboard.webp", Q=60, effort=4, keep="none")
    return {}


TASKS = {"renditions": make_renditions, "avatar": make_avatar, "poster": make_poster, "storyboard": make_storyboard}


def main(request: dict[str, Any]) -> dict[str, Any]:
    open_loaders()
    try:
        return TASKS[request["task"]](request)
    except Refused as refused:
        return refused.answer
    except pyvips.Error as error:
        sys.stderr.write(str(error))
        return {"refused": "damaged"}
    except MemoryError:
        return {"refused": "too_large"}
    except ImportError:
        return {"refused": "unsupported"}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
