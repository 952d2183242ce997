"""Sentences to vectors: a transformers encoder, the mean over its real tokens, L2-normalised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from strvsocial.embeddings.findings import Vectors

disable_progress_bar()  # type: ignore[no-untyped-call]

WINDOW_TOKENS = 256
BATCH_WINDOWS = 32
BATCH_TOKENS = 2048
"""A batch holds at most this many windows and, padding included, this many tokens."""


class TextEncoder:
    """An encoder (BERT, DistilBERT, MiniLM, …) from a folder with `config.json`, tokenizer and `model.safetensors`."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, use_fast=True)
        self._model: Any = AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
        self._model.eval().to(device)
        self._device = device
        self._window = min(WINDOW_TOKENS, int(self._model.config.max_position_embeddings))
        self._specials = int(self._tokenizer.num_special_tokens_to_add())
        self.dim = int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, len(texts) x dim; a text without a single token gives a row of zeros.

        A text longer than a window is cut in windows of at most 256 tokens; its vector is the mean of theirs, weighted
        by their real tokens, normalised again. Windows run in batches sorted by length, so that little is padded.
        """
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return vectors
        windows, owners = self._cut(texts)
        lengths = [len(window) for window in windows]
        for batch in batches_by_length(lengths, BATCH_WINDOWS, BATCH_TOKENS):
            means = self._mean_pool([windows[n] for n in batch])
            for row, n in zip(means, batch, strict=True):
                vectors[owners[n]] += row * max(0, lengths[n] - self._specials)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, norms, out=vectors, where=norms > 0))

    def _cut(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Token ids of every window, special tokens included, and the text that each is from."""
        cut = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self._window,
            return_overflowing_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return cut["input_ids"], cut["overflow_to_sample_mapping"]

    @torch.inference_mode()
    def _mean_pool(self, windows: list[list[int]]) -> Vectors:
        longest = max(len(window) for window in windows)
        ids = torch.full((len(windows), longest), self._tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((len(windows), longest), dtype=torch.long)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
            mask[row, : len(window)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        means = (hidden * weights).sum(1) / weights.sum(1)
        return np.asarray(torch.nn.functional.normalize(means.float(), dim=1).cpu().numpy())


def batches_by_length(lengths: Sequence[int], most: int, budget: int) -> list[list[int]]:
    """Positions grouped by falling length: at most `most` in a group, and most x longest at most `budget`."""
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if batches:
            longest = lengths[batches[-1][0]]
            if len(batches[-1]) < most and (len(batches[-1]) + 1) * longest <= budget:
                batches[-1].append(position)
                continue
        batches.append([position])
    return batches
