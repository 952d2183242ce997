"""Opens a picture with libvips (HEIC with libheif) and writes what the site serves of it. Runs in the sandbox,
imports nothing of ours.

The request names a `task`:
`renditions`  `source` to WebP and AVIF at `widths`, `frames` (256 x 256 RGB) and 32 px for the placeholder;
`avatar`      `source` to a square `avatar.webp` of `size` pixels;
`poster`      `picture`, raw RGB of `width` x `height` or an encoded picture, to `poster.webp` and the placeholder.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import pyvips

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Heif")
BOX = 2048
POSTER_BOX = 1280
FRAME = 256
TINY = 32


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
            start = file.read(1 << 20)
        return 2 if b"acTL" in start[: max(0, start.find(b"IDAT"))] else 1
    return 1


def shrink(box: int, crop: bool = False, name: str = "source") -> Any:
    """The picture upright, in 8-bit sRGB, at most `box` pixels wide and high (or cropped to that square), in memory."""
    picture = pyvips.Image.thumbnail(
        name,
        box,
        height=box,
        size="both" if crop else "down",
        crop="centre" if crop else "none",
        output_profile="srgb",
        fail_on="truncated",
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


def save(picture: Any, stem: str, kinds: Sequence[str] = ("webp", "avif")) -> list[dict[str, Any]]:
    """Writes WebP and AVIF without any metadata."""
    for kind in kinds:
        if kind == "webp":
            picture.webpsave(f"{stem}.webp", Q=80, effort=4, smart_subsample=True, keep="none")
        else:
            picture.heifsave(f"{stem}.avif", Q=55, effort=2, compression="av1", bitdepth=8, keep="none")
    size = {"width": picture.width, "height": picture.height}
    return [{"name": f"{stem}.{kind}", **size} for kind in kinds]


def tiny(picture: Any) -> dict[str, Any]:
    """RGBA bytes for the placeholder, at most 32 pixels wide and high."""
    small = picture.thumbnail_image(TINY, height=TINY, size="down")
    if not small.hasalpha():
        small = small.bandjoin(255)
    small = small.cast("uchar")
    return {
        "width": small.width,
        "height": small.height,
        "rgba": base64.b64encode(small.write_to_memory()).decode(),
    }


def write_frame(picture: Any) -> None:
    """One 256 x 256 RGB frame for the embedder: shorter side resized, centre cropped."""
    frame = flat(picture).thumbnail_image(FRAME, height=FRAME, size="both", crop="centre")
    with open("frames", "wb") as file:
        file.write(frame.cast("uchar").write_to_memory())


def is_heic(name: str) -> bool:
    """HEIC by its brand; AVIF, its sibling, is libvips' own."""
    with open(name, "rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def unpack_heic(max_pixels: int) -> Any:
    """Turns an HEIC `source` into a small PNG of the same name, upright and in sRGB; returns its size before."""
    import pillow_heif

    try:
        heic = pillow_heif.open_heif("source")
        width, height = heic.size
        if width * height > max_pixels:
            raise Refused("too_large", pixels=width * height)
        bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[heic.mode]
        rows = bytes(heic.data)
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        sys.stderr.write(repr(error))
        raise Refused("damaged") from None
    picture = pyvips.Image.new_from_memory(rows, heic.stride // bands, height, bands, "uchar").crop(0, 0, width, height)
    picture = picture.copy(interpretation="srgb" if bands > 2 else "b-w")
    if profile := heic.info.get("icc_profile"):
        picture = picture.copy()
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    small = picture.thumbnail_image(BOX, height=BOX, size="down", output_profile="srgb")
    plain(small).pngsave("unpacked", compression=1, keep="none")
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
    base = shrink(BOX)
    widths = [width for width in request["widths"] if width < base.width]
    made = []
    for target in widths:
        made += save(plain(base.thumbnail_image(target, height=10_000_000, size="down")), f"w{target}")
    made += save(base, f"w{base.width}")
    write_frame(base)
    return {"pages": pages, "width": width, "height": height, "made": made, "tiny": tiny(base)}


def make_avatar(request: dict[str, Any]) -> dict[str, Any]:
    open_source(request["max_pixels"])
    shrink(request["size"], crop=True).webpsave("avatar.webp", Q=82, effort=4, keep="none")
    return {}


def make_poster(request: dict[str, Any]) -> dict[str, Any]:
    if "width" in request:
        with open("picture", "rb") as file:
            picture = pyvips.Image.new_from_memory(file.read(), request["width"], request["height"], 3, "uchar")
        picture = picture.copy(interpretation="srgb").thumbnail_image(POSTER_BOX, height=POSTER_BOX, size="down")
    else:
        read_header(request["max_pixels"], "picture")
        picture = shrink(POSTER_BOX, name="picture")
    picture = plain(picture)
    return {"made": save(picture, "poster", ["webp"]), "tiny": tiny(picture)}


TASKS = {"renditions": make_renditions, "avatar": make_avatar, "poster": make_poster}


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
