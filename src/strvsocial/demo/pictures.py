"""Pictures of the demo content: photographs that scikit-image and scikit-learn ship, and drawings made on the spot.

Every function returns an RGB `PIL.Image`. `PICTURES` names them all.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Box = tuple[float, float, float, float]


def _package_file(package: str, path: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The demo content needs the package {package}; install the extra `demo`.")
    return Path(spec.origin).parent / path


def photograph(package: str, path: str, crop: Box = (0, 0, 1, 1), width: int = 1280) -> Image.Image:
    """A packaged photograph, cropped to fractions of its size and scaled to `width` pixels."""
    with Image.open(_package_file(package, path)) as opened:
        picture = opened.convert("RGB")
    x, y = picture.size
    picture = picture.crop((int(crop[0] * x), int(crop[1] * y), int(crop[2] * x), int(crop[3] * y)))
    return picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)


def _gradient(size: tuple[int, int], stops: list[tuple[float, tuple[int, int, int]]]) -> NDArray[np.float64]:
    """A vertical gradient, float64 (height, width, 3)."""
    rows = np.linspace(0, 1, size[1])
    places = [stop[0] for stop in stops]
    channels = [np.interp(rows, places, [stop[1][channel] for stop in stops]) for channel in range(3)]
    return np.repeat(np.stack(channels, axis=1)[:, None, :], size[0], axis=1)


def _ridge(width: int, generator: np.random.Generator, roughness: float) -> NDArray[np.float64]:
    """A mountain's outline: octaves of smooth noise, about -1 to 1, float64 (width,)."""
    x = np.linspace(0, 1, width)
    line = np.zeros(width)
    for octave in range(1, 7):
        knots = generator.normal(size=3 * 2**octave)
        line += np.interp(x, np.linspace(0, 1, knots.size), knots) * roughness**octave
    return line


def hills(seed: int = 4) -> Image.Image:
    """Ranges of hills that fade into the morning."""
    generator = np.random.default_rng(seed)
    size = (1280, 860)
    picture = Image.fromarray(
        _gradient(size, [(0, (250, 214, 165)), (0.5, (246, 176, 146)), (1, (214, 150, 160))]).astype(np.uint8)
    )
    draw = ImageDraw.Draw(picture)
    draw.ellipse((860, 170, 960, 270), fill=(255, 242, 214))
    for layer in range(6):
        depth = layer / 5
        shade = tuple(int(far + (near - far) * depth) for far, near in ((206, 38), (146, 44), (158, 66)))
        base = 380 + layer * 85
        line = base + _ridge(size[0], generator, 0.55) * (34 + 16 * layer)
        draw.polygon([(0, size[1]), *((x, float(y)) for x, y in enumerate(line)), (size[0], size[1])], fill=shade)
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def sea_dusk(phase: float = 0.0) -> Image.Image:
    """The sea at dusk with the sun's path on it; `phase` moves the waves (radians)."""
    width, height, horizon = 1280, 720, 330
    sky = _gradient((width, horizon), [(0, (38, 44, 84)), (0.55, (178, 96, 112)), (1, (252, 190, 128))])
    y = np.arange(height - horizon)[:, None] / (height - horizon)
    x = np.arange(width)[None, :]
    waves = np.sin(x / (6 + 60 * y) + phase * 2 + 40 / (y + 0.08)) * np.sin(y * 160 - phase * 3 + x / 220)
    glint = np.exp(-(((x - 820) / (26 + 260 * y)) ** 2)) * np.clip(waves + 0.25, 0, 1)
    water = np.stack(
        [
            28 + 70 * (1 - y) + 8 * waves + 190 * glint,
            40 + 50 * (1 - y) + 8 * waves + 130 * glint,
            78 + 22 * waves + 70 * glint,
        ],
        axis=2,
    )
    picture = Image.fromarray(np.clip(np.concatenate([sky, water]), 0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((782, 262, 858, 338), fill=(255, 236, 190))
    picture.paste(Image.fromarray(np.clip(water[:40], 0, 255).astype(np.uint8)), (0, horizon))
    return picture


def lighthouse() -> Image.Image:
    """A lighthouse over the evening sea, with its beam."""
    picture = sea_dusk(1.3)
    beam = Image.new("L", picture.size, 0)
    ImageDraw.Draw(beam).polygon([(300, 208), (1280, 60), (1280, 250)], fill=110)
    picture.paste((255, 240, 200), mask=beam.filter(ImageFilter.GaussianBlur(14)))
    draw = ImageDraw.Draw(picture)
    draw.polygon([(0, 720), (0, 470), (180, 420), (420, 440), (560, 720)], fill=(26, 24, 34))
    draw.polygon([(262, 430), (276, 230), (324, 230), (338, 430)], fill=(236, 228, 220))
    for row in range(3):
        draw.rectangle((270 - row * 2 + 4, 270 + row * 56, 330 + row * 2 - 4, 294 + row * 56), fill=(196, 52, 52))
    draw.rectangle((272, 188, 328, 230), fill=(34, 32, 42))
    draw.rectangle((282, 196, 318, 224), fill=(255, 236, 180))
    draw.polygon([(268, 188), (300, 160), (332, 188)], fill=(150, 40, 44))
    return picture


def reeds(seed: int = 9) -> Image.Image:
    """Reeds at the edge of a pond."""
    generator = np.random.default_rng(seed)
    picture = Image.fromarray(
        _gradient((1280, 860), [(0, (214, 226, 210)), (0.6, (150, 178, 150)), (1, (62, 92, 84))]).astype(np.uint8)
    )
    draw = ImageDraw.Draw(picture)
    for _ in range(230):
        x, lean, tall = generator.uniform(-40, 1320), generator.normal(0, 46), generator.uniform(280, 720)
        shade = int(generator.integers(0, 60))
        green = (52 + shade, 84 + shade, 52 + shade // 2)
        draw.line(
            [(x, 870), (x + lean * 0.3, 870 - tall * 0.6), (x + lean, 870 - tall)], fill=green, width=4, joint="curve"
        )
        if tall > 560:
            draw.ellipse((x + lean - 7, 870 - tall - 60, x + lean + 7, 870 - tall + 20), fill=(94, 66, 44))
    return picture


def julia(constant: complex = -0.8 + 0.156j) -> Image.Image:
    """A Julia set, coloured by how fast each point escapes."""
    y, x = np.mgrid[-1.0:1.0:800j, -1.5:1.5:1200j]
    z = x + 1j * y
    speed = np.zeros(z.shape)
    alive = np.ones(z.shape, bool)
    for step in range(120):
        z[alive] = z[alive] ** 2 + constant
        escaped = alive & (np.abs(z) > 4)
        speed[escaped] = step + 1 - np.log2(np.log(np.abs(z[escaped])))
        alive &= ~escaped
    t = np.sqrt(np.clip(speed, 0, 120) / 120)
    rgb = np.stack(
        [
            np.interp(t, [0, 0.3, 0.6, 1], stops)
            for stops in ((24, 214, 255, 255), (16, 60, 178, 250), (44, 70, 90, 230))
        ]
    )
    return Image.fromarray(rgb.transpose(1, 2, 0).astype(np.uint8))


def truchet(seed: int = 2) -> Image.Image:
    """Truchet tiles: quarter circles that meet by chance."""
    generator = np.random.default_rng(seed)
    picture = Image.new("RGB", (1200, 1200), (248, 240, 228))
    draw = ImageDraw.Draw(picture)
    for row in range(12):
        for column in range(12):
            x, y = column * 100, row * 100
            colour = (206, 44, 62) if generator.random() < 0.14 else (44, 38, 52)
            corners = (
                ((x, y, 0), (x + 100, y + 100, 180))
                if generator.random() < 0.5
                else ((x + 100, y, 90), (x, y + 100, 270))
            )
            for cx, cy, start in corners:
                draw.arc((cx - 58, cy - 58, cx + 58, cy + 58), start, start + 90, fill=colour, width=16)
    return picture


def bread(seed: int = 5) -> Image.Image:
    """A round loaf on a board, drawn from above."""
    generator = np.random.default_rng(seed)
    picture = Image.new("RGB", (1200, 900), (120, 84, 60))
    draw = ImageDraw.Draw(picture)
    for board in range(9):
        draw.rectangle((0, board * 100, 1200, board * 100 + 97), fill=(124 + board % 3 * 8, 88 + board % 2 * 6, 62))
    for ring in range(60):
        t = ring / 59
        colour = (int(150 + 76 * t), int(92 + 74 * t), int(46 + 60 * t))
        draw.ellipse((290 + 300 * t * 0.9, 140 + 300 * t * 0.9, 910 - 300 * t * 0.9, 760 - 300 * t * 0.9), fill=colour)
    for cut in range(-2, 3):
        draw.line(
            [(440 + cut * 60, 300 - abs(cut) * 14), (520 + cut * 60, 600 + abs(cut) * 14)],
            fill=(250, 232, 196),
            width=15,
        )
    flour = generator.normal((600, 450), 190, (1800, 2))
    for x, y in flour:
        draw.ellipse((x, y, x + 3, y + 3), fill=(250, 244, 232))
    return picture.filter(ImageFilter.GaussianBlur(1.1))


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "pagoda": lambda: photograph("sklearn", "datasets/images/china.jpg"),
    "pagoda_roof": lambda: photograph("sklearn", "datasets/images/china.jpg", (0.1, 0.12, 0.55, 0.62)),
    "pagoda_lake": lambda: photograph("sklearn", "datasets/images/china.jpg", (0.48, 0.25, 1, 0.95)),
    "flower": lambda: photograph("sklearn", "datasets/images/flower.jpg"),
    "flower_close": lambda: photograph("sklearn", "datasets/images/flower.jpg", (0.25, 0.1, 0.75, 0.7)),
    "coffee": lambda: photograph("skimage", "data/coffee.png"),
    "coffee_close": lambda: photograph("skimage", "data/coffee.png", (0.25, 0.1, 0.8, 0.75)),
    "cat": lambda: photograph("skimage", "data/chelsea.png"),
    "cat_eyes": lambda: photograph("skimage", "data/chelsea.png", (0.2, 0.15, 0.75, 0.65)),
    "rocket": lambda: photograph("skimage", "data/rocket.jpg"),
    "rocket_close": lambda: photograph("skimage", "data/rocket.jpg", (0.3, 0.05, 0.75, 0.95), 900),
    "astronaut": lambda: photograph("skimage", "data/astronaut.png", width=1024),
    "galaxies": lambda: photograph("skimage", "data/hubble_deep_field.jpg"),
    "moon": lambda: photograph("skimage", "data/moon.png", width=1024),
    "motorcycle": lambda: photograph("skimage", "data/motorcycle_left.png"),
    "motorcycle_right": lambda: photograph("skimage", "data/motorcycle_right.png"),
    "engine": lambda: photograph("skimage", "data/motorcycle_left.png", (0.3, 0.35, 0.72, 0.9)),
    "brick": lambda: photograph("skimage", "data/brick.png", width=1024),
    "grass": lambda: photograph("skimage", "data/grass.png", width=1024),
    "gravel": lambda: photograph("skimage", "data/gravel.png", width=1024),
    "coins": lambda: photograph("skimage", "data/coins.png"),
    "photographer": lambda: photograph("skimage", "data/camera.png", width=1024),
    "hills": hills,
    "hills_far": lambda: hills(11),
    "sea_dusk": sea_dusk,
    "lighthouse": lighthouse,
    "reeds": reeds,
    "julia": julia,
    "julia_fern": lambda: julia(-0.74543 + 0.11301j),
    "truchet": truchet,
    "bread": bread,
}
