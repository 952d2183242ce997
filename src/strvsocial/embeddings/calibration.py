"""Cosines to similarities from 0 to 1, for each model.

A cosine means something else in every space. `similarity` maps it piecewise linearly through `points`
[[cosine, similarity], …]: 0 up to where unrelated pairs lie, 0.5 where pairs share their subject, 0.95 for near duplicates.

Measured (mean, 95th percentile of unrelated pairs; mean of related ones; mean of near duplicates):

    MiniLM           .06, .20; .50 (two posts on one subject); .96 (reworded)        24 sentences, 10 and 5 pairs
    EfficientNet     .17, .31; .83 (another crop); .97 (mirrored, brighter)          19 photographs
    log-mel          .08, .85; .8 (two rainfalls, two tunes); .98 (parts of one)     16 sounds

DistilBERT without tuning and ResNet18 were not measured; their vectors crowd in a narrow cone (Ethayarajh 2019), and their
points are cautious until `strvsocial embeddings calibrate` takes them from the site's own posts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Points = list[list[float]]
KNOWN: dict[str, Points] = {
    "sentence-transformers/all-MiniLM-L6-v2": [[0.1, 0.0], [0.5, 0.5], [0.95, 0.95], [1.0, 1.0]],
    "efficientnet-lite0": [[0.2, 0.0], [0.6, 0.5], [0.95, 0.95], [1.0, 1.0]],
    "log-mel": [[0.4, 0.0], [0.8, 0.5], [0.97, 0.95], [1.0, 1.0]],
    "distilbert/distilbert-base-uncased": [[0.7, 0.0], [0.88, 0.5], [0.98, 0.95], [1.0, 1.0]],
    "torchvision/resnet18-imagenet1k-v1": [[0.55, 0.0], [0.78, 0.5], [0.96, 0.95], [1.0, 1.0]],
}
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
    return np.asarray(np.clip(np.interp(cosines, points[:, 0], points[:, 1]), 0.0, 1.0))


def from_unrelated(cosines: npt.NDArray[Any]) -> dict[str, Any]:
    """The calibration that follows from the cosines of many random pairs: nearly all of them become 0.

    With m their 95th percentile: 0 at m, 0.5 half-way from m to 1, 0.95 nine tenths of the way, 1 at 1.
    """
    floor = min(float(np.percentile(cosines, 95)), 0.98)
    rise = 1 - floor
    points = [[floor, 0.0], [floor + rise / 2, 0.5], [floor + 0.9 * rise, 0.95], [1.0, 1.0]]
    return {"points": [[round(cosine, 4), value] for cosine, value in points]}
