"""Pictures come out upright, smaller, and without a word about who took them where."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
import pyvips
from PIL import Image

from strvsocial.media.failures import CannotDecode
from strvsocial.media.images import make_avatar, make_images
from strvsocial.media.placeholders import thumb_hash
from strvsocial.media.products import Made
from strvsocial.settings import Settings
from strvsocial.storage import Storage

Put = Callable[[Path], Path]


async def _make(settings: Settings, folder: Path) -> Made:
    made = await make_images(settings, folder)
    assert made is not None
    return made


def _fields(path: Path) -> list[str]:
    """Metadata that would tell on somebody."""
    picture = pyvips.Image.new_from_file(str(path))
    return [name for name in picture.get_fields() if name.startswith(("exif", "xmp", "iptc", "icc", "orientation"))]


@pytest.fixture
def turned(samples: Path, photo: Any) -> Path:
    """A JPEG taken with the phone held upright: EXIF orientation 6, with GPS and an owner."""
    picture = photo.copy()
    for name, value in {
        "orientation": 6,
        "exif-ifd3-GPSLatitude": "52/1 31/1 0/1",
        "exif-ifd3-GPSLatitudeRef": "N",
        "exif-ifd0-Artist": "Alice Example",
        "exif-ifd2-CameraOwnerName": "Alice Example",
    }.items():
        picture.set_type(pyvips.GValue.gint_type if name == "orientation" else pyvips.GValue.gstr_type, name, value)
    path = samples / "turned.jpg"
    picture.jpegsave(str(path), Q=90)
    assert b"Alice Example" in path.read_bytes()
    return path


async def test_a_phone_picture_is_turned_and_loses_its_metadata(settings: Settings, put: Put, turned: Path) -> None:
    folder = put(turned)
    made = await _make(settings, folder)
    assert (made.kind, made.width, made.height) == ("image", 480, 640)
    assert [(p.name, p.width, p.height) for p in made.products if p.role == "variant"] == [
        ("w320.webp", 320, 427),
        ("w320.avif", 320, 427),
        ("w480.webp", 480, 640),
        ("w480.avif", 480, 640),
    ]
    for product in made.products:
        content = (folder / product.name).read_bytes()
        assert b"Alice" not in content
        assert b"Exif" not in content
        if product.role == "variant":
            assert _fields(folder / product.name) == []
            # The red left half of the sensor is the upper half when the phone is held upright.
            picture = pyvips.Image.new_from_file(str(folder / product.name))
            assert (picture.width, picture.height) == (product.width, product.height)
            assert picture(picture.width // 2, 20)[0] > 180 > 80 > picture(picture.width // 2, picture.height - 20)[0]
    frames = (folder / "frames").read_bytes()
    assert len(frames) == 256 * 256 * 3
    assert frames[0] > 180 > 80 > frames[-3]
    assert made.placeholder is not None
    assert 20 <= len(base64.b64decode(made.placeholder)) <= 25


async def test_transparency_stays_and_is_white_to_the_embedder(
    settings: Settings, put: Put, samples: Path, photo: Any
) -> None:
    path = samples / "alpha.png"
    photo.bandjoin(0).cast("uchar").pngsave(str(path))
    folder = put(path)
    made = await _make(settings, folder)
    assert pyvips.Image.new_from_file(str(folder / "w640.webp")).hasalpha()
    assert pyvips.Image.new_from_file(str(folder / "w640.avif")).hasalpha()
    assert set((folder / "frames").read_bytes()) == {255}
    assert made.placeholder is not None
    assert base64.b64decode(made.placeholder)[2] & 0x80


@pytest.mark.parametrize(
    "write",
    [
        lambda photo, path: photo.webpsave(path),
        lambda photo, path: photo.heifsave(path, compression="av1", effort=0),
        lambda photo, path: photo.colourspace("b-w").pngsave(path),
        lambda photo, path: photo.colourspace("rgb16").pngsave(path),
        lambda photo, path: photo.pngsave(path, palette=True),
        lambda photo, path: photo.gifsave(path),
        lambda photo, path: photo.icc_transform("cmyk").jpegsave(path),
        lambda photo, path: photo.jpegsave(path, interlace=True),
    ],
    ids=["webp", "avif", "grey", "16-bit", "palette", "gif", "cmyk", "progressive"],
)
async def test_every_kind_of_picture_becomes_srgb(
    settings: Settings, put: Put, tmp_path: Path, photo: Any, write: Callable[[Any, str], None], request: Any
) -> None:
    path = str(tmp_path / "picture")
    suffix = {"avif": ".avif", "webp": ".webp", "gif": ".gif"}.get(request.node.callspec.id, ".png")
    suffix = ".jpg" if request.node.callspec.id in ("cmyk", "progressive") else suffix
    write(photo, path + suffix)
    folder = put(Path(path + suffix))
    made = await _make(settings, folder)
    assert (made.width, made.height) == (640, 480)
    picture = pyvips.Image.new_from_file(str(folder / "w640.webp"))
    assert (picture.bands, picture.format, picture.interpretation) == (3, "uchar", "srgb")


async def test_a_heic_of_a_phone(settings: Settings, put: Put, tmp_path: Path, turned: Path) -> None:
    path = tmp_path / "phone.heic"
    picture = Image.open(turned)
    pillow_heif.register_heif_opener()
    picture.save(path, quality=90, exif=picture.info["exif"])
    assert path.read_bytes()[8:12] == b"heic"
    folder = put(path)
    made = await _make(settings, folder)
    assert (made.width, made.height) == (480, 640)
    assert [product.name for product in made.products] == ["w320.webp", "w320.avif", "w480.webp", "w480.avif", "frames"]
    found = pyvips.Image.new_from_file(str(folder / "w480.webp"))
    assert found(240, 20)[0] > 180 > 80 > found(240, 620)[0]
    assert _fields(folder / "w480.webp") == []
    (folder / "source").write_bytes(await asyncio.to_thread(lambda: path.read_bytes()[:3000]))
    with pytest.raises(CannotDecode, match="damaged"):
        await make_images(settings, folder)
    (folder / "source").write_bytes(await asyncio.to_thread(path.read_bytes))
    with pytest.raises(CannotDecode, match="too large: 1 megapixels"):
        await make_images(settings.model_copy(update={"max_image_pixels": 1000}), folder)


@pytest.mark.parametrize(("box", "place", "byte"), [(b"infe", 4, 58), (b"ipma", 12, 50)], ids=["later", "of-nobody"])
async def test_a_heic_that_libheif_does_not_understand_is_refused(
    settings: Settings, put: Put, tmp_path: Path, box: bytes, place: int, byte: int
) -> None:
    path = tmp_path / "strange.heic"
    pillow_heif.from_pillow(Image.new("RGB", (96, 64), "teal")).save(path)
    folder = put(path)
    content = bytearray((folder / "source").read_bytes())
    content[content.index(box) + place] = byte
    (folder / "source").write_bytes(content)
    with pytest.raises(CannotDecode, match="damaged"):
        await make_images(settings, folder)


async def test_extreme_shapes(settings: Settings, put: Put, tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    pyvips.Image.black(1, 65535, bands=3).linear(1, [10, 200, 10]).cast("uchar").copy(interpretation="srgb").pngsave(
        str(path)
    )
    folder = put(path)
    made = await _make(settings, folder)
    assert (made.width, made.height) == (1, 65535)
    assert {(p.width, p.height) for p in made.products if p.role == "variant"} == {(1, 8192)}


def _png(width: int, height: int) -> bytes:
    """A black PNG of any size, in a few hundred kilobytes at most."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + width * 3)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


async def test_a_bomb_is_refused_by_its_header(settings: Settings, folder: Path) -> None:
    (folder / "source").write_bytes(_png(13_000, 13_000))
    started = time.monotonic()
    with pytest.raises(CannotDecode, match="169 megapixels, and we take 100"):
        await make_images(settings, folder)
    assert time.monotonic() - started < 1.5
    assert os.listdir(folder) == ["source"]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'


@pytest.mark.parametrize(
    "name", ["truncated.jpg", "truncated.png", "svg", "html", "zip", "noise", "pdf", "empty", "tiff"]
)
async def test_what_is_no_picture_is_refused(settings: Settings, folder: Path, photo: Any, name: str) -> None:
    jpeg = photo.jpegsave_buffer()
    content = {
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": photo.pngsave_buffer()[:9000],
        "svg": SVG,
        "html": b"<!doctype html><script>alert(1)</script>",
        "zip": b"PK\x03\x04" + bytes(200),
        "noise": b"\xff\xd8\xff\xe0" + os.urandom(5000),
        "pdf": b"%PDF-1.7\n1 0 obj\n",
        "empty": b"",
        "tiff": photo.tiffsave_buffer(),
    }[name]
    (folder / "source").write_bytes(content)
    with pytest.raises(CannotDecode, match="damaged or is not a picture that we can open"):
        await make_images(settings, folder)
    assert os.listdir(folder) == ["source"]


async def test_a_polyglot_is_re_encoded(settings: Settings, folder: Path, photo: Any) -> None:
    (folder / "source").write_bytes(photo.jpegsave_buffer() + b"PK\x03\x04<script>alert(1)</script>")
    for product in (await _make(settings, folder)).products:
        assert b"<script>" not in (folder / product.name).read_bytes()


async def test_an_avatar_is_a_small_square(settings: Settings, storage: Storage, tmp_path: Path, turned: Path) -> None:
    await storage.put_file("originals/avatar-source", turned, "image/jpeg")
    await make_avatar(settings, storage, "originals/avatar-source", "avatars/abc.webp")
    await storage.get_file("avatars/abc.webp", tmp_path / "avatar.webp")
    picture = pyvips.Image.new_from_file(str(tmp_path / "avatar.webp"))
    assert (picture.width, picture.height) == (256, 256)
    assert _fields(tmp_path / "avatar.webp") == []
    await storage.put("originals/avatar-source", SVG, "image/png")
    with pytest.raises(CannotDecode):
        await make_avatar(settings, storage, "originals/avatar-source", "avatars/def.webp")
    assert await storage.stat("avatars/def.webp") is None
    assert not list((settings.data_dir / "tmp").iterdir())


def test_thumb_hash_is_the_published_one() -> None:
    """A plain and a two-coloured picture, worked out by hand from the published steps."""
    grey = thumb_hash(8, 8, bytes([128, 128, 128, 255]) * 64)
    # Luminance 128/255 of 63 is 32; both colour differences are 0 (32 of 63); 7 x 7 terms; not landscape.
    assert grey[:5] == (32 | 32 << 6 | 32 << 12 | 7 << 24).to_bytes(5, "little")
    assert len(grey) == 5 + 19
    halves = thumb_hash(8, 4, (bytes([0, 0, 0, 255]) * 4 + bytes([255] * 16)) * 4)
    header = int.from_bytes(halves[:5], "little")
    assert header & 63 == 32
    assert header >> 39 == 1
    assert header >> 24 & 7 == 4
    # The strongest term is the first wave across: the mean of its right half, 0.32, times 31, and it goes down.
    assert header >> 18 & 31 == 10
    assert halves[5] & 15 == 0
