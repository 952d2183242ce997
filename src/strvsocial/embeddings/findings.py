"""What the encoders find in a post's media. No model library is imported here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""float32, one row for each input, L2-normalised."""
Frames = npt.NDArray[np.uint8]
"""RGB, n x 256 x 256 x 3."""
Pcm = npt.NDArray[np.int16]
"""Mono, 16 kHz."""

SAMPLE_RATE = 16_000
SOUND_WINDOWS, SOUND_WINDOW_SECONDS = 6, 30


def sound_stretches(samples: int) -> list[tuple[int, int]]:
    """The parts of audio that its sound is taken from: all of it up to three minutes, then six evenly spread half minutes."""
    length = SOUND_WINDOW_SECONDS * SAMPLE_RATE
    if samples <= SOUND_WINDOWS * length:
        return [(0, samples)]
    starts = np.linspace(0, samples - length, SOUND_WINDOWS).astype(int).tolist()
    return [(start, start + length) for start in starts]


class Look(NamedTuple):
    """How frames look: one vector, and the names of what is seen with their probabilities, the likeliest first."""

    vector: Vectors
    labels: list[tuple[str, float]]


class Segment(NamedTuple):
    """A stretch of speech; times are seconds from the start of what was given."""

    start: float
    end: float
    text: str


class Speech(NamedTuple):
    """What was said. `language` is an ISO 639-1 code, None when nobody spoke.

    `heard` counts the samples that were dealt with: a piece that is not the last may end amid a sentence, which is then
    left for the next piece.
    """

    language: str | None
    segments: list[Segment]
    heard: int
