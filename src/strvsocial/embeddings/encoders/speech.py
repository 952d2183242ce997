"""Speech to text: voice-activity filter first, then Whisper on what is speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.vad import SpeechTimestampsMap, VadOptions, collect_chunks, get_speech_timestamps

from strvsocial.embeddings.encoders.cues import Word, cut
from strvsocial.embeddings.findings import SAMPLE_RATE, Pcm, Segment, Speech

Samples = npt.NDArray[np.float32]
_WINDOW = 30
"""Seconds that Whisper hears at once."""
_VOICE = VadOptions(min_speech_duration_ms=250, max_speech_duration_s=_WINDOW - 1)
"""With what is left around each stretch, none is longer than a window."""
_EDGE = 2 * SAMPLE_RATE
"""Speech that ends closer than this to a cut may go on behind it."""
_TEMPERATURES = (0.0, 0.2, 0.4, 0.6)
"""What repeats itself is heard anew at these. Hotter, Whisper guesses, and a refrain may come out as silence."""


class Stopped(Exception):
    """The process ends; the rest was not heard."""


class Transcriber:
    """faster-whisper from a folder with `model.bin`, `config.json`, `tokenizer.json` and `vocabulary.txt`."""

    def __init__(self, folder: Path, device: str = "cpu", threads: int = 1) -> None:
        self._whisper: Any = WhisperModel(
            str(folder),
            device=device,
            compute_type="int8" if device == "cpu" else "float16",
            cpu_threads=threads,
            local_files_only=True,
        )

    def listen(
        self,
        pcm: Pcm,
        *,
        language: str | None = None,
        last: bool = True,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Speech:
        """What is said in `pcm`, in pieces for one screen each. Without voices Whisper does not run at all.

        `language` is given when it is known from an earlier piece. When more audio follows (`last` is false), the last
        stretch of speech is left to the next piece if it may go on there.
        """
        samples = pcm.astype(np.float32) / 32768.0
        stretches = get_speech_timestamps(samples, _VOICE)
        heard = len(pcm)
        if not last and len(stretches) > 1 and stretches[-1]["end"] > len(pcm) - _EDGE:
            heard = int(stretches.pop()["start"])
        if not stretches:
            return Speech(None, [], heard)
        chunks = [chunk for chunk in collect_chunks(samples, stretches, max_duration=_WINDOW)[0] if len(chunk)]
        found, info = self._whisper.transcribe(
            np.concatenate(chunks),
            language=language,
            beam_size=5,
            temperature=_TEMPERATURES,
            condition_on_previous_text=False,
            vad_filter=False,
            clip_timestamps=_borders(chunks),
            word_timestamps=True,
        )
        times = SpeechTimestampsMap(stretches, SAMPLE_RATE)
        segments: list[Segment] = []
        for segment in found:
            if should_stop():
                raise Stopped
            segments += cut([_placed(word, times) for word in segment.words])
        return Speech(info.language if segments else None, segments, heard)


def _placed(word: Any, times: SpeechTimestampsMap) -> Word:
    """A word where it was said; Whisper heard it without the silence around it."""
    chunk = times.get_chunk_index((word.start + word.end) / 2)
    start, end = (float(times.get_original_time(time, chunk)) for time in (word.start, word.end))
    return Word(start, max(start, end), word.word)


def _borders(chunks: Sequence[Samples]) -> list[float]:
    """Where each chunk begins and ends in all of them together, in seconds.

    Whisper's windows begin and end there, in pauses. Left alone it cuts every thirty seconds, amid a word if need be.
    """
    ends = np.cumsum([len(chunk) for chunk in chunks]) / SAMPLE_RATE
    return [float(time) for start, end in zip([0.0, *ends[:-1]], ends, strict=True) for time in (start, end)]
