"""People who speak, recorded, with what they say: from packages with a free licence. And one voice that a program makes.

    beckett    useful-moonshine-onnx (PyPI, MIT): ten seconds of Beckett's "Worstward Ho"
    austen     pocketsphinx-testdata (Debian, BSD): five sentences of "Sense and Sensibility", read for LibriVox
    cards      pocketsphinx-testdata: cards called out in a room

Debian's package is fetched by apt-get and unpacked into a folder, not installed. Where there is no apt, its recordings are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from strvsocial.demo import sounds
from strvsocial.media.sandbox import find_ffmpeg

RATE = 16_000
Samples = npt.NDArray[np.int16]
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
SPOKEN = (
    "The harbour was quiet that morning. A small boat came in with the tide, and two people carried baskets of fish "
    "along the old stone wall. Nobody spoke until the sun was over the hill. Then the bakery opened its doors, and the "
    "smell of fresh bread went down every street of the town."
)
NUMBERS = "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905


class Recording(NamedTuple):
    """Mono samples at `RATE`, and the words that are said."""

    name: str
    samples: Samples
    text: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def recordings(folder: Path) -> list[Recording]:
    """Recorded speech, each with a second of quiet before and behind."""
    package = find_spec("moonshine_onnx")
    assert package is not None
    assert package.origin is not None
    found = [Recording("beckett", _read(Path(package.origin).parent / "assets" / "beckett.wav"), BECKETT)]
    if (data := _sphinx_data(folder)) is not None:
        found.append(_read_transcribed("austen", data / "librivox", "transcription"))
        found.append(_read_transcribed("cards", data / "cards", "cards.transcription"))
    return [one._replace(samples=with_quiet(one.samples)) for one in found]


def synthetic() -> Recording:
    """A text that eSpeak NG speaks."""
    spoken = sounds.speech(SPOKEN)
    places = np.arange(0, spoken.size, sounds.RATE / RATE)
    resampled = np.interp(places, np.arange(spoken.size), spoken)
    return Recording("espeak", with_quiet((resampled * 32767).astype(np.int16)), SPOKEN)


def with_quiet(samples: Samples, seconds: float = 1.0) -> Samples:
    quiet = np.zeros(int(seconds * RATE), np.int16)
    return np.concatenate([quiet, samples, quiet])


def join(name: str, parts: list[Recording], between: Samples) -> Recording:
    """One after the other, with the same sound between all of them."""
    pieces = [piece for part in parts for piece in (part.samples, between)]
    return Recording(name, np.concatenate(pieces[:-1]), " ".join(part.text for part in parts))


def music(seconds: float) -> Samples:
    """A chord, plucked twice a second: no voice."""
    time = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * 220 * ratio * time) for ratio in (1, 5 / 4, 3 / 2))
    return np.asarray(tones * np.exp(-4 * ((time * 2) % 1)) * 6000).astype(np.int16)


def write(path: Path, samples: Samples, *arguments: str) -> Path:
    """The samples as a file of sound or film, by ffmpeg's own arguments."""
    raw = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"]
    command = [find_ffmpeg(), "-v", "error", "-y", *raw, *arguments, str(path)]
    subprocess.run(command, check=True, timeout=120, input=samples.tobytes())
    return path


def words(text: str) -> list[str]:
    """Small letters, no punctuation, small numbers and titles written out."""
    plain = re.findall(r"[^\W_]+", text.lower().replace("’", "").replace("'", ""))
    known = {"mr": "mister", **{str(number): word for number, word in enumerate(NUMBERS)}}
    return [known.get(word, word) for word in plain]


def word_errors(said: str, heard: str) -> int:
    """How many words must be changed, added or taken away (Levenshtein)."""
    wanted, got = words(said), words(heard)
    row = list(range(len(got) + 1))
    for at, word in enumerate(wanted, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(got, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


def _read(path: Path) -> Samples:
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "s16le", "pipe:1"]
    return np.frombuffer(subprocess.run(command, check=True, timeout=60, capture_output=True).stdout, np.int16)


def _sphinx_data(folder: Path) -> Path | None:
    data = folder / "unpacked/usr/share/pocketsphinx/test/data"
    if not data.is_dir():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            return None
        try:
            command = ["apt-get", "download", "-q", "pocketsphinx-testdata"]
            subprocess.run(command, check=True, cwd=folder, timeout=120, capture_output=True)
        except subprocess.CalledProcessError:
            return None
        [package] = folder.glob("pocketsphinx-testdata*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "unpacked")], check=True, timeout=60)
    return data


def _read_transcribed(name: str, folder: Path, transcription: str) -> Recording:
    """The recordings of a folder in the order of their transcription, half a second apart."""
    lines = re.findall(r"<s>(.*)</s> \((.*)\)", (folder / transcription).read_text())
    parts = [Recording(file, _read(folder / f"{file}.wav"), said.strip()) for said, file in lines]
    return join(name, parts, np.zeros(RATE // 2, np.int16))
