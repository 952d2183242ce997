"""Moving pictures of the demo content: GIFs and films, drawn frame by frame.

`GIFS` yield `PIL.Image` frames; `FILMS` yield RGB uint8 frames (720, 1280, 3) and name the sound that goes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from strvsocial.demo.files import FILM_SIZE, FRAMES_PER_SECOND, Frame, drift
from strvsocial.demo.pictures import PICTURES, sea_dusk

PAPER, INK, RED = (250, 244, 236), (38, 32, 44), (208, 40, 60)


def _life(
    cells: tuple[int, int], generations: int, seed: int
) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
    """Conway's Game of Life on a torus, bool (rows, columns)."""
    grid = np.random.default_rng(seed).random(cells) < 0.28
    for _ in range(generations):
        yield grid
        around = sum(
            np.roll(grid, (dy, dx), (0, 1)).astype(int) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)
        )
        grid = (around == 3) | (grid & (around == 2))


def life_gif() -> Iterator[Image.Image]:
    for grid in _life((45, 60), 60, 4):
        cells = np.where(grid[..., None], np.array(RED, np.uint8), np.array(PAPER, np.uint8)).astype(np.uint8)
        yield Image.fromarray(cells).resize((480, 360), Image.Resampling.NEAREST)


def pendulums_gif() -> Iterator[Image.Image]:
    """Fifteen pendulums of slightly different lengths fall out of step and into it again."""
    for step in range(72):
        picture = Image.new("RGB", (480, 360), PAPER)
        draw = ImageDraw.Draw(picture)
        for n in range(15):
            x = 240 + 190 * np.sin(2 * np.pi * step / 72 * (6 + n))
            y = 30 + n * 21
            draw.line((240, 8, x, y), fill=(214, 204, 196))
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=RED if n % 5 == 0 else INK)
        yield picture


def lissajous_gif() -> Iterator[Image.Image]:
    t = np.linspace(0, 2 * np.pi, 700)
    for step in range(48):
        picture = Image.new("RGB", (400, 400), (24, 22, 34))
        phase = 2 * np.pi * step / 48
        points = [
            (200 + 170 * float(a), 200 + 170 * float(b))
            for a, b in zip(np.sin(3 * t + phase), np.sin(4 * t), strict=True)
        ]
        ImageDraw.Draw(picture).line(points, fill=(255, 150, 110), width=4, joint="curve")
        yield picture


def _look_around(name: str, count: int = 24) -> Iterator[Image.Image]:
    """A short back-and-forth zoom into a photograph."""
    picture = PICTURES[name]()
    for step in range(count):
        wide = 0.8 - 0.3 * np.sin(np.pi * step / count) ** 2
        w, h = picture.width * wide, picture.height * wide
        box = ((picture.width - w) / 2, (picture.height - h) / 2, (picture.width + w) / 2, (picture.height + h) / 2)
        yield picture.resize((420, round(420 * h / w)), Image.Resampling.BILINEAR, box)


def moon_gif() -> Iterator[Image.Image]:
    """The moon's photograph wrapped around a ball that turns."""
    texture = np.asarray(PICTURES["moon"]().convert("L").resize((512, 256)))
    texture = np.concatenate([texture, texture[:, ::-1]], axis=1)
    y, x = np.mgrid[-1.05:1.05:320j, -1.05:1.05:320j]
    inside = x**2 + y**2 < 1
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    rows = np.clip(((np.arcsin(np.clip(y, -1, 1)) / np.pi + 0.5) * 255).astype(int), 0, 255)
    around = np.arctan2(x, z) / (2 * np.pi)
    light = np.clip(0.2 + 0.9 * (0.5 * x + 0.85 * z), 0, 1.2)
    for step in range(40):
        columns = ((around + step / 40) % 1 * texture.shape[1]).astype(int) % texture.shape[1]
        grey = np.where(inside, np.clip(texture[rows, columns] * light * 1.25, 0, 255), 12).astype(np.uint8)
        yield Image.fromarray(grey).convert("RGB")


def waves(seconds: float = 9) -> Iterator[Frame]:
    """The sea at dusk, moving."""
    for step in range(int(seconds * FRAMES_PER_SECOND)):
        yield np.asarray(sea_dusk(step * 0.09))


def life_film(seconds: float = 8) -> Iterator[Frame]:
    age = np.zeros((72, 128))
    for grid in _life((72, 128), int(seconds * 12), 12):
        age = np.where(grid, np.minimum(age + 0.12, 1), age * 0.75)
        frame = np.stack([20 + 235 * age, 18 + 110 * age**2, 34 + 70 * age], axis=2).astype(np.uint8)
        large = np.asarray(Image.fromarray(frame).resize(FILM_SIZE, Image.Resampling.NEAREST))
        yield large
        yield large


class Film(NamedTuple):
    frames: Callable[[], Iterator[Frame]]
    sound: str | None


GIFS: dict[str, tuple[Callable[[], Iterator[Image.Image]], int]] = {
    "life": (life_gif, 90),
    "pendulums": (pendulums_gif, 60),
    "lissajous": (lissajous_gif, 60),
    "cat_zoom": (lambda: _look_around("cat"), 70),
    "coffee_zoom": (lambda: _look_around("coffee"), 80),
    "moon_turns": (moon_gif, 80),
}
"""Frames and milliseconds for each."""

FILMS: dict[str, Film] = {
    "pagoda_walk": Film(lambda: drift(PICTURES["pagoda"](), 10, (0.3, 0.3, 0.45), (0.6, 0.6, 0.95)), "waltz"),
    "launch": Film(lambda: drift(PICTURES["rocket"](), 12, (0.52, 0.8, 0.4), (0.5, 0.25, 0.75)), "countdown"),
    "deep_field": Film(lambda: drift(PICTURES["galaxies"](), 11, (0.3, 0.3, 0.9), (0.65, 0.6, 0.3)), "reel"),
    "evening_tide": Film(waves, "sea"),
    "cat_silent": Film(lambda: drift(PICTURES["cat"](), 7, (0.5, 0.5, 1.0), (0.45, 0.4, 0.45)), None),
    "dahlia": Film(lambda: drift(PICTURES["flower"](), 13, (0.5, 0.4, 0.5), (0.5, 0.45, 0.95)), "garden_talk"),
    "baking": Film(lambda: drift(PICTURES["bread"](), 14, (0.5, 0.5, 1.0), (0.45, 0.45, 0.5)), "sourdough_talk"),
    "workshop": Film(lambda: drift(PICTURES["motorcycle"](), 8, (0.3, 0.4, 0.5), (0.65, 0.6, 0.7)), "engine"),
    "life_grows": Film(life_film, "drums"),
}
