"""Storyboards and previews: what of a film is shown where, and how much of it is decoded for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
import pyvips

from strvsocial.media import previews
from strvsocial.media.previews import MOST_TILES, make_preview, make_storyboard, preview_parts
from strvsocial.media.products import Product
from strvsocial.media.sandbox import DecoderFailed
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def brightening(seconds: int, size: str = "160x90", rate: str = "10") -> tuple[str, ...]:
    """Grey that is as bright as the film has come: black at the beginning, white at the end."""
    luma = f"geq=lum='16+219*T/{seconds}':cb=128:cr=128"
    return ("-f", "lavfi", "-i", f"color=black:size={size}:rate={rate}:duration={seconds},{luma}")


def tiles(folder: Path, sheet: Product) -> list[float]:
    """How bright each frame of a sheet is in its middle, from 0 to 1."""
    picture = pyvips.Image.new_from_file(str(folder / sheet.name))
    assert (picture.width, picture.height) == (sheet.width, sheet.height)
    found = sheet.details
    assert (picture.width, picture.height) == (
        found["columns"] * found["tile_width"],
        found["rows"] * found["tile_height"],
    )
    places = [divmod(number, found["columns"]) for number in range(found["count"])]
    points = [
        picture(int((column + 0.5) * found["tile_width"]), int((row + 0.5) * found["tile_height"]))
        for row, column in places
    ]
    return [sum(point[:3]) / 3 / 255 for point in points]


async def test_a_sheet_shows_the_middle_of_each_of_its_stretches(put: Put, film: Film) -> None:
    folder = put(film("brightening.mp4", *brightening(23), *X264, "-g", "250"))
    [sheet] = await make_storyboard(folder, "source", 23.0)
    assert sheet.details == {
        "columns": 10, "rows": 3, "tile_width": 160, "tile_height": 90, "interval": 1.0, "count": 23,
    }  # fmt: skip
    for number, brightness in enumerate(tiles(folder, sheet)):
        assert brightness == pytest.approx((number + 0.5) / 23, abs=0.04)


@pytest.mark.parametrize("most_pixels", [previews.DECODED_PIXELS, 1_000_000])
async def test_a_sheet_of_a_long_film_is_made_of_key_frames_where_all_would_be_too_many(
    put: Put, film: Film, monkeypatch: pytest.MonkeyPatch, most_pixels: int
) -> None:
    monkeypatch.setattr(previews, "DECODED_PIXELS", most_pixels)
    folder = put(film("hours.mp4", *brightening(7000, "32x18", "1"), *X264, "-g", "10"))
    [sheet] = await make_storyboard(folder, "source", 7000.0)
    assert (sheet.details["count"], sheet.details["interval"]) == (MOST_TILES, 70.0)
    for number, brightness in enumerate(tiles(folder, sheet)):
        assert brightness == pytest.approx((number + 0.5) / MOST_TILES, abs=0.03)


async def test_a_sheet_stands_upright_and_keeps_its_shape(put: Put, film: Film) -> None:
    lying = film("stretched.mp4", *brightening(12, "120x120"), *X264, "-aspect", "16:9")
    folder = put(film("stretched-turned.mp4", "-display_rotation", "90", "-i", str(lying), "-c", "copy"))
    [sheet] = await make_storyboard(folder, "source", 12.0)
    assert (sheet.details["tile_width"], sheet.details["tile_height"]) == (90, 160)
    assert len(tiles(folder, sheet)) == 12


async def test_a_film_that_ends_early_fills_its_sheet_with_its_last_frame(put: Put, film: Film) -> None:
    folder = put(film("brightening.mp4", *brightening(23), *X264, "-g", "250"))
    [sheet] = await make_storyboard(folder, "source", 40.0)
    assert tiles(folder, sheet)[23:] == pytest.approx([1] * 17, abs=0.04)


async def test_a_damaged_film_has_no_sheet(folder: Path) -> None:
    (folder / "source").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))
    with pytest.raises(DecoderFailed):
        await make_storyboard(folder, "source", 20.0)


def test_the_parts_of_a_preview() -> None:
    assert preview_parts(0.04) == [(0.0, 0.04)]
    assert preview_parts(3) == [(0.0, 3)]
    assert preview_parts(8) == [(2.0, 4.0)]
    assert preview_parts(100) == [(11.875, 1.25), (36.875, 1.25), (61.875, 1.25), (86.875, 1.25)]


def look(path: Path) -> tuple[tuple[int, int], list[float], bool]:
    """Size, brightness of each frame from 0 to 1, and whether it can be heard."""
    with av.open(str(path)) as container:
        shown = [float(frame.to_ndarray(format="gray").mean()) / 255 for frame in container.decode(video=0)]
        video = container.streams.video[0].codec_context
        assert (video.name, video.pix_fmt) == ("h264", "yuv420p")
        return (video.width, video.height), shown, bool(container.streams.audio)


async def test_a_preview_is_cut_from_several_places(settings: Settings, put: Put, film: Film) -> None:
    tone = ("-f", "lavfi", "-i", "sine=duration=40")
    folder = put(film("heard.mp4", *brightening(40), *tone, *X264, "-c:a", "aac", "-metadata", "title=Alice"))
    [preview] = await make_preview(settings, folder, "source", (160, 90), 40.0)
    size, shown, is_heard = look(folder / preview.name)
    assert (size, is_heard) == ((160, 90), False)
    assert len(shown) == pytest.approx(50, abs=4)
    at = [shown[0], shown[len(shown) // 4 + 2], shown[len(shown) // 2 + 2], shown[-1]]
    assert at == pytest.approx([0.11, 0.37, 0.61, 0.89], abs=0.05)
    assert b"Alice" not in (folder / preview.name).read_bytes()


async def test_a_preview_is_small_whatever_it_shows(settings: Settings, put: Put, film: Film) -> None:
    noise = "nullsrc=size=640x360:rate=50:duration=11,geq=random(1)*255:128:128"
    folder = put(film("noise.mp4", "-f", "lavfi", "-i", noise, *X264, "-crf", "35"))
    [preview] = await make_preview(settings, folder, "source", (640, 360), 11.0)
    size, shown, _ = look(folder / preview.name)
    assert size == (480, 270)
    assert len(shown) == pytest.approx(150, abs=8)
    assert (folder / preview.name).stat().st_size <= 300_000
    assert preview.bitrate is not None
    assert preview.bitrate < 480_000


async def test_a_preview_of_one_frame(settings: Settings, put: Put, film: Film) -> None:
    folder = put(film("single.mp4", *brightening(1, "640x1280"), *X264, "-frames:v", "1"))
    [preview] = await make_preview(settings, folder, "source", (640, 1280), 0.04)
    size, shown, _ = look(folder / preview.name)
    assert (size, len(shown)) == ((240, 480), 1)
