"""Similarities are from 0 to 1, rise with the cosine, and mean the same in every space."""

from __future__ import annotations

import numpy as np
import pytest

from strvsocial.embeddings.calibration import KNOWN, UNKNOWN, from_unrelated, known, similarities, similarity


@pytest.mark.parametrize("model", [*KNOWN, "a model of one's own"])
def test_similarity_rises_from_0_to_1(model: str) -> None:
    calibration = known(model)
    values = similarities(calibration, np.linspace(-1, 1.0001, 500))
    assert (np.diff(values) >= 0).all()
    assert values[0] == 0
    assert values[-1] == 1
    assert similarity(calibration, 1.0) == 1
    assert similarity({}, 0.6) == similarity({"points": UNKNOWN}, 0.6) == 0.5


def test_a_calibration_from_random_pairs_takes_nearly_all_of_them_to_0() -> None:
    cosines = np.random.default_rng(1).normal(0.75, 0.05, 2000)
    calibration = from_unrelated(cosines)
    values = similarities(calibration, cosines)
    assert (values == 0).mean() >= 0.94
    assert similarity(calibration, 0.99) > 0.9
