"""Sounds of the demo content: speech by eSpeak NG, recorded speech that a package ships, music and noises by arithmetic.

Every function returns mono float32 samples (n,) at `RATE`, between -1 and 1.
"""

from __future__ import annotations

import ctypes
import wave
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 22_050
"""Hertz; what eSpeak NG speaks at."""

Samples = NDArray[np.float32]


@lru_cache(maxsize=1)
def _espeak() -> tuple[ctypes.CDLL, list[bytes], object]:
    """eSpeak NG, started once per process, the list that its callback fills, and the callback, which must stay alive."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    if library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0) != RATE:
        raise RuntimeError("eSpeak NG did not start; reinstall the package espeakng-loader.")
    pieces: list[bytes] = []

    def take(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(take)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(b"gmw/en")
    return library, pieces, callback


def speech(text: str, *, words_per_minute: int = 150, pitch: int = 45) -> Samples:
    """`text` spoken in English by eSpeak NG (`espeakng-loader` ships the library and its voices)."""
    library, pieces, _ = _espeak()
    pieces.clear()
    library.espeak_SetParameter(1, words_per_minute, 0)
    library.espeak_SetParameter(3, pitch, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, 1, None, None)
    library.espeak_Synchronize()
    spoken: Samples = (np.frombuffer(b"".join(pieces), "<i2") / 32768).astype(np.float32)
    return spoken


def recorded_speech() -> Samples:
    """Ten seconds of a person who reads Beckett, from the package useful-moonshine-onnx."""
    spec = find_spec("moonshine_onnx")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The demo content needs the package useful-moonshine-onnx; install the extra `demo`.")
    with wave.open(str(Path(spec.origin).parent / "assets" / "beckett.wav")) as opened:
        rate, channels = opened.getframerate(), opened.getnchannels()
        samples = np.frombuffer(opened.readframes(opened.getnframes()), "<i2").reshape(-1, channels)[:, 0] / 32768
    places = np.arange(0, samples.size, rate / RATE)
    resampled: Samples = np.interp(places, np.arange(samples.size), samples).astype(np.float32)
    return resampled


def _pluck(frequency: float, seconds: float, generator: np.random.Generator) -> Samples:
    """A plucked string (Karplus and Strong, 1983)."""
    period = int(RATE / frequency)
    line = generator.uniform(-1, 1, period)
    out = np.empty(int(seconds * RATE))
    for start in range(0, out.size, period):
        out[start : start + period] = line[: min(period, out.size - start)]
        line = 0.4985 * (line + np.roll(line, -1))
    plucked: Samples = out.astype(np.float32)
    return plucked


def strings(melody: list[int], beat: float = 0.3, seed: int = 1) -> Samples:
    """`melody` in semitones from A3 on plucked strings; `None`-like rests are not needed: strings ring on."""
    generator = np.random.default_rng(seed)
    out = np.zeros(int((len(melody) * beat + 2.5) * RATE), np.float32)
    for place, semitone in enumerate(melody):
        note = _pluck(220 * 2 ** (semitone / 12), 2.2, generator) * (0.5 if place % 4 else 0.8)
        start = int(place * beat * RATE)
        out[start : start + note.size] += note[: out.size - start]
    return _level(out)


def drums(bars: int = 6) -> Samples:
    """A plain beat: kick, snare, hat."""
    generator = np.random.default_rng(3)
    step = int(RATE * 0.14)
    out = np.zeros(bars * 16 * step + RATE, np.float32)
    t = np.arange(int(RATE * 0.25)) / RATE
    kick = np.sin(2 * np.pi * (50 * t + 18 * (1 - np.exp(-t * 28)))) * np.exp(-t * 14)
    snare = generator.normal(0, 0.4, t.size) * np.exp(-t * 22) + 0.4 * np.sin(2 * np.pi * 190 * t) * np.exp(-t * 26)
    hat = np.diff(generator.normal(0, 0.3, t.size + 1)) * np.exp(-t * 70)
    for place in range(bars * 16):
        for sound, steps in ((kick, (0, 7, 10)), (snare, (4, 12)), (hat, range(0, 16, 2))):
            if place % 16 in steps:
                out[place * step : place * step + t.size] += sound
    return _level(out)


def _coloured_noise(seconds: float, slope: float, seed: int) -> Samples:
    """Noise whose power falls with frequency to the power of `slope`."""
    generator = np.random.default_rng(seed)
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(generator.normal(size=count))
    spectrum[1:] /= np.arange(1, spectrum.size) ** (slope / 2)
    coloured: Samples = np.fft.irfft(spectrum, count).astype(np.float32)
    return _level(coloured)


def sea(seconds: float = 14) -> Samples:
    """Waves that come and go every few seconds."""
    t = np.arange(int(seconds * RATE)) / RATE
    swell = 0.25 + 0.75 * (0.5 + 0.5 * np.sin(2 * np.pi * t / 5.3 - 1)) ** 2
    return _level(_coloured_noise(seconds, 1.1, 5) * swell.astype(np.float32))


def rain(seconds: float = 12) -> Samples:
    """Steady rain with single drops near by."""
    out = _coloured_noise(seconds, 0.2, 6) * 0.35
    generator = np.random.default_rng(7)
    t = np.arange(int(0.03 * RATE)) / RATE
    for start in generator.integers(0, out.size - t.size, 260):
        frequency = generator.uniform(1400, 4200)
        out[start : start + t.size] += (
            0.5 * np.sin(2 * np.pi * frequency * t) * np.exp(-t * 180) * generator.uniform(0.2, 1)
        )
    return _level(out)


def night_insects(seconds: float = 12) -> Samples:
    """Crickets, near and far."""
    t = np.arange(int(seconds * RATE)) / RATE
    out = _coloured_noise(seconds, 1.6, 8) * 0.08
    for frequency, rate, loud, late in ((4200, 2.1, 0.5, 0.0), (4650, 1.7, 0.3, 0.4), (3900, 2.6, 0.2, 0.7)):
        chirp = (np.sin(2 * np.pi * 28 * t) > 0) * ((t * rate + late) % 1 < 0.38)
        out += (loud * np.sin(2 * np.pi * frequency * t) * chirp).astype(np.float32)
    return _level(out)


def engine_idle(seconds: float = 8) -> Samples:
    """A single-cylinder engine at idle."""
    t = np.arange(int(seconds * RATE)) / RATE
    phase = (t * 13 + 0.04 * np.sin(2 * np.pi * 0.7 * t)) % 1
    beat = np.exp(-phase * 9) * np.sin(2 * np.pi * 62 * t)
    out: Samples = (beat + 0.3 * _coloured_noise(seconds, 1.0, 9) * np.exp(-phase * 5)).astype(np.float32)
    return _level(out)


def _level(samples: Samples, peak: float = 0.8) -> Samples:
    levelled: Samples = (samples * (peak / max(float(np.abs(samples).max()), 1e-6))).astype(np.float32)
    return levelled


WALTZ = [0, 7, 10, 3, 7, 12, -2, 5, 8, 2, 5, 10, -4, 3, 8, 0, 3, 7, -5, 2, 7, -1, 5, 7, 0, 7, 12, 15, 12, 7, 3, 0]
REEL = [0, 4, 7, 12, 11, 7, 4, 7, 2, 5, 9, 14, 12, 9, 5, 9, 4, 7, 11, 16, 14, 11, 7, 11, 12, 7, 4, 0, 4, 7, 12, 12]

SOUNDS: dict[str, Callable[[], Samples]] = {
    "keeper": lambda: speech(
        "The night the lighthouse keeper came back, the lamp was already burning. Nobody had lit it. He climbed the stairs, "
        "counted the steps as he always did, and found his own coat on the chair, still wet from the sea. "
        "The boat leaves at noon, he said, with or without you.",
        words_per_minute=140,
    ),
    "forecast": lambda: speech(
        "Here is the weather for ships at sea. Wind from the south west, force five, rising to seven before midnight. "
        "Rough water outside the harbour. Rain later. Good visibility, then poor. Keep your boats inside tonight.",
        words_per_minute=150,
        pitch=38,
    ),
    "countdown": lambda: speech(
        "Ten. Nine. Eight. Ignition sequence start. Five. Four. Three. Two. One. Lift off. We have lift off of the rocket "
        "on its way to the moon.",
        words_per_minute=145,
        pitch=35,
    ),
    "garden_talk": lambda: speech(
        "Three things about dahlias. Plant them when the soil is warm. Do not water before you see the first leaves. "
        "And cut the flowers often, because every flower you cut makes two more.",
        words_per_minute=155,
        pitch=60,
    ),
    "sourdough_talk": lambda: speech(
        "Feed the starter the night before. Mix flour, water and salt, fold the dough four times, and let it rest until it "
        "has doubled. Then bake the bread very hot, with steam, and leave it alone until it has cooled.",
        words_per_minute=155,
        pitch=62,
    ),
    "beckett": recorded_speech,
    "waltz": lambda: strings(WALTZ, 0.34),
    "reel": lambda: strings(REEL, 0.22, seed=2),
    "drums": drums,
    "sea": sea,
    "rain": rain,
    "crickets": night_insects,
    "engine": engine_idle,
}
