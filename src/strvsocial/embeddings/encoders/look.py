"""Frames to vectors: an image backbone without its head; the head names what is seen."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from strvsocial.embeddings.findings import Frames, Look

BATCH_FRAMES = 8
"""As fast as 32 on processors, with a quarter of the memory."""
CROP = slice(16, 240)
"""224 of 256 pixels, from the middle."""
LIKELY, MOST_LABELS = 0.05, 5


class LookEncoder:
    """A backbone with ImageNet's 1000 classes from `.safetensors` or a `.pth` that holds tensors only.

    The vector is the penultimate layer (pooled features), L2-normalised: 512 values of ResNet18 (He et al. 2015), 1280 of
    EfficientNet-Lite0. `mean` and `std` normalise pixels from 0 to 1.
    """

    def __init__(
        self, weights: Path, architecture: str, mean: Sequence[float], std: Sequence[float], device: str = "cpu"
    ) -> None:
        self._features, self._head = BACKBONES[architecture](_read(weights), device)
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255
        self._device = device

    def analyse(self, media: Sequence[Frames]) -> list[Look]:
        """A `Look` for each medium: the mean of its frames' vectors, normalised again, and what most frames show."""
        if not media:
            return []
        frames = np.concatenate(media)
        vectors, chances = self._run(frames)
        looks, start = [], 0
        for medium in media:
            own = slice(start, start + len(medium))
            mean = vectors[own].mean(axis=0)
            looks.append(Look(mean / np.linalg.norm(mean), _likely(chances[own].mean(axis=0))))
            start += len(medium)
        return looks

    @torch.inference_mode()
    def _run(self, frames: Frames) -> tuple[Any, Any]:
        vectors, chances = [], []
        for start in range(0, len(frames), BATCH_FRAMES):
            cropped = np.ascontiguousarray(frames[start : start + BATCH_FRAMES, CROP, CROP])
            # Permuting NHWC bytes gives a channels-last tensor without moving one, the layout that convolutions like.
            pixels = torch.from_numpy(cropped).to(self._device).permute(0, 3, 1, 2).float()
            features = self._features((pixels - self._mean) / self._std)
            vectors.append(torch.nn.functional.normalize(features, dim=1).cpu().numpy())
            chances.append(torch.softmax(self._head(features), dim=1).cpu().numpy())
        return np.concatenate(vectors), np.concatenate(chances)


def _likely(chances: Any) -> list[tuple[str, float]]:
    best = np.argsort(chances)[::-1][:MOST_LABELS]
    return [(label_names()[n], round(float(chances[n]), 4)) for n in best if chances[n] > LIKELY]


@lru_cache(maxsize=1)
def label_names() -> list[str]:
    """ImageNet's class names as torchvision ships them, read from its file: importing all of it takes 170 MB."""
    package = importlib.util.find_spec("torchvision")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "models" / "_meta.py"
    spec = importlib.util.spec_from_file_location("torchvision_label_names", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module._IMAGENET_CATEGORIES)


def _read(weights: Path) -> dict[str, Any]:
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(weights)
    found: dict[str, Any] = torch.load(weights, map_location="cpu", weights_only=True)
    return found


Network = Callable[[Any], Any]


def _prepare(model: Any, weights: dict[str, Any], device: str) -> Any:
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def _resnet18(weights: dict[str, Any], device: str) -> tuple[Network, Network]:
    from torchvision.models import resnet18

    model = _prepare(resnet18(weights=None), weights, device)
    head, model.fc = model.fc, torch.nn.Identity()
    return model, head


def _efficientnet_lite0(weights: dict[str, Any], device: str) -> tuple[Network, Network]:
    from efficientnet_lite_pytorch import EfficientNet

    model = _prepare(EfficientNet.from_name("efficientnet-lite0"), weights, device)
    return lambda pixels: model.extract_features(pixels).mean(dim=(2, 3)), model._fc


BACKBONES: dict[str, Callable[[dict[str, Any], str], tuple[Network, Network]]] = {
    "resnet18": _resnet18,
    "efficientnet-lite0": _efficientnet_lite0,
}
