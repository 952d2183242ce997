"""Pictures: upright, in sRGB or (what that cannot hold) Display P3, without metadata, as WebP and AVIF in several widths."""

from __future__ import annotations

import asyncio
from pathlib import Path

from strvsocial.media.failures import explain
from strvsocial.media.products import Made, Product, pictures
from strvsocial.media.sandbox import DecoderFailed, Limits, private_folder, run_child
from strvsocial.settings import Settings
from strvsocial.storage import Storage

WIDTHS = (320, 640, 1280, 2048, 4096)
"""Of these the smaller ones than the picture, and the picture's own; more than 2048 only for what is long (panoramas)."""
AVATAR_PIXELS = 256
LIMITS = Limits(wall=240, cpu=90, memory=3 << 30, file_size=256 << 20)


async def make_images(settings: Settings, folder: Path, *, even_if_animated: bool = False) -> Made | None:
    """Makes the variants of `source`. None when it is an animation, which `gifs` is for.

    Raises CannotDecode for what is damaged, too large or no picture.
    """
    request = {
        "task": "renditions",
        "widths": WIDTHS,
        "max_pixels": settings.max_image_pixels,
        "animation_elsewhere": not even_if_animated,
    }
    try:
        answer = await run_child("picture", request, folder, LIMITS)
    except DecoderFailed as failure:
        raise explain(failure, "image", settings.max_image_pixels) from failure
    if "made" not in answer:
        return None
    variants, placeholder = pictures(answer, "variant")
    products = [*variants, Product("frames", "frames", 256, 256, details={"count": 1})]
    return Made("image", products, answer["width"], answer["height"], placeholder=placeholder)


async def make_avatar(settings: Settings, storage: Storage, source_key: str, target_key: str) -> None:
    """Makes the square WebP of a profile picture and stores it as `target_key`. Raises CannotDecode."""
    async with private_folder(settings.data_dir / "tmp") as folder:
        await storage.get_file(source_key, folder / "source")
        request = {"task": "avatar", "size": AVATAR_PIXELS, "max_pixels": settings.max_image_pixels}
        try:
            await run_child("picture", request, folder, LIMITS)
        except DecoderFailed as failure:
            raise explain(failure, "image", settings.max_image_pixels) from failure
        made = await asyncio.to_thread((folder / "avatar.webp").read_bytes)
        await storage.put(target_key, made, "image/webp")
