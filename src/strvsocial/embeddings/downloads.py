"""Fetches the `hub` profile's weights: pinned revisions, full sha256, resumed where it stopped, nothing half in place."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from strvsocial.embeddings.profiles import HUB, sha256_of
from strvsocial.embeddings.weights import SHA256, SPEECH_FILES, WeightsMissing, models_folder, whisper_folder

Progress = Callable[[str, int, int], None]
"""Told the file's name, the bytes so far and the bytes in all (0 when unknown)."""
TORCHVISION = "https://download.pytorch.org/models"
_PIECE = 1 << 20


class Download(NamedTuple):
    """A file to fetch. `sha256` is None for small files, which their revision pins: a commit id of the hub's Git."""

    url: str
    path: Path
    sha256: str | None


def hub_downloads(data_dir: Path) -> list[Download]:
    """Everything that the `hub` profile needs. `HF_ENDPOINT` names a mirror of the hub, as its own tools read it."""
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    folder, speech = models_folder(data_dir) / "hub", whisper_folder(data_dir)
    pinned = {"model.safetensors": SHA256["distilbert"], "model.bin": SHA256["whisper"]}
    text = f"{hub}/{HUB.text.model}/resolve/{HUB.text.revision}"
    whisper = f"{hub}/{HUB.speech.model}/resolve/{HUB.speech.revision}"
    names = ("config.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt", "model.safetensors")
    look = "resnet18-f37072fd.pth"
    return [
        *(Download(f"{text}/{name}", folder / "text" / name, pinned.get(name)) for name in names),
        Download(f"{TORCHVISION}/{look}", folder / "look" / look, SHA256["resnet18"]),
        *(Download(f"{whisper}/{name}", speech / name, pinned.get(name)) for name in SPEECH_FILES),
    ]


def fetch(downloads: list[Download], progress: Progress) -> None:
    """Fetches what is not there yet. Raises WeightsMissing with the address and the reason."""
    for download in downloads:
        if not download.path.is_file() or (download.sha256 and sha256_of(download.path) != download.sha256):
            _fetch(download, progress)


def _fetch(download: Download, progress: Progress) -> None:
    part = download.path.with_name(download.path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        _continue(download, part, progress)
    except (OSError, urllib.error.URLError) as error:
        raise WeightsMissing(
            f"{download.url} could not be fetched: {error}. Check the connection and run `strvsocial models fetch` again; "
            "what has arrived is kept."
        ) from error
    if download.sha256 is not None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != download.sha256:
            part.unlink()
            raise WeightsMissing(
                f"{download.url} has the sha256 {found}, but {download.sha256} is expected; it was thrown away."
            )
    part.replace(download.path)


def _continue(download: Download, part: Path, progress: Progress) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=30)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # All bytes are here already; the checksum decides.
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        done = done if answer.status == 206 else 0
        total = done + int(answer.headers.get("Content-Length") or 0)
        while piece := answer.read(_PIECE):
            file.write(piece)
            done += len(piece)
            progress(download.path.name, done, total)
        file.flush()
        os.fsync(file.fileno())
    if total and done != total:
        raise OSError(f"the connection ended after {done} of {total} bytes")
