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

    With L[b, t] the power in dB of mel band b below the loudest of all (64 bands, 2048-sample windows, hop 512, floor
    -80 dB), and x = b / 63:

    1. timbre: (mean over t of L + 40 + 32 x) / 20,
    2. liveliness: (standard deviation over t of L - 9) / 6,
    3. attack: (mean over t of |L[b, t+1] - L[b, t]| - 3) / 2.5,
    4. rhythm: 3 times the autocorrelation of the onset strength (mean over b of the rises of L, its own mean taken
       away) at lags 1 to 64 (32 ms to 2 s), as a share of that at lag 0.

    All values are cut to -3 … 3, then the whole is normalised. The constants are the means and spreads over music, field
    recordings, engines and noise, so that unlike sounds have a cosine near 0.
    """
    pcm = np.concatenate([pcm[start:end] for start, end in sound_stretches(len(pcm))])
    if len(pcm) < SAMPLE_RATE // 4 or int(np.abs(pcm.astype(np.int32)).max()) < 16:
        return None
    import librosa

    samples = pcm.astype(np.float32) / 32768.0
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=2048, hop_length=HOP, n_mels=BANDS)
    level = librosa.power_to_db(power, ref=np.max, top_db=80.0)
    steps = np.diff(level, axis=1)
    x = np.linspace(0, 1, BANDS)
    values = np.concatenate(
        [
            (level.mean(axis=1) + 40 + 32 * x) / 20,
            (level.std(axis=1) - 9) / 6,
            (np.abs(steps).mean(axis=1) - 3) / 2.5,
            3 * _rhythm(np.maximum(steps, 0).mean(axis=0)),
        ]
    )
    vector = np.clip(values, -3, 3).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector))


def _rhythm(onsets: Any) -> Any:
    onsets = onsets - onsets.mean()
    size = 1 << (2 * len(onsets) - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(onsets, size)) ** 2, size)
    share = correlation[1 : BEATS + 1] / max(float(correlation[0]), 1e-9)
    return np.pad(share, (0, BEATS - len(share)))
