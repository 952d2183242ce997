"""A pair of files of every kind: what somebody posts, and what somebody else has that is like it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from strvsocial.demo.files import drift, write_film, write_gif, write_jpeg, write_sound
from strvsocial.demo.films import GIFS
from strvsocial.demo.pictures import PICTURES
from strvsocial.demo.sounds import RATE, SOUNDS

WORDS = {
    "text": "Slow mornings with bread",
    "image": "My neighbour's cat",
    "gif": "Lines that swing",
    "audio": "Rain on the roof",
    "video": "Up it goes",
}
OTHER_WORDS = {
    "text": "Bread for slow mornings",
    "image": "A cat of the neighbourhood",
    "gif": "Swinging lines",
    "audio": "Rain, again",
    "video": "There it goes up",
}


def make_files(folder: Path) -> dict[str, Path]:
    """A picture, a GIF, a sound and a film, by kind; about three seconds of each that lasts."""
    paths = {"image": folder / "cat.jpg", "gif": folder / "lines.gif", "audio": folder / "rain.mp3"}
    write_jpeg(paths["image"], PICTURES["cat"]())
    frames, pause = GIFS["pendulums"]
    write_gif(paths["gif"], list(frames())[:24], pause)
    write_sound(paths["audio"], SOUNDS["rain"]()[: RATE * 6])
    paths["video"] = folder / "rocket.mp4"
    write_film(paths["video"], drift(PICTURES["rocket"](), 3, (0.5, 0.6, 0.9), (0.5, 0.4, 0.5)), None)
    return paths


def make_others(folder: Path) -> dict[str, Path]:
    """The same motifs in other files: cut, later, of another length."""
    paths = {"image": folder / "other.jpg", "gif": folder / "other.gif", "audio": folder / "other.mp3"}
    cat = PICTURES["cat"]()
    write_jpeg(paths["image"], cat.crop((20, 10, cat.width - 30, cat.height - 15)))
    frames, pause = GIFS["pendulums"]
    write_gif(
        paths["gif"], [frame.resize((400, 300), Image.Resampling.BILINEAR) for frame in list(frames())[3:20]], pause
    )
    write_sound(paths["audio"], SOUNDS["rain"]()[RATE * 2 : RATE * 9])
    paths["video"] = folder / "other.mp4"
    write_film(paths["video"], drift(PICTURES["rocket"](), 2, (0.5, 0.5, 0.8), (0.5, 0.5, 0.6)), None)
    return paths
