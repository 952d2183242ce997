"""What a sound looks like: how loud each moment is, read from the `pcm` that the sandbox wrote.

A bar is the root mean square of its moment to the power of 0.6, by which loudness grows with amplitude (Stevens, "The
measurement of loudness", 1955), so quiet speech beside music can still be seen. The loudest bar has the full height; what
lies below the absolute gate of EBU R128 is silence and has none.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strvsocial.media.products import Product

SAMPLES_A_SECOND = 16_000
SHORTEST_BAR = 160
"""Samples of a bar at least: ten milliseconds."""
BARS, BARS_OF_A_CARD = 1_000, 160
SILENCE = 10 ** (-70 / 20)
"""Of full scale."""
EXPONENT = 0.6
SAMPLES_AT_ONCE = 1 << 20

Numbers = NDArray[np.float64]


async def waveform_product(folder: Path) -> Product:
    """Writes `waveform.json`: `duration` in seconds and up to 1000 `peaks` from 0 to 1. Cards have up to 160 in percent."""
    bars, duration, of_a_card = await asyncio.to_thread(_draw, folder / "pcm")
    content = {"duration": duration, "peaks": bars}
    await asyncio.to_thread((folder / "waveform.json").write_bytes, msgspec.json.encode(content))
    return Product("waveform.json", "waveform", details={"peaks": of_a_card})


def _draw(pcm: Path) -> tuple[list[float], float, list[int]]:
    samples = pcm.stat().st_size // 2
    count = min(BARS, max(1, samples // SHORTEST_BAR))
    energies = _energies(pcm, _edges(samples, count))
    groups = _edges(count, min(BARS_OF_A_CARD, count))
    of_a_card = np.add.reduceat(energies, groups[:-1]) / np.diff(groups)
    bars: Any = np.round(heights(energies), 3)
    percents: Any = np.round(100 * heights(of_a_card)).astype(int)
    return bars.tolist(), round(samples / SAMPLES_A_SECOND, 3), percents.tolist()


def _edges(length: int, parts: int) -> NDArray[np.int64]:
    """Where parts begin that are as equal as whole numbers allow, and where the last one ends."""
    return np.arange(parts + 1, dtype=np.int64) * length // parts


def _energies(pcm: Path, edges: NDArray[np.int64]) -> Numbers:
    """The mean square of the samples between each two edges, 1 at full scale, in constant memory."""
    sums = np.zeros(len(edges) - 1)
    start = 0
    with pcm.open("rb") as file:
        while piece := file.read(2 * SAMPLES_AT_ONCE):
            squares = np.square(np.frombuffer(piece[: len(piece) // 2 * 2], "<i2").astype(np.float64) / 32_768)
            end = start + len(squares)
            first = int(np.searchsorted(edges, start, "right")) - 1
            cuts = edges[first:-1]
            cuts = np.maximum(cuts[cuts < end], start) - start
            sums[first : first + len(cuts)] += np.add.reduceat(squares, cuts)
            start = end
    return sums / np.maximum(np.diff(edges), 1)


def heights(energies: Numbers) -> Numbers:
    """From mean squares to heights between 0 and 1."""
    levels = np.sqrt(energies)
    levels[levels < SILENCE] = 0
    loudest = levels.max(initial=0)
    return (levels / loudest) ** EXPONENT if loudest else levels
