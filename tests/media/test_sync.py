"""What is heard belongs to what is seen, in every size and in browsers that heed edit lists little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from tests.media.boxes import starts

from strvsocial.db import Database
from strvsocial.media.finishing import finish_at_once
from strvsocial.media.processing import make
from strvsocial.settings import Settings
from strvsocial.storage import Storage

Put = Callable[[Path], Path]
Film = Callable[..., Path]

PICTURES = ("-f", "lavfi", "-i", "testsrc2=size=512x288:rate=12:duration=11")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=10.2")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "8", "-c:a", "aac")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac")
HEARD_AS_ONE = 0.03
"""Seconds: less than a frame of sound apart from what the encoder puts in front; ITU-R BT.1359 sees 0.045 as noticed."""


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("encoders", [MPEG4, X264], ids=["made-anew", "kept"])
@pytest.mark.parametrize(("pictures_late", "sound_late"), [(0, 0), (0, 0.7), (0.5, 0)])
async def test_every_size_keeps_picture_and_sound_together(
    settings: Settings,
    database: Database,
    storage: Storage,
    put: Put,
    film: Film,
    pictures_late: float,
    sound_late: float,
    encoders: tuple[str, ...],
    suffix: str,
) -> None:
    late = ("-itsoffset", str(pictures_late), *PICTURES, "-itsoffset", str(sound_late), *SOUND)
    folder = put(film(f"sync.{suffix}", *late, "-map", "0:v", "-map", "1:a", *encoders))
    sent = _begin(folder / "source", "audio") - _begin(folder / "source", "video")
    assert sent == pytest.approx(sound_late - pictures_late, abs=HEARD_AS_ONE)
    made = await make(settings, folder, "video", lambda _: None)
    whole = await finish_at_once(settings, database, storage, made, folder)
    sizes = [product.name for product in whole.products if product.role == "rung" and product.width]
    assert len(sizes) == 2
    for name in sizes:
        begin = starts(folder / name)
        assert max(start.edits for start in begin.values()) <= 1
        assert begin["soun"].seconds - begin["vide"].seconds == pytest.approx(sent, abs=HEARD_AS_ONE)
    assert _begin(folder / "play.mp4", "audio") - _begin(folder / "play.mp4", "video") == pytest.approx(
        sent, abs=HEARD_AS_ONE
    )


def _begin(path: Path, kind: str) -> float:
    """When the first frame of a stream is shown or heard, by a player that heeds every edit."""
    with av.open(str(path)) as container:
        times = (frame.time for frame in (container.decode(video=0) if kind == "video" else container.decode(audio=0)))
        return min(time for time in times if time is not None)
