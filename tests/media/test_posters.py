"""Which frame stands in for a film."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips

from strvsocial.media.processing import make
from strvsocial.settings import Settings

Put = Callable[[Path], Path]
Film = Callable[..., Path]

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "5")
PLAIN = "testsrc2=size=640x360:rate=5:duration=8"
BLACK = "drawbox=color=black:t=fill:enable='lt(t,2)'"


def edges(path: Path) -> float:
    grey = pyvips.Image.new_from_file(str(path)).colourspace("b-w").numpy().astype(np.int16)
    return float(abs(np.diff(grey, axis=1)).mean())


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [("early", "between(t,2,5)"), ("late", "gt(t,3.5)"), ("often", "not(between(t,4,5.2))")],
)
async def test_a_poster_is_neither_black_nor_blurred(
    settings: Settings, put: Put, film: Film, name: str, spoilt: str
) -> None:
    blurred = f"{PLAIN},gblur=sigma=6:enable='{spoilt}',{BLACK}"
    folder = put(film(f"{name}.mp4", "-f", "lavfi", "-i", blurred, *X264))
    await make(settings, folder, "video", lambda _: None)
    found = edges(folder / "poster.webp")
    sharp = put(film("sharp.mp4", "-f", "lavfi", "-i", PLAIN, *X264))
    await make(settings, sharp, "video", lambda _: None)
    assert found > 0.8 * edges(sharp / "poster.webp")


async def test_the_poster_of_a_sharp_film_is_an_early_frame(settings: Settings, put: Put, film: Film) -> None:
    """What comes first is what people will see first."""
    dimming = f"{PLAIN},eq=brightness='-t/20':eval=frame"
    folder = put(film("dimming.mp4", "-f", "lavfi", "-i", dimming, *X264))
    await make(settings, folder, "video", lambda _: None)
    first = pyvips.Image.new_from_memory((folder / "frames").read_bytes()[: 256 * 256 * 3], 256, 256, 3, "uchar")
    assert pyvips.Image.new_from_file(str(folder / "poster.webp")).avg() == pytest.approx(first.avg(), abs=12)


async def test_a_film_that_is_black_throughout_has_a_poster_nevertheless(
    settings: Settings, put: Put, film: Film
) -> None:
    folder = put(film("black.mp4", "-f", "lavfi", "-i", "color=black:size=320x180:rate=5:duration=2", *X264))
    made = await make(settings, folder, "video", lambda _: None)
    assert any(one.name == "poster.webp" for one in made.products)
