"""Tiny random-weight models of the real architectures, and real speech, photographs and sounds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text

from strvsocial.content.models import Post, PostTag, Tag
from strvsocial.content.work import want_embedding
from strvsocial.db import Database
from strvsocial.embeddings.active import ActiveModels
from strvsocial.embeddings.findings import Frames, Pcm
from strvsocial.ids import new_id
from strvsocial.lanes import Lane
from strvsocial.media.models import Attachment, Rendition
from strvsocial.settings import Settings
from strvsocial.storage import Storage, open_storage
from strvsocial.users.models import User
from strvsocial.worker import EMBEDDER_HANDLERS, Context


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
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
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


@dataclass
class Site:
    """A site with an embedder, and verbs that stand in for the web tier and the worker."""

    context: Context
    author_id: int = 0

    @property
    def database(self) -> Database:
        return self.context.database

    @property
    def storage(self) -> Storage:
        return self.context.storage

    async def make_author(self) -> None:
        name = f"author_{new_id()[:6]}"
        author = User(
            public_id=new_id(),
            username=name,
            username_key=name,
            username_skeleton=name,
            email=f"{name}@example.com",
            email_key=f"{name}@example.com",
        )
        async with self.database.transaction() as db:
            db.add(author)
            await db.flush()
            self.author_id = author.id

    async def post(
        self, title: str, *, tags: Sequence[str] = (), media: Sequence[tuple[str, Frames | None, Pcm | None]] = ()
    ) -> int:
        """A post with processed media (kind, frames, pcm) that waits for its embedding; its id."""
        kind = media[0][0] if media else "text"
        row = Post(
            public_id=new_id(),
            author_id=self.author_id,
            title=title,
            media_type=kind,
            status="ready",
            pending=["embedding"],
        )
        async with self.database.transaction() as db:
            db.add(row)
            await db.flush()
            for position, tag in enumerate(tags):
                found = Tag(name=tag)
                db.add(found)
                await db.flush()
                db.add(PostTag(post_id=row.id, tag_id=found.id, position=position))
            for number, (medium, frames, pcm) in enumerate(media):
                attachment = Attachment(
                    public_id=new_id(),
                    post_id=row.id,
                    position=number,
                    kind=medium,
                    status="ready",
                    source_key="originals/x",
                    source_mime="x/x",
                    byte_size=1,
                    sha256=b"0" * 32,
                )
                db.add(attachment)
                await db.flush()
                for role, data in (("frames", frames), ("pcm", pcm)):
                    if data is not None:
                        key = f"work/{attachment.public_id}/{role}"
                        await self.storage.put(key, data.tobytes(), "application/octet-stream")
                        db.add(
                            Rendition(
                                attachment_id=attachment.id,
                                name=role,
                                role=role,
                                key=key,
                                mime="application/octet-stream",
                                byte_size=data.nbytes,
                            )
                        )
            await want_embedding(db, row.id)
        return row.id

    async def work(self) -> None:
        """Runs the embedding lane until nothing is due."""
        lane = Lane("embed", 1, self.context, self.database, EMBEDDER_HANDLERS)
        while claimed := await lane._claim():
            await lane._work(claimed)

    async def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        async with self.database.read() as reader:
            return [tuple(row) for row in await reader.execute(text(statement), values)]

    async def vectors(self, post_id: int) -> dict[str, np.ndarray | None]:
        """The vectors of a post by space, tombstones as None."""
        rows = await self.rows(
            "select s.name, e.vector from embeddings as e join embedding_spaces as s on s.id = e.space_id"
            " where s.state = 'active' and e.post_id = :id",
            id=post_id,
        )
        return {str(name): None if packed is None else np.frombuffer(packed, "<f4") for name, packed in rows}


async def open_site(settings: Settings, database: Database, models: str) -> AsyncIterator[Site]:
    settings = settings.model_copy(update={"models": models})
    async with open_storage(settings) as storage:
        context = Context(settings, database, storage)
        context.models = ActiveModels(settings, database, patience=0)
        site = Site(context)
        await site.make_author()
        yield site
        await context.models.aclose()


@pytest_asyncio.fixture
async def tiny_site(settings: Settings, database: Database, clean: None, tiny_folder: Path) -> AsyncIterator[Site]:
    """A site whose models are tiny, except Whisper."""
    async for site in open_site(settings, database, str(tiny_folder)):
        yield site
