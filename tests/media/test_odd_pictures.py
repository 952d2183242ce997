"""What people's cameras and programs write: every way up, every depth, with all that they say about their owner."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

from strvsocial.media.failures import CannotDecode
from strvsocial.media.images import make_images
from strvsocial.media.products import Made
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
SECRETS = (b"Alice", b"SN-4711", b"GPS", b"Exif", b"http://ns.adobe.com", b"Photoshop", b"Canon", b"8BIM")
WAYS_UP: dict[int, Callable[[Any], Any]] = {
    1: lambda p: p,
    2: lambda p: p.fliphor(),
    3: lambda p: p.rot180(),
    4: lambda p: p.flipver(),
    5: lambda p: p.rot90().fliphor(),
    6: lambda p: p.rot270(),
    7: lambda p: p.rot90().flipver(),
    8: lambda p: p.rot90(),
}
"""How a sensor's pixels lie when the picture is to be seen upright by this EXIF orientation: the way back."""


async def _make(settings: Settings, folder: Path) -> Made:
    made = await make_images(settings, folder)
    assert made is not None
    return made


def _shown(folder: Path, made: Made, kind: str = "webp") -> Any:
    name = max((p for p in made.products if p.name.endswith(kind)), key=lambda product: product.width or 0).name
    return pyvips.Image.new_from_buffer((folder / name).read_bytes(), "")


def corners() -> Any:
    """80 x 48 with a colour of its own in each corner."""
    image = Image.new("RGB", (80, 48), (128, 128, 128))
    for colour, place in (
        ((220, 30, 30), (0, 0)),
        ((30, 200, 30), (40, 0)),
        ((30, 30, 220), (0, 24)),
        ((230, 230, 40), (40, 24)),
    ):
        image.paste(colour, (*place, place[0] + 40, place[1] + 24))
    return pyvips.Image.new_from_array(np.asarray(image)).copy(interpretation="srgb")


@pytest.mark.parametrize("orientation", WAYS_UP)
async def test_every_orientation_comes_out_upright(
    settings: Settings, put: Put, tmp_path: Path, orientation: int
) -> None:
    lying = WAYS_UP[orientation](corners()).copy()
    lying.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    lying.jpegsave(str(tmp_path / "turned.jpg"), Q=95)
    folder = put(tmp_path / "turned.jpg")
    made = await _make(settings, folder)
    assert (made.width, made.height) == (80, 48)
    for kind in ("webp", "avif"):
        shown = _shown(folder, made, kind)
        for x, y in ((20, 12), (60, 12), (20, 36), (60, 36)):
            assert max(abs(a - b) for a, b in zip(shown(x, y), corners()(x, y), strict=True)) < 30, (kind, x, y)


def _personal(kind: str) -> bytes:
    """A small picture that says in every way its format knows whose it is."""
    image, buffer = Image.new("RGB", (64, 48), (90, 140, 200)), io.BytesIO()
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x8298] = "Canon", "Alice Example", "Alice Example"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    exif.get_ifd(0x8769).update({0x927C: b"Canon maker note SN-4711", 0xA431: "SN-4711", 0xA430: "Alice Example"})
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a xmlns='http://ns.adobe.com/xap/1.0/'>Alice</a></x:xmpmeta>"
    if kind == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("Author", "Alice Example")
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(buffer, "PNG", exif=exif, pnginfo=info)
    elif kind == "heic":
        pillow_heif.register_heif_opener()
        image.save(buffer, "HEIF", exif=exif.tobytes(), xmp=xmp)
    elif kind == "avif":
        picture = pyvips.Image.new_from_array(np.asarray(image)).copy(interpretation="srgb")
        picture.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
        picture.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
        return bytes(picture.heifsave_buffer(compression="av1", effort=0))
    elif kind == "webp":
        image.save(buffer, "WEBP", exif=exif, xmp=xmp)
    else:
        image.save(buffer, "JPEG", exif=exif, xmp=xmp, comment=b"Alice was here")
        iptc = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x12\x1c\x02\x50\0\x0dAlice Example"
        content = buffer.getvalue()
        return content[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + content[2:]
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "heic"])
async def test_nothing_of_its_owner_is_left(settings: Settings, folder: Path, kind: str) -> None:
    content = _personal(kind)
    assert b"Alice" in content
    (folder / "source").write_bytes(content)
    for product in (await _make(settings, folder)).products:
        made = (folder / product.name).read_bytes()
        assert [secret for secret in SECRETS if secret in made] == [], product.name
        if product.role == "variant":
            fields = pyvips.Image.new_from_file(str(folder / product.name)).get_fields()
            assert [name for name in fields if name.startswith(("exif", "xmp", "iptc", "icc", "png-comment"))] == []


async def test_clear_parts_stay_clear(settings: Settings, put: Put, tmp_path: Path) -> None:
    """Of a palette with alpha, and of grey with alpha."""
    image = Image.new("RGBA", (64, 64), (200, 40, 40, 255))
    image.paste((0, 0, 0, 0), (32, 0, 64, 64))
    image.quantize(8).save(tmp_path / "palette.png")
    grey = Image.new("LA", (64, 64), (180, 255))
    grey.paste((0, 0), (32, 0, 64, 64))
    grey.save(tmp_path / "grey.png")
    assert Image.open(tmp_path / "palette.png").mode == "P"
    for name, colour in (("palette", (200, 40, 40)), ("grey", (180, 180, 180))):
        folder = put(tmp_path / f"{name}.png")
        made = await _make(settings, folder)
        for kind in ("webp", "avif"):
            shown = _shown(folder, made, kind)
            assert shown.bands == 4
            assert max(abs(a - b) for a, b in zip(shown(12, 32), (*colour, 255), strict=True)) < 12, (name, kind)
            assert shown(52, 32)[3] < 8, (name, kind)


@pytest.mark.parametrize(
    ("width", "height", "largest"),
    [(1, 1, (1, 1)), (1, 20_000, (1, 8192)), (300, 9000, (273, 8192)), (5000, 500, (5000, 500)), (2100, 1100, (2048, 1073))],
)  # fmt: skip
async def test_long_pictures_can_still_be_read(
    settings: Settings, put: Put, tmp_path: Path, width: int, height: int, largest: tuple[int, int]
) -> None:
    flat = pyvips.Image.black(width, height, bands=3).linear(1, [90, 120, 160]).cast("uchar")
    flat.copy(interpretation="srgb").jpegsave(str(tmp_path / "long.jpg"))
    made = await _make(settings, put(tmp_path / "long.jpg"))
    assert (made.width, made.height) == (width, height)
    sizes = [(product.width, product.height) for product in made.products if product.name.endswith("webp")]
    assert sizes[-1] == largest
    widths = [size[0] or 0 for size in sizes]
    assert widths == sorted(set(widths))
    assert widths[:-1] == [wide for wide in (320, 640, 1280, 2048, 4096) if wide < largest[0]]


async def test_an_animation_behind_much_metadata_is_still_one(settings: Settings, folder: Path) -> None:
    """Programs write megabytes of notes before the first picture data."""
    frames = [Image.new("RGB", (32, 32), (n * 60, 90, 120)) for n in range(4)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:], duration=80)
    content = buffer.getvalue()
    note = b"Comment\0" + bytes(65 + n % 26 for n in range(2_000_000))
    chunk = struct.pack(">I", len(note)) + b"tEXt" + note + struct.pack(">I", zlib.crc32(b"tEXt" + note))
    at = content.index(b"fcTL") - 4
    (folder / "source").write_bytes(content[:at] + chunk + content[at:])
    assert await make_images(settings, folder) is None


async def test_a_picture_that_was_cut_off_is_refused(settings: Settings, folder: Path) -> None:
    """Half a picture would be shown as if it were whole: its sender must hear of it."""
    noise = Image.effect_noise((400, 300), 60).convert("RGB")
    for progressive in (False, True):
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", progressive=progressive)
        (folder / "source").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3])
        with pytest.raises(CannotDecode, match="damaged"):
            await make_images(settings, folder)
