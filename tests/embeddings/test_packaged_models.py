"""The packaged weights on real text, photographs, speech and sounds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import numpy as np
import pytest_asyncio

from strvsocial.db import Database
from strvsocial.embeddings.calibration import known, similarity
from strvsocial.embeddings.encoders.cues import MOST_COLUMNS, MOST_SECONDS
from strvsocial.embeddings.encoders.loader import Models
from strvsocial.embeddings.profiles import PACKAGED, sha256_of
from strvsocial.embeddings.weights import SHA256, locate, whisper_folder
from strvsocial.settings import Settings

from .conftest import Site, open_site
from .media import beckett, chords, noise, photograph

PHOTOGRAPHS = ("chelsea", "rocket", "coffee", "camera", "china", "flower")
POSTS = [
    "Sourdough with a crisp crust, baked at dawn",
    "The rocket launched from the coast and reached orbit",
    "How I fixed my bicycle chain in five minutes",
    "Our kitten sleeps on the keyboard again",
    "Quarterly tax deadlines for small companies",
    "Fresh snow in the Dolomites, perfect skiing",
    "Learning the violin as an adult",
    "Best ramen places in Osaka",
    "Marathon training, week eight",
    "Growing tomatoes on a balcony",
]
QUERIES = {
    "bread recipe": 0,
    "space travel": 1,
    "repairing a bike": 2,
    "cute cats": 3,
    "accounting": 4,
    "winter sports": 5,
    "classical music lessons": 6,
    "japanese food": 7,
    "long distance running": 8,
    "gardening": 9,
}


@pytest_asyncio.fixture(scope="module")
async def models(settings: Settings) -> AsyncIterator[Models]:
    models = Models(locate(PACKAGED, settings.data_dir))
    yield models
    await models.aclose()


@pytest_asyncio.fixture
async def packaged_site(settings: Settings, database: Database, clean: None) -> AsyncIterator[Site]:
    async for site in open_site(settings, database, "packaged"):
        yield site


async def test_queries_find_their_post(models: Models) -> None:
    posts, queries = await models.encode_texts(POSTS), await models.encode_texts(list(QUERIES))
    best = (queries @ posts.T).argmax(axis=1)
    assert posts.shape == (len(POSTS), PACKAGED.text.dim)
    assert (best == np.array(list(QUERIES.values()))).mean() >= 0.9


async def test_words_find_pictures(models: Models) -> None:
    looks = await models.analyse_looks([photograph(name) for name in PHOTOGRAPHS])
    seen = await models.encode_texts(["a photo of " + ", ".join(name for name, _ in look.labels) for look in looks])
    queries = ("a cat", "space launch", "a hot drink in a mug", "photographer", "temple building in Asia")
    best = ((await models.encode_texts(queries)) @ seen.T).argmax(axis=1)
    assert [PHOTOGRAPHS[n] for n in best] == ["chelsea", "rocket", "coffee", "camera", "china"]


async def test_a_mirrored_cat_is_the_same_cat_and_no_rocket(models: Models) -> None:
    cat = photograph("chelsea")
    mirrored = np.ascontiguousarray(cat[:, :, ::-1])
    vectors = [look.vector for look in await models.analyse_looks([cat, mirrored, photograph("rocket")])]
    assert vectors[0].shape == (PACKAGED.look.dim,)
    calibration = known(PACKAGED.look.model)
    assert similarity(calibration, float(vectors[0] @ vectors[1])) > 0.9
    assert similarity(calibration, float(vectors[0] @ vectors[2])) < 0.1


async def test_speech_is_written_down(models: Models) -> None:
    speech = await models.listen(beckett())
    words = "".join(letter for letter in " ".join(s.text for s in speech.segments).lower() if letter not in ".,!")
    assert words == "ever tried ever failed no matter try again fail again fail better"
    assert speech.language == "en"
    assert speech.heard == len(beckett())


async def test_nothing_is_lost_or_doubled_where_whisper_cuts(models: Models) -> None:
    """Its window is thirty seconds; forty are spoken here without a longer pause, and the same again and again."""
    speech = await models.listen(np.concatenate([beckett()] * 4))
    heard = re.findall("[a-z]+", " ".join(segment.text for segment in speech.segments).lower())
    said = 4 * "ever tried ever failed no matter try again fail again fail better".split()  # noqa: SIM905
    assert len(heard) == len(said)
    assert sum(one != other for one, other in zip(heard, said, strict=True)) <= 2  # A word may be misheard.
    assert all(segment.end - segment.start <= MOST_SECONDS for segment in speech.segments)
    assert all(len(segment.text) <= MOST_COLUMNS for segment in speech.segments)


async def test_noise_and_music_say_nothing(models: Models) -> None:
    for pcm in (noise(6), chords(6), np.zeros(16_000, np.int16), np.zeros(0, np.int16)):
        assert (await models.listen(pcm)).segments == []


async def test_an_unfinished_piece_leaves_its_last_sentence_to_the_next(models: Models) -> None:
    pause = np.zeros(3 * 16_000, np.int16)
    pcm = np.concatenate([beckett(), pause, beckett()[: 5 * 16_000]])
    piece = await models.listen(pcm, last=False)
    assert len(beckett()) < piece.heard < len(beckett()) + len(pause) + 8000
    rest = await models.listen(pcm[piece.heard :], language=piece.language)
    assert "failed" in " ".join(segment.text for segment in rest.segments).lower()


async def test_whisper_is_joined_once_and_checked(models: Models, settings: Settings) -> None:
    model = whisper_folder(settings.data_dir) / "model.bin"
    assert sha256_of(model) == SHA256["whisper"]
    joined = model.stat().st_mtime_ns
    locate(PACKAGED, settings.data_dir)
    assert model.stat().st_mtime_ns == joined
    with model.open("r+b") as file:
        file.write(b"damaged")
    locate(PACKAGED, settings.data_dir)
    assert sha256_of(model) == SHA256["whisper"]


async def test_a_film_with_speech_has_words_and_looks_and_a_tune_has_its_sound(packaged_site: Site) -> None:
    film = await packaged_site.post(
        "a film", media=[("video", np.concatenate([photograph("chelsea"), photograph("coffee")]), beckett())]
    )
    tune = await packaged_site.post("a tune", media=[("audio", None, chords(5))])
    other = await packaged_site.post("another", media=[("audio", None, chords(7, root=233, beats=2.2))])
    hiss = await packaged_site.post("rain", media=[("audio", None, noise(5))])
    about = await packaged_site.post("trying and failing again")
    await packaged_site.work()
    vectors = {post: await packaged_site.vectors(post) for post in (film, tune, other, hiss, about)}
    assert sorted(vectors[film]) == ["look", "text"]
    assert sorted(vectors[tune]) == ["sound", "text"]
    text = {post: vectors[post]["text"] for post in vectors}
    assert text[film] @ text[about] > text[tune] @ text[about]  # type: ignore[operator]
    sound = {post: vectors[post]["sound"] for post in (tune, other, hiss)}
    assert sound[tune] @ sound[other] > 0.6 > sound[tune] @ sound[hiss]  # type: ignore[operator]
