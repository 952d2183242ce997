"""From posts to vectors: what each encoder gets, in which batches, and what is kept of its findings.

text   title, text, tags, alt texts, the names of what pictures show, and the transcript
look   the mean of the looks of all images, GIFs and films of a post
sound  the sound of the first audio or film in which nobody speaks
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog

from strvsocial.embeddings.active import Active
from strvsocial.embeddings.findings import SAMPLE_RATE, Frames, Pcm, Vectors, sound_stretches
from strvsocial.embeddings.inputs import Analysis, AttachmentInput, Heard, PostInput, PostVectors, hash_of
from strvsocial.embeddings.profiles import Profile
from strvsocial.embeddings.spaces import SOUND_MODEL, SOUND_REVISION
from strvsocial.embeddings.vectors import pack, unpack
from strvsocial.errors import NotFound
from strvsocial.storage import Storage

log = structlog.get_logger()

FRAME_BYTES = 256 * 256 * 3
MOST_FRAMES = 64
"""Frames that are held in memory at once: 12.6 MB."""
PIECE_SAMPLES = 300 * SAMPLE_RATE
"""Audio is listened to in pieces of at most five minutes: 9.6 MB."""


class Keys(NamedTuple):
    """How the analyses of each model are called in `attachment_analyses.model`."""

    look: str
    speech: str
    sound: str


def keys_of(profile: Profile) -> Keys:
    return Keys(
        f"{profile.look.model}@{profile.look.revision}",
        f"{profile.speech.model}@{profile.speech.revision}",
        f"{SOUND_MODEL}@{SOUND_REVISION}",
    )


async def analyse_looks(
    active: Active, storage: Storage, attachments: Iterable[AttachmentInput]
) -> list[tuple[int, Analysis]]:
    """What the media show that were not looked at yet, by the attachment's id. Frames that cannot be read are left out."""
    found: list[tuple[int, Analysis]] = []
    key = keys_of(active.profile).look
    waiting: list[tuple[int, Frames]] = []
    for attachment in attachments:
        if attachment.frames is None or attachment.find(key) is not None:
            continue
        if (frames := await _read_frames(storage, attachment.frames)) is None:
            continue
        if sum(len(other) for _, other in waiting) + len(frames) > MOST_FRAMES:
            found += await _look_at(active, key, waiting)
            waiting = []
        waiting.append((attachment.id, frames))
    return found + await _look_at(active, key, waiting)


async def _look_at(active: Active, key: str, waiting: list[tuple[int, Frames]]) -> list[tuple[int, Analysis]]:
    looks = await active.models.analyse_looks([frames for _, frames in waiting])
    return [
        (attachment_id, Analysis(key, pack(look.vector), {"labels": look.labels}))
        for (attachment_id, _), look in zip(waiting, looks, strict=True)
    ]


def is_unheard(profile: Profile, attachment: AttachmentInput) -> bool:
    """Whether there is audio that was not listened to up to its end."""
    if attachment.pcm is None or attachment.pcm.samples == 0:
        return False
    heard = attachment.find(keys_of(profile).speech)
    return heard is None or not heard.details.get("complete")


async def listen_on(active: Active, storage: Storage, attachment: AttachmentInput) -> Heard:
    """Listens to the next piece of an attachment's audio."""
    assert attachment.pcm is not None
    key = keys_of(active.profile).speech
    before = attachment.find(key)
    known: dict[str, Any] = before.details if before else {"heard": 0, "position": 0, "language": None}
    start, position, language = int(known["heard"]), int(known["position"]), known["language"]
    end = min(start + PIECE_SAMPLES, attachment.pcm.samples)
    pcm = await _read_pcm(storage, attachment.pcm.key, start, end)
    last = end == attachment.pcm.samples or len(pcm) < end - start
    speech = await active.models.listen(pcm, language=language, last=last)
    offset = start / SAMPLE_RATE
    segments = [
        segment._replace(start=round(segment.start + offset, 2), end=round(segment.end + offset, 2))
        for segment in speech.segments
    ]
    details = {
        "heard": start + speech.heard,
        "position": position + len(segments),
        "language": language or speech.language,
        "speech": position + len(segments) > 0,
        "complete": last,
    }
    return Heard(Analysis(key, None, details), position, segments)


async def describe_sound(active: Active, storage: Storage, attachment: AttachmentInput) -> Analysis | None:
    """How an attachment sounds in which nobody spoke; None when it is not needed or known already."""
    keys = keys_of(active.profile)
    heard = attachment.find(keys.speech)
    if attachment.pcm is None or attachment.find(keys.sound) or heard is None or heard.details.get("speech"):
        return None
    stretches = sound_stretches(attachment.pcm.samples)
    pcm = [await _read_pcm(storage, attachment.pcm.key, start, end) for start, end in stretches]
    vector = await active.models.describe_sound(np.concatenate(pcm))
    return Analysis(keys.sound, None if vector is None else pack(vector), {})


async def make_vectors(active: Active, posts: Sequence[PostInput]) -> list[PostVectors]:
    """The vectors of posts whose media are analysed. The texts of all are encoded together."""
    keys = keys_of(active.profile)
    made = [PostVectors(post, {}, []) for post in posts]
    texts: list[tuple[PostVectors, str, bytes]] = []
    for result in made:
        words = text_of(result.post, keys)
        text_hash = hash_of(active.profile.text.model, active.profile.text.revision.encode(), words.encode())
        if not _is_known(active, result.post, "text", text_hash):
            texts.append((result, words, text_hash))
        _add_media(active, result, "look", _looks(result.post, keys))
        _add_media(active, result, "sound", _sounds(result.post, keys))
    vectors = await active.models.encode_texts([words for _, words, _ in texts])
    for (result, _, text_hash), vector in zip(texts, vectors, strict=True):
        if vector.any():
            result.vectors["text"] = vector, text_hash
        else:
            result.absent.append("text")
    return made


def text_of(post: PostInput, keys: Keys) -> str:
    """Everything about a post that is words, a line for each part."""
    lines = [post.title, post.text, " ".join(post.tags)]
    lines += [attachment.alt for attachment in post.attachments]
    lines.append(_seen(post, keys))
    lines += [attachment.transcript for attachment in post.attachments]
    return "\n".join(line.strip() for line in lines if line.strip())


def _seen(post: PostInput, keys: Keys) -> str:
    """The names of what the pictures show as a sentence, so that words find pictures."""
    names: dict[str, None] = {}
    for attachment in post.attachments:
        if (look := attachment.find(keys.look)) is not None:
            names.update(dict.fromkeys(name for name, _ in look.details.get("labels", [])))
    return f"a photo of {', '.join(names)}" if names else ""


def _looks(post: PostInput, keys: Keys) -> list[bytes]:
    found = [attachment.find(keys.look) for attachment in post.attachments]
    return [look.vector for look in found if look is not None and look.vector is not None]


def _sounds(post: PostInput, keys: Keys) -> list[bytes]:
    """The first sound, unless somebody speaks in the post: then the transcript stands for what is heard."""
    speech = [attachment.find(keys.speech) for attachment in post.attachments]
    if any(heard is not None and heard.details.get("speech") for heard in speech):
        return []
    found = [attachment.find(keys.sound) for attachment in post.attachments]
    return [sound.vector for sound in found if sound is not None and sound.vector is not None][:1]


def _add_media(active: Active, result: PostVectors, name: str, packed: list[bytes]) -> None:
    if not packed:
        result.absent.append(name)
        return
    space = active.spaces[name]
    input_hash = hash_of(space.model, space.revision.encode(), *packed)
    if not _is_known(active, result.post, name, input_hash):
        result.vectors[name] = _mean([unpack(vector) for vector in packed]), input_hash


def _is_known(active: Active, post: PostInput, name: str, input_hash: bytes) -> bool:
    return post.hashes.get(str(active.spaces[name].id)) == input_hash.hex()


def _mean(vectors: list[Vectors]) -> Vectors:
    mean = np.mean(np.stack(vectors), axis=0, dtype=np.float32)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


def with_analyses(attachment: AttachmentInput, found: Iterable[Analysis], transcript: str = "") -> AttachmentInput:
    """The attachment with what was found, in place of what was known of the same models."""
    by_model = {analysis.model: analysis for analysis in (*attachment.analyses, *found)}
    words = f"{attachment.transcript} {transcript}".strip()
    return msgspec.structs.replace(attachment, analyses=list(by_model.values()), transcript=words)


def speakers(post: PostInput, profile: Profile) -> Iterator[AttachmentInput]:
    """The media of a post that have audio which was not heard up to its end."""
    return (attachment for attachment in post.attachments if is_unheard(profile, attachment))


async def _read_frames(storage: Storage, key: str) -> Frames | None:
    try:
        packed = b"".join([piece async for piece in storage.read(key)])
    except NotFound:
        packed = b""
    if not packed or len(packed) % FRAME_BYTES:
        log.warning("embeddings.frames_unreadable", key=key, byte_size=len(packed))
        return None
    return np.frombuffer(packed, np.uint8).reshape(-1, 256, 256, 3)


async def _read_pcm(storage: Storage, key: str, start: int, end: int) -> Pcm:
    """Samples `start` up to `end`; none when the bytes are gone."""
    try:
        packed = b"".join([piece async for piece in storage.read(key, 2 * start, 2 * end)])
    except NotFound:
        log.warning("embeddings.pcm_unreadable", key=key)
        packed = b""
    return np.frombuffer(packed[: len(packed) // 2 * 2], "<i2").astype(np.int16, copy=False)
