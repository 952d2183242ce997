"""How loud a sound is by EBU R128, and the one gain that evens it.

Loudness is integrated over the whole sound as ITU-R BS.1770 gates it, the peak is the true peak. Both are measured on what
is served: one or two channels, one taken as heard from two loudspeakers.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from strvsocial.media.probing import Stream

TARGET = -16.0
"""LUFS: what AES TD1008 recommends for streams, and what phones still carry."""
CEILING = -1.0
"""dBTP that no gain may lift a sound above (EBU R128, clause h)."""
MOST_GAIN = 20.0
"""dB: what is quieter than that is meant to be quiet, or is noise."""
NEARLY = 1.0
"""LU within which nobody hears the difference: what is that near stays as it is."""
SILENCE = -70.0
"""LUFS, the absolute gate: what is measured there has nothing above it."""
SHORTEST = 1.0
"""Seconds below which a measure of blocks of 0.4 seconds says little."""

CONTIGUOUS = "asetpts=N/SR/TB"
"""Time by samples alone: wrong clocks in a file of sound make neither gaps nor hours."""

_SUMMARY = re.compile(r"Summary:\s+Integrated loudness:\s+I:\s+(\S+) LUFS.*?True peak:\s+Peak:\s+(\S+) dBFS", re.DOTALL)


class Loudness(NamedTuple):
    """`integrated` in LUFS and `peak` in dBTP as they were sent; `gain` in dB is what serving adds."""

    integrated: float
    peak: float
    gain: float

    @property
    def details(self) -> dict[str, Any]:
        """What a rendition says of it."""
        return {"loudness": {"integrated": self.integrated, "true_peak": self.peak, "gain": self.gain}}


def measuring_output(sound: Stream, max_seconds: int) -> list[str]:
    """Output arguments that measure as `read_loudness` reads it. Nothing is written; ffmpeg has to talk (`-v info`)."""
    filters = f"{CONTIGUOUS},{mixed(sound)},ebur128=framelog=quiet:peak=true:dualmono=true"
    return ["-map", f"0:{sound.index}", "-t", str(max_seconds), "-af", filters, "-f", "null", "-"]


def read_loudness(log: str, seconds: float) -> Loudness | None:
    """From the end of what ffmpeg said. None for what is too short or too silent to be measured."""
    found = _SUMMARY.findall(log)
    if not found or seconds < SHORTEST:
        return None
    integrated, peak = (float(number) for number in found[-1])
    return Loudness(integrated, peak, find_gain(integrated, peak)) if integrated > SILENCE and peak > SILENCE else None


def find_gain(integrated: float, peak: float) -> float:
    """dB that bring a sound to the target, as far as its peak leaves room: dynamics stay as they are."""
    return round(min(TARGET - integrated, CEILING - peak, MOST_GAIN), 1)


def is_even(loudness: Loudness | None) -> bool:
    """True for what can be served as it is."""
    return loudness is None or (abs(loudness.gain) <= NEARLY and loudness.peak <= 0)


def mixed(sound: Stream) -> str:
    """The filter that leaves one or two channels."""
    return f"aformat=sample_fmts=fltp:channel_layouts={'mono' if sound.channels == 1 else 'stereo'}"


def evened(sound: Stream, gain: float) -> str:
    """The filters that make one or two channels of it, `gain` dB louder."""
    return mixed(sound) + (f",volume={gain:.1f}dB" if gain else "")
