"""Cosines to similarities from 0 to 1, for each model.

A cosine means something else in every space: two unrelated texts have .05 with MiniLM, two unrelated photographs .15 with
EfficientNet. `similarity` maps it piecewise linearly through `points` [[cosine, similarity], …]: 0 at the mean cosine of
unrelated pairs, 0.5 where pairs begin to share their subject, 0.95 for near duplicates, 1 at cosine 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Points = list[list[float]]
KNOWN: dict[str, Points] = {}
UNKNOWN: Points = [[0.2, 0.0], [0.6, 0.5], [0.95, 0.95], [1.0, 1.0]]


def known(model: str) -> dict[str, Any]:
    """What `embedding_spaces.calibration` holds for a new space of `model`."""
    return {"points": KNOWN.get(model, UNKNOWN)}


def similarity(calibration: dict[str, Any], cosine: float) -> float:
    """The similarity, 0 to 1, of a cosine in a space with this `calibration`."""
    return float(similarities(calibration, np.array([cosine]))[0])


def similarities(calibration: dict[str, Any], cosines: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`similarity` of many cosines at once."""
    points = np.array(calibration.get("points") or UNKNOWN)
    return np.clip(np.interp(cosines, points[:, 0], points[:, 1]), 0.0, 1.0)
