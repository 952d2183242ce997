"""Waveforms show what is heard: silence flat, quiet speech still to be seen, the loudest moment at full height."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strvsocial.media import waveforms
from strvsocial.media.waveforms import waveform_product

RATE = 16_000
NOISE = np.random.default_rng(1).uniform(-1, 1, RATE)


def _second(decibels: float) -> Any:
    """A second of noise whose root mean square is that far below full scale."""
    return NOISE / np.sqrt(np.mean(NOISE**2)) * 10 ** (decibels / 20)


async def _draw(folder: Path, *seconds: Any) -> tuple[dict[str, Any], list[int]]:
    samples = np.concatenate(seconds) if seconds else np.zeros(0)
    (samples * 32_767).round().astype("<i2").tofile(folder / "pcm")
    product = await waveform_product(folder)
    assert (product.role, product.mime, product.is_served) == ("waveform", "application/json", True)
    return json.loads((folder / "waveform.json").read_text()), product.details["peaks"]


async def test_loud_quiet_and_silent_moments(tmp_path: Path) -> None:
    loud, quiet = _second(-12), _second(-42)
    drawn, of_a_card = await _draw(tmp_path, loud, np.zeros(RATE), quiet, loud)
    peaks = drawn["peaks"]
    assert (drawn["duration"], len(peaks), len(of_a_card)) == (4, 400, 160)
    assert max(peaks) == 1
    assert min(peaks[:99]) > 0.85
    assert set(peaks[101:199]) == {0}
    assert 0.1 < np.mean(peaks[201:299]) < 0.2
    assert max(of_a_card) == 100
    assert set(of_a_card[41:79]) == {0}
    assert all(8 < percent < 20 for percent in of_a_card[81:119])


async def test_a_whisper_alone_fills_its_height(tmp_path: Path) -> None:
    """What is served is evened in loudness, so what counts is how the moments compare."""
    drawn, _ = await _draw(tmp_path, _second(-50))
    assert min(drawn["peaks"]) > 0.8


@pytest.mark.parametrize("samples", [np.zeros(2 * RATE), np.sign(NOISE) / 32_767])
async def test_silence_is_flat(tmp_path: Path, samples: Any) -> None:
    drawn, of_a_card = await _draw(tmp_path, samples)
    assert set(drawn["peaks"]) == {0}
    assert set(of_a_card) == {0}


@pytest.mark.parametrize(("length", "bars"), [(1, 1), (100, 1), (1_600, 10), (RATE, 100), (20 * RATE, 1_000)])
async def test_there_are_no_more_bars_than_moments(tmp_path: Path, length: int, bars: int) -> None:
    drawn, of_a_card = await _draw(tmp_path, np.full(length, 0.5))
    assert len(drawn["peaks"]) == bars
    assert len(of_a_card) == min(160, bars)
    assert drawn["duration"] == pytest.approx(length / RATE, abs=0.001)
    assert set(drawn["peaks"]) == {1}


async def test_bars_are_the_same_however_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = np.linspace(0, 1, 3 * RATE + 7) * np.resize(NOISE, 3 * RATE + 7)
    whole = await _draw(tmp_path, sweep)
    monkeypatch.setattr(waveforms, "SAMPLES_AT_ONCE", 1_001)
    assert await _draw(tmp_path, sweep) == whole
    expected = [np.sqrt(np.mean(part**2)) ** 0.6 for part in np.array_split(sweep, 300)]
    assert whole[0]["peaks"] == pytest.approx(np.array(expected) / max(expected), abs=0.02)


async def test_hours_are_read_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "pcm").open("wb") as file:
        file.truncate(2 * 3600 * RATE)
        file.seek(2 * 1800 * RATE)
        file.write((_second(-20) * 32_767).astype("<i2").tobytes())
    tracemalloc.start()
    try:
        product = await waveform_product(tmp_path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 << 20
    drawn = json.loads((tmp_path / "waveform.json").read_text())
    assert (drawn["duration"], len(drawn["peaks"])) == (3600, 1_000)
    assert [n for n, peak in enumerate(drawn["peaks"]) if peak] == [500]
    assert product.details["peaks"].count(0) == 159
