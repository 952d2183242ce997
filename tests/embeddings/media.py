"""Real speech and photographs from installed packages, sounds made on the spot, as the embedder gets them."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage.data
from faster_whisper.audio import decode_audio
from PIL import Image
from sklearn.datasets import load_sample_images

from strvsocial.embeddings.findings import SAMPLE_RATE, Frames, Pcm


@lru_cache
def beckett() -> Pcm:
    """Ten seconds of a person reading Beckett."""
    package = importlib.util.find_spec("moonshine_onnx")
    assert package is not None
    assert package.origin is not None
    samples = decode_audio(str(Path(package.origin).parent / "assets" / "beckett.wav"))
    return np.asarray(np.round(samples * 32767), dtype=np.int16)


@lru_cache
def photograph(name: str) -> Frames:
    """`chelsea` (a cat), `rocket`, `coffee`, `china` (a palace), `flower`, …: shorter side 256, the middle cut out."""
    if name in ("china", "flower"):
        samples = load_sample_images()
        pixels = samples.images[[Path(path).stem for path in samples.filenames].index(name)]
    else:
        pixels = getattr(skimage.data, name)()
    image = Image.fromarray(pixels).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 256) // 2, (image.height - 256) // 2
    return np.asarray(image.crop((left, top, left + 256, top + 256)))[np.newaxis]


def noise(seconds: float, seed: int = 0) -> Pcm:
    samples = np.random.default_rng(seed).normal(size=int(seconds * SAMPLE_RATE)) * 3000
    return samples.clip(-32768, 32767).astype(np.int16)


def chords(seconds: float, *, root: float = 220.0, beats: float = 2.0) -> Pcm:
    """A major chord, plucked `beats` times a second."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 5 / 4, 3 / 2))
    return np.asarray(tones * np.exp(-4 * ((time * beats) % 1)) * 6000).astype(np.int16)
