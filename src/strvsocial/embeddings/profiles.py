"""Model profiles: which weights make which vectors. Chosen once for a site, never by network luck.

`packaged`  weights that packages ship: MiniLM, EfficientNet-Lite0, Whisper base. The same vectors on every install.
`hub`       the original's models, pinned: DistilBERT, ResNet18, Whisper base.
a folder    your own, as an absolute path:

    text/    a transformers encoder: config.json, tokenizer files, model.safetensors
    look/    an image backbone: model.safetensors, config.json {"architecture": "resnet18" | "efficientnet-lite0",
             "mean": [r, g, b], "std": [r, g, b]} with ImageNet's 1000 classes in the head
    speech/  Whisper for faster-whisper: model.bin, config.json, tokenizer.json, vocabulary.txt; when it is left out,
             the packaged Whisper base is used
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from strvsocial.errors import BadInput


class TextModel(NamedTuple):
    model: str
    revision: str
    dim: int


class LookModel(NamedTuple):
    model: str
    revision: str
    dim: int
    architecture: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SpeechModel(NamedTuple):
    model: str
    revision: str


class Profile(NamedTuple):
    """Three models. `name` is `packaged`, `hub` or the folder's path."""

    name: str
    text: TextModel
    look: LookModel
    speech: SpeechModel


DIMS = {"resnet18": 512, "efficientnet-lite0": 1280}
WHISPER = SpeechModel("Systran/faster-whisper-base", "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66")
PACKAGED = Profile(
    "packaged",
    TextModel("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", 384),
    # TensorFlow's normalisation, (pixel - 127) / 128, which these weights were trained with.
    LookModel("efficientnet-lite0", "57934424", 1280, "efficientnet-lite0", (0.498,) * 3, (0.502,) * 3),
    WHISPER,
)
HUB = Profile(
    "hub",
    TextModel("distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be", 768),
    LookModel(
        "torchvision/resnet18-imagenet1k-v1", "f37072fd", 512, "resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ),
    WHISPER,
)


def read_profile(name: str) -> Profile:
    """The profile of a name as in `STRV_MODELS`. Raises BadInput when it is no name and no complete folder."""
    if name in ("packaged", "hub"):
        return PACKAGED if name == "packaged" else HUB
    folder = Path(name).expanduser()
    if not folder.is_absolute() or not folder.is_dir():
        raise BadInput(
            f"STRV_MODELS is {name!r}: it must be packaged, hub or the absolute path of a folder that exists."
        )
    return _read_folder(folder)


def _read_folder(folder: Path) -> Profile:
    text, look = _config(folder / "text"), _config(folder / "look")
    architecture = look.get("architecture")
    if architecture not in DIMS:
        raise BadInput(
            f"{folder}/look/config.json: architecture must be one of {', '.join(DIMS)}, not {architecture!r}."
        )
    dim = text.get("hidden_size") or text.get("dim")
    if not isinstance(dim, int):
        raise BadInput(f"{folder}/text/config.json does not say hidden_size.")
    speech = WHISPER
    if (folder / "speech").is_dir():
        speech = SpeechModel(f"{folder.name}/speech", _revision(folder / "speech" / "model.bin"))
    return Profile(
        str(folder),
        TextModel(f"{folder.name}/text", _revision(folder / "text" / "model.safetensors"), dim),
        LookModel(
            f"{folder.name}/look",
            _revision(folder / "look" / "model.safetensors"),
            DIMS[architecture],
            architecture,
            tuple(look.get("mean", HUB.look.mean)),
            tuple(look.get("std", HUB.look.std)),
        ),
        speech,
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder}/config.json cannot be read: {error}.") from error
    return found


def _revision(weights: Path) -> str:
    try:
        return sha256_of(weights)[:16]
    except OSError as error:
        raise BadInput(f"{weights} cannot be read: {error}.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex; computed once as long as its size and time stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
