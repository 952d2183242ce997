"""Tiny random-weight models of the real architectures, and real speech, photographs and sounds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from strvsocial.embeddings.findings import Pcm

SAMPLE_RATE = 16_000


def make_text_model(folder: Path) -> None:
    """DistilBERT, 32 wide, one layer, 64 tokens long, over a vocabulary of letters."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = DistilBertConfig(
        vocab_size=len(words), dim=32, n_layers=1, n_heads=2, hidden_dim=64, max_position_embeddings=64
    )
    DistilBertModel(config).save_pretrained(folder)


def make_look_model(folder: Path) -> None:
    """ResNet18 with random weights."""
    import torch
    from safetensors.torch import save_file
    from torchvision.models import resnet18

    torch.manual_seed(2)
    save_file(resnet18(weights=None).state_dict(), folder / "model.safetensors")
    settings = {"architecture": "resnet18", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    (folder / "config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder profile: text/ and look/ of the hub profile's architectures, tiny or random."""
    folder = tmp_path_factory.mktemp("tiny-models")
    for name, make in (("text", make_text_model), ("look", make_look_model)):
        (folder / name).mkdir()
        make(folder / name)
    return folder


def noise(seconds: float, seed: int = 0) -> Pcm:
    samples = np.random.default_rng(seed).normal(size=int(seconds * SAMPLE_RATE)) * 3000
    return samples.clip(-32768, 32767).astype(np.int16)


def chords(seconds: float, *, root: float = 220.0, beats: float = 2.0) -> Pcm:
    """A major chord, plucked `beats` times a second."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 5 / 4, 3 / 2))
    return (tones * np.exp(-4 * ((time * beats) % 1)) * 6000).astype(np.int16)
