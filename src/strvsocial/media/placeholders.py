"""ThumbHash placeholders: a picture's colours and rough shapes in some 25 bytes.

The algorithm is Evan Wallace's, published at https://evanw.github.io/thumbhash/: averages and a few cosine terms of
luminance, yellow-blue, red-green and alpha, four bits for each term.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from math import cos, floor, pi
from typing import NamedTuple


class Channel(NamedTuple):
    dc: float
    ac: list[float]
    scale: float


def thumb_hash(width: int, height: int, rgba: bytes) -> bytes:
    """The ThumbHash of a picture of at most 100 x 100 pixels given as RGBA bytes."""
    light, yellow, red, alpha = _split(width, height, rgba)
    has_alpha = min(alpha) < 1
    most = 5 if has_alpha else 7
    terms_x = max(1, _round(most * width / max(width, height)))
    terms_y = max(1, _round(most * height / max(width, height)))
    l = _transform(light, width, height, max(3, terms_x), max(3, terms_y))  # noqa: E741
    p = _transform(yellow, width, height, 3, 3)
    q = _transform(red, width, height, 3, 3)
    a = _transform(alpha, width, height, 5, 5) if has_alpha else Channel(1, [], 1)
    landscape = width > height
    header = (
        _round(63 * l.dc)
        | _round(31.5 + 31.5 * p.dc) << 6
        | _round(31.5 + 31.5 * q.dc) << 12
        | _round(31 * l.scale) << 18
        | has_alpha << 23
        | (terms_y if landscape else terms_x) << 24
        | _round(63 * p.scale) << 27
        | _round(63 * q.scale) << 33
        | landscape << 39
    )
    found = bytearray(header.to_bytes(5, "little"))
    if has_alpha:
        found.append(_round(15 * a.dc) | _round(15 * a.scale) << 4)
    nibbles = [_round(15 * term) for channel in (l, p, q, a) for term in channel.ac]
    nibbles += [0] * (len(nibbles) % 2)
    found += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return bytes(found)


def placeholder(width: int, height: int, rgba: str) -> str:
    """The ThumbHash in base64 of RGBA bytes in base64, as the picture child hands them over."""
    return base64.b64encode(thumb_hash(width, height, base64.b64decode(rgba))).decode()


def _split(width: int, height: int, rgba: bytes) -> tuple[list[float], list[float], list[float], list[float]]:
    """Luminance, yellow-blue, red-green and alpha of each pixel, laid over the average colour."""
    count = width * height
    alpha = [value / 255 for value in rgba[3::4]]
    seen = sum(alpha)
    colours = [[value / 255 for value in rgba[band::4]] for band in range(3)]
    averages = [sum(map(_product, band, alpha)) / seen if seen else 0.0 for band in colours]
    r, g, b = (
        [average * (1 - a) + a * value for value, a in zip(band, alpha, strict=True)]
        for band, average in zip(colours, averages, strict=True)
    )
    light = [(r[n] + g[n] + b[n]) / 3 for n in range(count)]
    yellow = [(r[n] + g[n]) / 2 - b[n] for n in range(count)]
    return light, yellow, [r[n] - g[n] for n in range(count)], alpha


def _transform(values: Sequence[float], width: int, height: int, terms_x: int, terms_y: int) -> Channel:
    """The low cosine terms of one channel, in the triangle below the diagonal."""
    rows = [values[y * width : (y + 1) * width] for y in range(height)]
    across = []
    for cx in range(terms_x):
        wave = [cos(pi / width * cx * (x + 0.5)) for x in range(width)]
        across.append([sum(map(_product, row, wave)) for row in rows])
    dc, ac = 0.0, []
    for cy in range(terms_y):
        wave = [cos(pi / height * cy * (y + 0.5)) for y in range(height)]
        for cx in range(terms_x):
            if cx * terms_y >= terms_x * (terms_y - cy):
                break
            term = sum(map(_product, across[cx], wave)) / (width * height)
            if cx or cy:
                ac.append(term)
            else:
                dc = term
    scale = max((abs(term) for term in ac), default=0.0)
    return Channel(dc, [0.5 + 0.5 / scale * term for term in ac] if scale else ac, scale)


def _product(left: float, right: float) -> float:
    return left * right


def _round(value: float) -> int:
    """Halves go up, as in the published code."""
    return floor(value + 0.5)
