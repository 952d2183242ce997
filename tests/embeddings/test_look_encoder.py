"""The penultimate layer, frames averaged, labels as words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.transforms.v2.functional import normalize, to_dtype

from strvsocial.embeddings.encoders.look import LookEncoder, label_names

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> LookEncoder:
    return LookEncoder(tiny_folder / "look" / "model.safetensors", "resnet18", MEAN, STD)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (5, 256, 256, 3), dtype=np.uint8)


def test_the_vector_is_the_pooled_features_of_the_middle(
    encoder: LookEncoder, frames: np.ndarray, tiny_folder: Path
) -> None:
    model = resnet18(weights=None).eval()
    model.load_state_dict(load_file(tiny_folder / "look" / "model.safetensors"))
    model.fc = torch.nn.Identity()
    middle = torch.from_numpy(frames[:1, 16:240, 16:240].copy()).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = model(normalize(to_dtype(middle, torch.float32, scale=True), MEAN, STD))[0].numpy()
    vector = encoder.analyse([frames[:1]])[0].vector
    assert vector.shape == (512,)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_neighbours_do_not_change_a_look_and_frames_are_averaged(encoder: LookEncoder, frames: np.ndarray) -> None:
    one, film = encoder.analyse([frames[:1], frames[1:]])
    np.testing.assert_allclose(one.vector, encoder.analyse([frames[:1]])[0].vector, atol=1e-5)
    singles = np.stack([encoder.analyse([frames[n : n + 1]])[0].vector for n in range(1, 5)])
    mean = singles.mean(axis=0)
    np.testing.assert_allclose(film.vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert encoder.analyse([]) == []


def test_label_names_are_torchvisions() -> None:
    assert label_names() == ResNet18_Weights.IMAGENET1K_V1.meta["categories"]


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"fc.weight": tmp_path}, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        LookEncoder(path, "resnet18", MEAN, STD)
