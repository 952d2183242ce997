"""Colours that sRGB cannot hold arrive as they were, from every kind of file; all others are plain sRGB.

Two colours are drawn by their light alone (XYZ), written as each kind of file writes them, and measured in what is served.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from math import cbrt
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

from strvsocial.media.children import colours
from strvsocial.media.images import make_avatar, make_images
from strvsocial.media.products import Made
from strvsocial.media.sandbox import find_ffmpeg
from strvsocial.settings import Settings
from strvsocial.storage import Storage

Put = Callable[[Path], Path]
Pair = tuple[Sequence[float], Sequence[float]]

WHITE = (0.96422, 1.0, 0.82521)
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82521))
SIDE = 64
RED, GREEN = (0.5, 0.235, 0.002), (0.3, 0.68, 0.06)
"""XYZ under D50: nearly the purest red and green of Display P3."""
SEEN, CLEARLY_OTHER = 2.0, 2.5
"""CIEDE2000: what nobody notices side by side, and what is noticed."""


def lab(xyz: Sequence[float]) -> list[float]:
    """CIE 1976 L*a*b* under D50."""
    ratios = [value / white for value, white in zip(xyz, WHITE, strict=True)]
    x, y, z = (cbrt(ratio) if ratio > 216 / 24389 else (24389 / 27 * ratio + 16) / 116 for ratio in ratios)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def srgb_curve(light: Any) -> Any:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def draw(corners: Sequence[Sequence[float]], curve: Callable[[Any], Any], most: int = 255) -> Any:
    """Left half red, right half green, in a space with these corners: SIDE x SIDE x 3 code values."""
    light = np.linalg.solve(np.array(corners).T, np.array([RED, GREEN]).T).T
    codes = np.rint(curve(np.clip(light, 0, 1)) * most)
    return np.repeat(codes[None], SIDE, 0).repeat(SIDE // 2, 1).astype(np.uint8 if most == 255 else np.uint16)


def profile(corners: Any, gamma: float | None = None) -> bytes:
    return colours._write_profile(corners, colours._power(gamma) if gamma else colours._curve(13) or b"")


def as_image(codes: Any, icc: bytes | None) -> Any:
    image = pyvips.Image.new_from_array(codes).copy(interpretation="srgb" if codes.dtype == np.uint8 else "rgb16")
    if icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return image


def gamma(power: float) -> Callable[[Any], Any]:
    return lambda light: light ** (1 / power)


P3 = (colours.P3_CORNERS, srgb_curve)


def _jpeg(path: Path, image: Any) -> None:
    image.jpegsave(str(path), Q=97, subsample_mode="off")


def p3_jpeg(path: Path) -> None:
    _jpeg(path, as_image(draw(*P3), profile(colours.P3_CORNERS)))


def p3_png(path: Path) -> None:
    as_image(draw(*P3), profile(colours.P3_CORNERS)).pngsave(str(path))


def p3_webp(path: Path) -> None:
    as_image(draw(*P3), profile(colours.P3_CORNERS)).webpsave(str(path), lossless=True)


def p3_avif(path: Path) -> None:
    as_image(draw(*P3), profile(colours.P3_CORNERS)).heifsave(str(path), compression="av1", Q=95, effort=0)


def p3_heic(path: Path) -> None:
    pillow_heif.register_heif_opener()
    Image.fromarray(draw(*P3)).save(path, format="HEIF", quality=95, icc_profile=profile(colours.P3_CORNERS))


def adobe_jpeg(path: Path) -> None:
    _jpeg(path, as_image(draw(colours.ADOBE_CORNERS, gamma(563 / 256)), profile(colours.ADOBE_CORNERS, 563 / 256)))


def adobe_camera_jpeg(path: Path) -> None:
    """No profile, only an entry of Exif, as cameras write it."""
    image = as_image(draw(colours.ADOBE_CORNERS, gamma(563 / 256)), None)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd4-InteroperabilityIndex", "R03")
    _jpeg(path, image)


def prophoto_png(path: Path) -> None:
    as_image(draw(PROPHOTO, gamma(1.8), 65535), profile(PROPHOTO, 1.8)).pngsave(str(path))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def cicp_png(path: Path) -> None:
    content = as_image(draw(*P3), None).pngsave_buffer(keep="none")
    path.write_bytes(content[:33] + _chunk(b"cICP", bytes([12, 13, 0, 1])) + content[33:])


def bt2020_png(path: Path) -> None:
    content = as_image(draw(colours.BT2020_CORNERS, srgb_curve, 65535), None).pngsave_buffer(keep="none")
    path.write_bytes(content[:33] + _chunk(b"cICP", bytes([9, 1, 0, 1])) + content[33:])


def nclx_heic(path: Path) -> None:
    codes = draw(colours.BT2020_CORNERS, srgb_curve, 65535)
    heic = pillow_heif.from_bytes("RGB;16", (SIDE, SIDE), codes.tobytes())
    numbers = {"color_primaries": 9, "transfer_characteristics": 14, "matrix_coefficients": 9, "full_range_flag": 1}
    heic.save(path, quality=95, **numbers)


def nclx_avif(path: Path) -> None:
    codes = "scale=out_color_matrix=bt709:out_range=full,format=yuv444p"
    told = "setparams=color_primaries=smpte432:color_trc=iec61966-2-1:colorspace=bt709:range=pc"
    arguments = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIDE}x{SIDE}", "-i", "-", "-vf", f"{codes},{told}"]
    encoder = [
        "-c:v",
        "libaom-av1",
        "-crf",
        "8",
        "-cpu-used",
        "8",
        "-still-picture",
        "1",
        "-frames:v",
        "1",
        "-f",
        "avif",
    ]
    command = [find_ffmpeg(), "-v", "error", "-y", *arguments, *encoder, str(path)]
    subprocess.run(command, input=draw(*P3).tobytes(), check=True, timeout=60)


WIDE = [
    p3_jpeg, p3_png, p3_webp, p3_avif, p3_heic, adobe_jpeg, adobe_camera_jpeg, prophoto_png, cicp_png, bt2020_png, nclx_heic,
    nclx_avif,
]  # fmt: skip


async def _make(settings: Settings, folder: Path) -> Made:
    made = await make_images(settings, folder)
    assert made is not None
    return made


def measure(path: Path) -> list[list[float]]:
    """L*a*b* of the middle of the left and of the right half, as the file itself says to read it."""
    picture = pyvips.Image.new_from_file(str(path))
    icc = bool(picture.get_typeof("icc-profile-data"))
    seen = picture.icc_import(intent="relative", **({"embedded": True} if icc else {"input_profile": "srgb"}))
    return [seen(x, SIDE // 2)[:3] for x in (SIDE // 4, 3 * SIDE // 4)]


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """CIEDE2000."""
    pixels = [
        pyvips.Image.black(1, 1, bands=3).linear(1, list(each)).copy(interpretation="lab") for each in (one, other)
    ]
    return float(pixels[0].dE00(pixels[1])(0, 0)[0])


@pytest.mark.parametrize("write", WIDE, ids=lambda write: str(write.__name__))
async def test_a_wide_picture_stays_wide(
    settings: Settings, put: Put, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    source = tmp_path / write.__name__.replace("_", ".")
    write(source)
    folder = put(source)
    made = await _make(settings, folder)
    for name in (f"w{SIDE}.webp", f"w{SIDE}.avif"):
        red, green = measure(folder / name)
        assert difference(green, lab(GREEN)) < SEEN, name
        if "adobe" not in write.__name__:  # Its red is that of sRGB.
            assert difference(red, lab(RED)) < SEEN, name
    profiles = {_profile(folder / product.name) for product in made.products if product.role == "variant"}
    assert profiles == {
        pyvips.Image.black(1, 1, bands=3).icc_transform("p3", input_profile="srgb").get("icc-profile-data")
    }
    assert [
        name for name in pyvips.Image.new_from_file(str(folder / f"w{SIDE}.webp")).get_fields() if "exif" in name
    ] == []


def _profile(path: Path) -> bytes | None:
    picture = pyvips.Image.new_from_file(str(path))
    return bytes(picture.get("icc-profile-data")) if picture.get_typeof("icc-profile-data") else None


def test_the_two_colours_are_lost_in_srgb(tmp_path: Path) -> None:
    """Otherwise what is measured above would show nothing."""
    as_image(draw(colours.SRGB_CORNERS, srgb_curve), None).pngsave(str(tmp_path / "clipped.png"))
    for found, wanted in zip(measure(tmp_path / "clipped.png"), (RED, GREEN), strict=True):
        assert difference(found, lab(wanted)) > CLEARLY_OTHER


def perceptual(light: Any) -> Any:
    """PQ codes (SMPTE ST 2084) of light, of which 1 is paper white: 203 candelas."""
    power = (light * 203 / 10_000) ** (1305 / 8192)
    return ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hybrid(light: Any) -> Any:
    """HLG codes (ITU-R BT.2100) of the same light on a screen of 1000 candelas."""
    scene = (light * 0.203) ** (1 / 1.2)
    dark, bright = np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, dark, bright)


@pytest.mark.parametrize(("number", "curve"), [(16, perceptual), (18, hybrid)], ids=["pq", "hlg"])
async def test_a_picture_for_brighter_screens_is_brought_down(
    settings: Settings, put: Put, tmp_path: Path, number: int, curve: Callable[[Any], Any]
) -> None:
    """What is darker than paper keeps its colours; what is brighter stays brighter, and nothing is cut."""
    dim = draw(colours.BT2020_CORNERS, lambda light: curve(0.4 * light), 65535)
    steps = np.linspace(0.5, 4.5, SIDE)
    dim[: SIDE // 4] = np.rint(65535 * curve(steps))[None, :, None]
    content = as_image(dim, None).pngsave_buffer(keep="none")
    (tmp_path / "hdr.png").write_bytes(content[:33] + _chunk(b"cICP", bytes([9, number, 0, 1])) + content[33:])
    folder = put(tmp_path / "hdr.png")
    await _make(settings, folder)
    for found, wanted in zip(measure(folder / f"w{SIDE}.webp"), (RED, GREEN), strict=True):
        assert difference(found, lab([0.4 * value for value in wanted])) < SEEN
    picture = pyvips.Image.new_from_file(str(folder / f"w{SIDE}.webp"))
    greys = [picture(x, SIDE // 8)[1] for x in range(2, SIDE - 2, 6)]
    assert abs(greys[0] - 207) < 6
    assert greys == sorted(greys)
    assert 250 <= greys[-1] <= 255


async def test_what_is_no_rendition_is_srgb(settings: Settings, put: Put, tmp_path: Path, storage: Storage) -> None:
    """The embedder, placeholders and profile pictures see the nearest colours of sRGB."""
    p3_jpeg(tmp_path / "p3.jpg")
    folder = put(tmp_path / "p3.jpg")
    made = await _make(settings, folder)
    frames = np.frombuffer((folder / "frames").read_bytes(), np.uint8).reshape(256, 256, 3)
    assert np.abs(frames[128, 30].astype(int) - [254, 0, 0]).max() < 12
    assert np.abs(frames[128, 226].astype(int) - [0, 250, 0]).max() < 12
    assert made.placeholder
    shutil.copy(tmp_path / "p3.jpg", folder / "source")
    await storage.put_file("originals/wide-avatar", tmp_path / "p3.jpg", "image/jpeg")
    await make_avatar(settings, storage, "originals/wide-avatar", "avatars/wide.webp")
    await storage.get_file("avatars/wide.webp", tmp_path / "avatar.webp")
    assert _profile(tmp_path / "avatar.webp") is None


def _vendor() -> bytes:
    """A profile of sRGB with a maker's words in it."""
    plain = profile(colours.SRGB_CORNERS)
    return plain[:80] + b"MAKR" + plain[84:]


@pytest.mark.parametrize(
    "icc", [None, _vendor(), b"\0" * 400, profile(colours.P3_CORNERS)[:200]], ids=["none", "srgb", "junk", "cut"]
)
async def test_other_pictures_carry_no_profile(settings: Settings, put: Put, tmp_path: Path, icc: bytes | None) -> None:
    codes = draw(colours.SRGB_CORNERS, srgb_curve)
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "PNG", **({"icc_profile": icc} if icc else {}))
    (tmp_path / "plain.png").write_bytes(buffer.getvalue())
    folder = put(tmp_path / "plain.png")
    for product in (await _make(settings, folder)).products:
        assert b"MAKR" not in (folder / product.name).read_bytes()
        if product.role == "variant":
            assert _profile(folder / product.name) is None
    found = pyvips.Image.new_from_file(str(folder / f"w{SIDE}.webp"))
    assert max(abs(a - b) for a, b in zip(found(10, 10), codes[10, 10].tolist(), strict=True)) < 8


async def test_ink_comes_out_as_it_was_printed(settings: Settings, put: Put, tmp_path: Path) -> None:
    """CMYK as Adobe writes it: its numbers say how much ink is left out."""
    inks = Image.new("CMYK", (SIDE, SIDE), (0, 0, 0, 0))
    inks.paste((0, 255, 255, 0), (0, 0, SIDE // 2, SIDE // 2))
    inks.paste((255, 0, 255, 0), (SIDE // 2, 0, SIDE, SIDE // 2))
    inks.paste((0, 0, 0, 255), (0, SIDE // 2, SIDE // 2, SIDE))
    inks.save(tmp_path / "ink.jpg", quality=97)
    content = (tmp_path / "ink.jpg").read_bytes()
    assert b"Adobe" in content
    folder = put(tmp_path / "ink.jpg")
    await _make(settings, folder)
    for name in (f"w{SIDE}.webp", f"w{SIDE}.avif"):
        picture = pyvips.Image.new_from_file(str(folder / name))
        red, green, black, paper = (picture(x, y) for y in (16, 48) for x in (16, 48))
        assert red[0] > 200 > 90 > max(red[1:])
        assert green[1] > 120 > max(green[0], green[2]) + 20
        assert max(black) < 60
        assert min(paper) > 248
        assert _profile(folder / name) is None


@pytest.mark.parametrize("bits", [8, 16])
async def test_grey_is_grey(settings: Settings, put: Put, tmp_path: Path, bits: int) -> None:
    steps = np.repeat(np.linspace(0, 2**bits - 1, SIDE)[None], SIDE, 0).astype(f"uint{bits}")
    image = pyvips.Image.new_from_array(steps).copy(interpretation="b-w" if bits == 8 else "grey16")
    image.pngsave(str(tmp_path / "grey.png"))
    folder = put(tmp_path / "grey.png")
    await _make(settings, folder)
    picture = pyvips.Image.new_from_file(str(folder / f"w{SIDE}.webp"))
    for x in range(4, SIDE, 8):
        assert all(abs(band - 255 * x / (SIDE - 1)) < 5 for band in picture(x, 32)[:3])
