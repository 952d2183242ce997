"""The mean over real tokens: padding, batches and windows must not show in a vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from strvsocial.embeddings.encoders.text import TextEncoder, batches_by_length


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> TextEncoder:
    return TextEncoder(tiny_folder / "text")


def _by_hand(folder: Path, text: str) -> np.ndarray:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = model(input_ids=tokenizer(text, return_tensors="pt")["input_ids"]).last_hidden_state[0]
    mean = hidden.mean(dim=0).numpy()
    return np.asarray(mean / np.linalg.norm(mean))


def test_pooling_equals_the_mean_over_the_tokens(encoder: TextEncoder, tiny_folder: Path) -> None:
    np.testing.assert_allclose(encoder.encode(["sea"])[0], _by_hand(tiny_folder / "text", "sea"), atol=1e-6)


def test_neighbours_and_padding_do_not_change_a_vector(encoder: TextEncoder) -> None:
    texts = ["a", "sunset over the sea", "b c d", "x" * 40, "a"]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_a_text_without_tokens_gives_zeros(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["", "word", " \n\u200b"])
    assert vectors.shape == (3, encoder.dim)
    assert not vectors[0].any()
    assert not vectors[2].any()
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_long_text_is_the_mean_of_its_windows_by_length(encoder: TextEncoder) -> None:
    letters = [chr(97 + n % 26) for n in range(100)]
    first, second = encoder.encode([" ".join(letters[:62]), " ".join(letters[62:])])
    expected = first * 62 + second * 38
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(encoder.encode([" ".join(letters)])[0], expected, atol=1e-5)


def test_batches_hold_every_position_once_within_their_budget() -> None:
    lengths = [5, 200, 3, 256, 256, 7, 9]
    batches = batches_by_length(lengths, 3, 512)
    assert sorted(position for batch in batches for position in batch) == list(range(7))
    assert batches[0] == [3, 4]
    assert all(len(batch) <= 3 and len(batch) * lengths[batch[0]] <= 512 for batch in batches)
