"""Which colours a picture means by its numbers, and whether sRGB holds them. Part of the picture child.

Most wide pictures carry an ICC profile. Some only name their colours by the numbers of ITU-T H.273 (PNG in `cICP`, HEIC
and AVIF in `colr`), and cameras that are set to Adobe RGB by an entry of EXIF: for these a profile is written here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import exp
from typing import Any

import pyvips

SRGB, WIDE = "srgb", "p3"
"""The profiles of libvips that renditions are made in. Display P3 holds what the screens of our time can show."""
OUTSIDE = -0.03
"""How far below zero, in linear sRGB, a colour lies that sRGB does not hold; profiles of sRGB differ by less."""
LARGEST_PROFILE = 8_000_000
SEARCHED = 1 << 20

Corner = tuple[float, float, float]
SRGB_CORNERS: Sequence[Corner] = ((0.43603, 0.22248, 0.01393), (0.38510, 0.71690, 0.09709), (0.14309, 0.06062, 0.71419))
P3_CORNERS: Sequence[Corner] = ((0.51510, 0.24118, -0.00105), (0.29196, 0.69224, 0.04188), (0.15715, 0.06658, 0.78438))
ADOBE_CORNERS: Sequence[Corner] = (
    (0.60972, 0.31110, 0.01947),
    (0.20526, 0.62567, 0.06088),
    (0.14923, 0.06323, 0.74485),
)
BT2020_CORNERS: Sequence[Corner] = (
    (0.67346, 0.27903, -0.00193),
    (0.16566, 0.67534, 0.02998),
    (0.12510, 0.04563, 0.79716),
)
"""XYZ of the purest red, green and blue, brought to the white of ICC profiles (D50) in Bradford's way."""
CORNERS_BY_NUMBER = {1: SRGB_CORNERS, 9: BT2020_CORNERS, 12: P3_CORNERS}
PAPER_WHITE, KNEE = 203.0, 0.6
"""Candelas of white paper in an HDR picture (ITU-R BT.2408), and where its light begins to be pressed together."""


def is_wide(profile: bytes) -> bool:
    """Whether an ICC profile of RGB holds colours that sRGB does not. A broken one does not."""
    if profile[16:20] != b"RGB " or len(profile) > LARGEST_PROFILE:
        return False
    corners = pyvips.Image.new_from_memory(bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]), 3, 1, 3, "uchar")
    corners = corners.copy(interpretation="srgb")
    corners.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    try:
        least = corners.icc_import(embedded=True, intent="relative", pcs="xyz").colourspace("scrgb").min()
    except pyvips.Error:
        return False
    return float(least) < OUTSIDE


def told_profile(header: Any, start: bytes) -> bytes | None:
    """A profile for a picture that has none but tells its colours otherwise. `start` is the beginning of its file."""
    loader = header.get("vips-loader") if header.get_typeof("vips-loader") else ""
    if loader.startswith("jpegload"):
        return _of_camera(header)
    if loader.startswith("pngload"):
        at = start[: max(0, start.find(b"IDAT"))].find(b"cICP")
        return profile_of_numbers(*start[at + 4 : at + 6]) if at > 0 else None
    at = start.find(b"colrnclx")
    return profile_of_numbers(*struct.unpack(">HH", start[at + 8 : at + 12])) if 0 < at < len(start) - 12 else None


def _of_camera(header: Any) -> bytes | None:
    """Adobe RGB as the "option file" of Exif (DCF 2.0): interoperability index R03."""
    name = "exif-ifd4-InteroperabilityIndex"
    if header.get_typeof(name) and header.get(name).startswith("R03"):
        return _write_profile(ADOBE_CORNERS, _power(563 / 256))
    return None


def profile_of_numbers(primaries: int, transfer: int) -> bytes | None:
    """None for sRGB, which needs no telling, and for numbers that pictures do not come with."""
    corners, curve = CORNERS_BY_NUMBER.get(primaries), _curve(transfer)
    if corners is None or curve is None or (primaries == 1 and transfer not in (4, 8, 16, 18)):
        return None
    return _write_profile(corners, curve)


def _curve(transfer: int) -> bytes | None:
    """How code values become light. Those of television and sRGB are shown alike, as browsers do."""
    if transfer in (1, 6, 13, 14, 15):
        return struct.pack(
            ">4sIHHiiiii", b"para", 0, 3, 0, *map(_fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
        )
    if transfer in (4, 8):
        return _power(2.2 if transfer == 4 else 1.0)
    if transfer in (16, 18):
        return _table(_perceptual if transfer == 16 else _hybrid)
    return None


def _power(exponent: float) -> bytes:
    return struct.pack(">4sIHHi", b"para", 0, 0, 0, _fixed(exponent))


def _table(light: Callable[[float], float]) -> bytes:
    """HDR brought down to what a page can show: paper and what is darker nearly as it is, the brightest just held."""
    pressed = [min(65_535, round(65_535 * _press(light(n / 4_095) / PAPER_WHITE))) for n in range(4_096)]
    return struct.pack(">4sII4096H", b"curv", 0, 4_096, *pressed)


def _press(light: float) -> float:
    return light if light < KNEE else 1 - (1 - KNEE) * exp((KNEE - light) / (1 - KNEE))


def _perceptual(code: float) -> float:
    """Candelas of a code value of PQ (SMPTE ST 2084)."""
    root = code ** (32 / 2523)
    return float(10_000 * (max(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305))


def _hybrid(code: float) -> float:
    """Candelas of a code value of HLG (ITU-R BT.2100) on a screen of 1000."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = code * code / 3 if code <= 0.5 else (exp((code - c) / a) + b) / 12
    return float(1_000 * scene**1.2)


def _write_profile(corners: Sequence[Corner], curve: bytes) -> bytes:
    """An ICC profile of version 4 with three colours and one curve, for use in this process only."""
    values = [struct.pack(">4sIiii", b"XYZ ", 0, *map(_fixed, corner)) for corner in ((0.9642, 1.0, 0.8249), *corners)]
    names = (b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    body = b"".join(values) + curve
    at = 128 + 4 + 12 * len(names)
    places = [(at + 20 * n, 20) for n in range(4)] + [(at + 80, len(curve))] * 3
    tags = b"".join(name + struct.pack(">II", *place) for name, place in zip(names, places, strict=True))
    header = struct.pack(
        ">I4sI4s4s4s12x4s28xiii48x",
        at + len(body),
        b"\0" * 4,
        0x04200000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
        *map(_fixed, (0.9642, 1.0, 0.8249)),
    )
    return header + struct.pack(">I", len(names)) + tags + body


def _fixed(value: float) -> int:
    """As s15Fixed16Number."""
    return round(value * 65_536)
