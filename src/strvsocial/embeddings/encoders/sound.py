"""Music and noise to vectors: statistics of the log-mel spectrogram. No weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from strvsocial.embeddings.findings import SAMPLE_RATE, Pcm, Vectors, sound_stretches

BANDS = 64
HOP = 512
BEATS = 64
DIM = 3 * BANDS + BEATS


def describe(pcm: Pcm) -> Vectors | None:
    """The sound of `pcm` as 256 values, L2-normalised; None when it is silent or shorter than a quarter of a second.

    With L[b, t] the power in dB of mel band b (64 bands, 2048-sample windows, hop 512, floor 80 dB below the peak):

    1. timbre: mean over t of L, minus its mean over the bands (so loudness does not count),
    2. liveliness: standard deviation over t of L, minus its mean over the bands,
    3. attack: mean over t of |L[b, t+1] - L[b, t]|, minus its mean over the bands,
    4. rhythm: autocorrelation of the onset strength (mean over b of the rises of L) at lags 1 to 64 (32 ms to 2 s).

    Each block is normalised to length 1 and weighted .55, .2, .1, .15 (squared shares of the cosine).
    """
    pcm = np.concatenate([pcm[start:end] for start, end in sound_stretches(len(pcm))])
    if len(pcm) < SAMPLE_RATE // 4 or int(np.abs(pcm.astype(np.int32)).max()) < 16:
        return None
    import librosa

    samples = pcm.astype(np.float32) / 32768.0
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=2048, hop_length=HOP, n_mels=BANDS)
    level = librosa.power_to_db(power, ref=np.max, top_db=80.0)
    steps = np.diff(level, axis=1)
    blocks = (
        (0.55, _centred(level.mean(axis=1))),
        (0.20, _centred(level.std(axis=1))),
        (0.10, _centred(np.abs(steps).mean(axis=1))),
        (0.15, _rhythm(np.maximum(steps, 0).mean(axis=0))),
    )
    vector = np.concatenate([np.sqrt(share) * _unit(block) for share, block in blocks]).astype(np.float32)
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else None


def _rhythm(onsets: Any) -> Any:
    onsets = onsets - onsets.mean()
    size = 1 << (2 * len(onsets) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(onsets, size)) ** 2
    correlation = np.fft.irfft(spectrum, size)[1 : BEATS + 1]
    return np.pad(correlation, (0, BEATS - len(correlation)))


def _centred(block: Any) -> Any:
    return block - block.mean()


def _unit(block: Any) -> Any:
    norm = np.linalg.norm(block)
    return block / norm if norm > 1e-6 else np.zeros_like(block)
