"""The models of one process: each loaded once, on first use, and run on one thread of its own beside the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import structlog

from strvsocial.embeddings.findings import Frames, Look, Pcm, Speech, Vectors
from strvsocial.embeddings.weights import Weights, WeightsMissing

log = structlog.get_logger()
T = TypeVar("T")
MOST_THREADS = 8
TRIM_SECONDS = 10
_M_ARENA_MAX = -8


def threads_for_models(wanted: int) -> int:
    """How many threads a model may use: `wanted`, or when 0 all cores but one, at most 8.

    One core stays for PostgreSQL and the web tier: a model that shares every core with them runs slower, not faster.
    """
    return wanted or max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) - 1))


class Models:
    """The encoders over `weights`. Calls queue up for the one model thread; close it with `aclose()`."""

    def __init__(self, weights: Weights, *, threads: int = 0) -> None:
        self.weights = weights
        self.threads = threads_for_models(threads)
        self._encoders: dict[str, Any] = {}
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self._trimmed = 0.0
        _keep_few_arenas()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="models")

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """len(texts) x dim; a text without a token gives a row of zeros."""
        return await self._run(lambda: self._get("text").encode(texts))

    async def analyse_looks(self, media: Sequence[Frames]) -> list[Look]:
        return await self._run(lambda: self._get("look").analyse(media))

    async def listen(self, pcm: Pcm, *, language: str | None = None, last: bool = True) -> Speech:
        return await self._run(
            lambda: self._get("speech").listen(pcm, language=language, last=last, should_stop=self._stop.is_set)
        )

    async def describe_sound(self, pcm: Pcm) -> Vectors | None:
        from strvsocial.embeddings.encoders import sound

        return await self._run(partial(sound.describe, pcm))

    async def load(self, *names: str) -> None:
        """Loads encoders (`text`, `look`, `speech`) now. Raises WeightsMissing when one cannot be loaded."""
        for name in names:
            await self._run(partial(self._get, name))

    async def aclose(self) -> None:
        """Stops listening at the next sentence and lets go of the models."""
        self._stop.set()
        self._worker.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._worker.shutdown, True)
        self._encoders.clear()
        gc.collect()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._work, work)

    def _work(self, work: Callable[[], T]) -> T:
        result = work()
        if time.monotonic() - self._trimmed > TRIM_SECONDS:
            _give_memory_back()
            self._trimmed = time.monotonic()
        return result

    def _get(self, name: str) -> Any:
        with self._loading:
            if name not in self._encoders:
                self._encoders[name] = self._load(name)
                log.info("models.loaded", name=name, threads=self.threads)
                _give_memory_back()
            return self._encoders[name]

    def _load(self, name: str) -> Any:
        try:
            return _LOADERS[name](self.weights, self.threads)
        except ImportError as error:
            raise WeightsMissing(
                f"The {name} model needs a library that is not installed ({error}): "
                "install them with `pip install 'strvsocial[models]'` (`make up` does)."
            ) from error
        except Exception as error:
            raise WeightsMissing(f"The {name} model could not be loaded from {self.weights}: {error}") from error


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _load_text(weights: Weights, threads: int) -> Any:
    import torch

    from strvsocial.embeddings.encoders.text import TextEncoder

    torch.set_num_threads(threads)
    return TextEncoder(weights.text, _device())


def _load_look(weights: Weights, threads: int) -> Any:
    import torch

    from strvsocial.embeddings.encoders.look import LookEncoder

    torch.set_num_threads(threads)
    return LookEncoder(weights.look.path, weights.look.architecture, weights.look.mean, weights.look.std, _device())


def _load_speech(weights: Weights, threads: int) -> Any:
    from strvsocial.embeddings.encoders.speech import Transcriber

    return Transcriber(weights.speech, _device(), threads)


_LOADERS: dict[str, Callable[[Weights, int], Any]] = {"text": _load_text, "look": _load_look, "speech": _load_speech}


def _keep_few_arenas() -> None:
    """glibc gives each thread an arena of its own, and none of them shrinks much; two are enough for one model thread."""
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    except (AttributeError, OSError):
        return


def _give_memory_back() -> None:
    """Loading and large batches leave much freed memory with the allocator; glibc returns it when asked."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
