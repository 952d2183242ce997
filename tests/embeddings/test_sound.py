"""Music finds music, noise finds noise, and loudness does not matter."""

from __future__ import annotations

import numpy as np

from strvsocial.embeddings.encoders import sound

from .media import chords, noise


def test_like_sounds_are_near_and_unlike_ones_far() -> None:
    music, slower, hiss, other_hiss = (
        sound.describe(pcm) for pcm in (chords(8), chords(8, root=247, beats=2.5), noise(8, seed=1), noise(5, seed=2))
    )
    assert music is not None and slower is not None and hiss is not None and other_hiss is not None  # noqa: PT018
    assert music @ slower > 0.6
    assert hiss @ other_hiss > 0.6
    assert music @ hiss < 0.3


def test_the_vector_is_of_fixed_size_and_blind_to_loudness() -> None:
    pcm = chords(4)
    loud, quiet, brief = sound.describe(pcm), sound.describe(pcm // 8), sound.describe(pcm[:6000])
    assert loud is not None and quiet is not None and brief is not None  # noqa: PT018
    assert loud.shape == brief.shape == (sound.DIM,)
    assert loud.dtype == np.float32
    assert abs(float(np.linalg.norm(loud)) - 1) < 1e-5
    assert loud @ quiet > 0.98


def test_silence_and_scraps_have_no_sound() -> None:
    assert sound.describe(np.zeros(16_000, dtype=np.int16)) is None
    assert sound.describe(chords(0.1)) is None


def test_long_audio_is_heard_in_windows() -> None:
    brief, hours = sound.describe(chords(20)), sound.describe(np.tile(chords(20), 20))
    assert brief is not None and hours is not None  # noqa: PT018
    assert brief @ hours > 0.9
