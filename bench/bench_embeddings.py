"""Embedding through the whole pipeline against the bare models, side by side, and the embedder's memory.

The pipeline: queued jobs are claimed, posts and media read, encoded, and vectors committed. The bare loop: the same model
calls on inputs that lie in memory. Rounds alternate, and the ratio is bare time to pipeline time: at least 0.85.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import psutil
from sqlalchemy import text

from strvsocial.content.models import Post
from strvsocial.content.work import want_embedding
from strvsocial.db import Database
from strvsocial.embeddings.active import Active, ActiveModels
from strvsocial.embeddings.findings import Frames, Pcm
from strvsocial.ids import new_id
from strvsocial.lanes import Lane
from strvsocial.media.models import Attachment, Rendition
from strvsocial.settings import Settings
from strvsocial.storage import open_storage
from strvsocial.users.models import User
from strvsocial.worker import EMBED_BATCHES, EMBEDDER_HANDLERS, Context

LIMIT = 0.85
MOST_MB = 1400
ROUNDS = 2
RESULTS = Path(__file__).parent / "results" / "embeddings.json"
WORDS = [
    "morning",
    "harbour",
    "bread",
    "kitchen",
    "rocket",
    "violin",
    "garden",
    "snow",
    "mountain",
    "river",
    "coffee",
    "paper",
    "city",
    "night",
    "train",
    "window",
    "letter",
    "music",
    "summer",
    "football",
    "market",
    "camera",
    "forest",
    "window",
    "little",
    "bright",
    "slow",
    "again",
    "never",
    "about",
    "between",
    "because",
]


def sentences(count: int, seed: int) -> list[str]:
    """Texts of 5 to 60 words."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(5, 60))) for _ in range(count)]


def pictures(count: int, seed: int) -> list[Frames]:
    """Photographs, shifted and tinted so that no two are alike."""
    from skimage import data

    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        pixels = getattr(data, ("chelsea", "astronaut", "coffee")[number % 3])()
        top, left = random.integers(0, pixels.shape[0] - 256), random.integers(0, pixels.shape[1] - 256)
        found.append((pixels[top : top + 256, left : left + 256] * random.uniform(0.6, 1)).astype(np.uint8)[np.newaxis])
    return found


def speeches(count: int) -> list[Pcm]:
    """Ten seconds of a person who reads, a little louder or softer each time."""
    from strvsocial.demo.sounds import RATE, recorded_speech

    samples = np.asarray(recorded_speech(), np.float32)
    positions = np.arange(0, len(samples), RATE / 16_000)
    resampled = np.interp(positions, np.arange(len(samples)), samples)
    return [(resampled * (20_000 + 500 * number)).clip(-32768, 32767).astype(np.int16) for number in range(count)]


async def add_posts(context: Context, titles: list[str], media: list[tuple[str, str, np.ndarray]]) -> None:
    """Posts with at most one medium (kind, role, bytes) that wait for their embedding."""
    async with context.database.transaction() as db:
        author = await db.scalar(text("select id from users limit 1"))
        for number, title in enumerate(titles):
            kind = media[number][0] if media else "text"
            post = Post(
                public_id=new_id(),
                author_id=author,
                title="A post",
                text=title,
                media_type=kind,
                status="ready",
                pending=["embedding"],
            )
            db.add(post)
            await db.flush()
            if media:
                _, role, data = media[number]
                attachment = Attachment(
                    public_id=new_id(),
                    post_id=post.id,
                    kind=kind,
                    status="ready",
                    source_key="originals/none",
                    source_mime="application/octet-stream",
                    byte_size=1,
                    sha256=bytes(32),
                )
                db.add(attachment)
                await db.flush()
                key, mime = f"work/{attachment.public_id}/{role}", "application/octet-stream"
                await context.storage.put(key, data.tobytes(), mime)
                db.add(
                    Rendition(
                        attachment_id=attachment.id, name=role, role=role, key=key, mime=mime, byte_size=data.nbytes
                    )
                )
            await want_embedding(db, post.id)


async def run_pipeline(context: Context, count: int) -> float:
    """Runs the embedding lane until `count` jobs are done; seconds."""
    lane = Lane("embed", EMBED_BATCHES, context, context.database, EMBEDDER_HANDLERS)
    async with context.database.read() as reader:
        before = await reader.scalar(text("select count(*) from jobs where state = 'done'"))
        start = time.perf_counter()
        lane.start()
        while await reader.scalar(text("select count(*) from jobs where state = 'done'")) < before + count:
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - start
    await lane.aclose()
    return seconds


async def compare(
    name: str,
    context: Context,
    count: int,
    bare: Callable[[int], Awaitable[None]],
    prepare: Callable[[int], Awaitable[None]],
) -> dict[str, float]:
    """Alternates both loops over fresh inputs of the same kind; the medians of their times and the ratio."""
    rounds = []
    for seed in range(ROUNDS + 1):
        start, cpu = time.perf_counter(), time.process_time()
        await bare(seed)
        alone, alone_cpu = time.perf_counter() - start, time.process_time() - cpu
        await prepare(seed)
        cpu = time.process_time()
        through = await run_pipeline(context, count)
        if seed:  # The first round warms both up.
            rounds.append((alone, through, alone_cpu, time.process_time() - cpu))
    alone, through, alone_cpu, through_cpu = (float(value) for value in np.median(rounds, axis=0))
    found = {"posts": count, "bare_per_second": count / alone, "pipeline_per_second": count / through}
    found |= {"ratio": alone / through, "cpu_ratio": alone_cpu / through_cpu}
    print(
        f"{name:<8} bare {count / alone:7.1f}/s   pipeline {count / through:7.1f}/s   ratio {alone / through:.2f} "
        f"(at least {LIMIT}), by processor time {alone_cpu / through_cpu:.2f}",
        flush=True,
    )
    return {key: round(value, 3) for key, value in found.items()}


async def measure(context: Context, active: Active, batch: int) -> dict[str, dict[str, float]]:
    models = active.models

    # Inputs are made beforehand, so that only the models are timed in the bare loops.
    words = [sentences(256, seed) for seed in range(ROUNDS + 1)]
    frames = [pictures(64, seed) for seed in range(ROUNDS + 1)]

    async def read(seed: int) -> None:
        for start in range(0, len(words[seed]), batch):
            await models.encode_texts([f"A post\n{line}" for line in words[seed][start : start + batch]])

    async def look(seed: int) -> None:
        for start in range(0, len(frames[seed]), batch):
            looks = await models.analyse_looks(frames[seed][start : start + batch])
            await models.encode_texts(
                ["A post\na photo of " + ", ".join(name for name, _ in one.labels) for one in looks]
            )

    clips = speeches(3)

    async def listen(_: int) -> None:
        said = [await models.listen(clip) for clip in clips]
        await models.encode_texts([" ".join(segment.text for segment in one.segments) for one in said])

    results = {}
    results["text"] = await compare(
        "text",
        context,
        256,
        read,
        lambda seed: add_posts(context, words[seed], []),
    )
    results["image"] = await compare(
        "image",
        context,
        64,
        look,
        lambda seed: add_posts(context, [""] * 64, [("image", "frames", one) for one in frames[seed]]),
    )
    results["speech"] = await compare(
        "speech", context, 3, listen, lambda _: add_posts(context, [""] * 3, [("audio", "pcm", one) for one in clips])
    )
    return results


async def measure_memory(settings: Settings, database: Database) -> dict[str, float]:
    """Resident megabytes of a real embedder: without models, with them, and after work with all of them."""
    found = {}
    for name, models in (("idle_mb", "/nowhere"), ("loaded_mb", "packaged")):
        async with database.transaction() as db:
            await db.execute(text("delete from site_facts"))
        environment = {**os.environ, "STRV_MODELS": models, "STRV_LOG_FORMAT": "json"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "strvsocial.worker",
            "embedder",
            env=environment,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        sign = b'"name": "speech"' if models == "packaged" else b"models.missing"
        assert process.stderr is not None
        async with asyncio.timeout(120):
            while sign not in (line := await process.stderr.readline()):
                assert line, "the embedder ended"
        drain = asyncio.create_task(process.stderr.read())
        resident = psutil.Process(process.pid).memory_info
        found[name] = resident().rss / 1e6
        if models == "packaged":
            async with open_storage(settings) as storage:
                context = Context(settings, database, storage)
                await add_posts(context, sentences(128, 77), [])
                await add_posts(context, [""] * 32, [("image", "frames", one) for one in pictures(32, 77)])
                await add_posts(context, [""] * 2, [("audio", "pcm", one) for one in speeches(2)])
                noise = np.random.default_rng(1).normal(size=160_000) * 2000
                await add_posts(context, [""], [("audio", "pcm", noise.astype(np.int16))])
            async with database.read() as reader, asyncio.timeout(120):
                while await reader.scalar(text("select count(*) from jobs where state in ('queued', 'running')")):
                    await asyncio.sleep(0.2)
            found["worked_mb"] = resident().rss / 1e6
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await drain
    print("memory   " + "   ".join(f"{name.removesuffix('_mb')} {value:.0f} MB" for name, value in found.items()))
    return {name: round(value, 1) for name, value in found.items()}


async def main() -> int:
    settings = Settings()
    database = Database(settings)
    async with database.transaction() as db:
        name = f"bench_{new_id()[:6]}"
        db.add(
            User(
                public_id=new_id(),
                username=name,
                username_key=name,
                username_skeleton=name,
                email=f"{name}@example.com",
                email_key=f"{name}@example.com",
            )
        )
    async with open_storage(settings) as storage:
        context = Context(settings, database, storage)
        context.models = ActiveModels(settings, database)
        active = await context.models.get()
        await active.models.load("speech")
        results: dict[str, object] = {"threads": active.models.threads, "profile": active.profile.name}
        ratios = await measure(context, active, settings.embed_batch)
        await context.models.aclose()
    memory = await measure_memory(settings, database)
    await database.aclose()
    results |= {**ratios, "memory": memory, "limits": {"ratio": LIMIT, "worked_mb": MOST_MB}}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    slow = [name for name, found in ratios.items() if found["ratio"] < LIMIT]
    heavy = memory["worked_mb"] > MOST_MB
    if slow:
        print(f"Below the limit: {', '.join(slow)}.")
    if heavy:
        print(f"The embedder holds more than {MOST_MB} MB.")
    return 1 if slow or heavy else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
