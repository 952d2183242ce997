"""Checks of the machine: settings, disk, ffmpeg and its sandbox, the models' weights, the index's snapshot."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from urllib.parse import urlsplit

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.embeddings import index_changes, spaces
from strvsocial.embeddings.index_snapshots import BadSnapshot, SnapshotStore
from strvsocial.embeddings.profiles import read_profile
from strvsocial.embeddings.weights import WeightsMissing, locate
from strvsocial.media.sandbox import capabilities, ffmpeg_version
from strvsocial.operations.effective_settings import unknown_names
from strvsocial.operations.findings import Finding
from strvsocial.settings import GB, Settings

TIGHT, LOW = 1 * GB, 5 * GB
_WALLS = {
    "no_network": "decoders cannot reach the network",
    "no_other_files": "decoders see no files but their own",
    "no_other_processes": "decoders see no other processes",
}
MODEL_LIBRARIES = ("torch", "torchvision", "transformers", "faster_whisper", "librosa")


async def check_settings(settings: Settings) -> list[Finding]:
    findings = []
    if unknown := unknown_names():
        hint = "Is it misspelt? .env.example lists every setting."
        findings.append(Finding("settings", "warn", f"not known: {', '.join(unknown)}", hint))
    address = urlsplit(settings.site_url)
    if address.scheme != "https" and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        hint = "Put a proxy with TLS in front and set STRV_PUBLIC_URL to its https:// address: cookies are Secure then."
        findings.append(Finding("settings", "warn", f"{settings.site_url} is not https", hint))
    return findings or [Finding("settings", "ok", f"known and complete; the site is {settings.site_url}")]


async def check_disk(settings: Settings) -> list[Finding]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data_dir).free
    told = f"{free / GB:.1f} GB free at {settings.data_dir}"
    if free < LOW:
        return [Finding("disk", "fail" if free < TIGHT else "warn", told, "Make room, or move STRV_DATA_DIR.")]
    return [Finding("disk", "ok", told)]


async def check_sandbox() -> list[Finding]:
    found = await capabilities()
    findings = [
        Finding("ffmpeg", "ok", f"ffmpeg {await asyncio.to_thread(ffmpeg_version, found.ffmpeg)} ({found.ffmpeg})")
    ]
    missing = [told for name, told in _WALLS.items() if not getattr(found, name)]
    if missing:
        hint = "Allow unprivileged user namespaces or Landlock in the kernel, or install bubblewrap. Limits hold as they are."
        return [*findings, Finding("sandbox", "warn", f"not held: {'; '.join(missing)}", hint)]
    return [*findings, Finding("sandbox", "ok", f"decoders are walled in ({found.wall})")]


async def check_models(settings: Settings, reader: AsyncConnection) -> list[Finding]:
    """The libraries and the weights of the profile in use; reads every byte of the weights."""
    missing = [name for name in MODEL_LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        hint = "Install them where the embedder runs: pip install 'strvsocial[models]'"
        return [Finding("models", "fail", f"not installed: {', '.join(missing)}", hint)]
    fact = await spaces.find_fact(reader)
    name = fact.profile if fact else settings.models
    try:
        await asyncio.to_thread(locate, read_profile(name), settings.data_dir)
    except WeightsMissing as error:
        hint = "Posts are published meanwhile; their embedding catches up."
        return [Finding("models", "fail", error.message, hint)]
    if fact and (told := spaces.mismatch(settings.models, fact.profile)):
        return [Finding("models", "warn", told, f"strvsocial models switch {settings.models}")]
    if fact and fact.trouble:
        return [Finding("models", "fail", fact.trouble, "strvsocial models status")]
    return [Finding("models", "ok", f"the weights of profile {name} are whole")]


async def check_index(reader: AsyncConnection, redis: Redis) -> list[Finding]:
    """Whether a new web process starts from a snapshot that is whole."""
    active = await index_changes.active_spaces(reader)
    if not active:
        return [Finding("index", "ok", "empty: nothing has been embedded yet")]
    store = SnapshotStore(redis, await index_changes.find_site(reader))
    told, bad = [], []
    for space in active:
        rows = await index_changes.count(reader, space)
        try:
            loaded = await store.load(space.id, space.dim, space.generation)
        except BadSnapshot as error:
            bad.append(f"{space.name}: {error}")
            continue
        told.append(
            f"{space.name} {rows} vectors" + (f", {loaded[0].count} in the snapshot" if loaded else ", no snapshot")
        )
    if bad:
        hint = "Web processes read PostgreSQL instead, which takes longer. Mend it: strvsocial index rebuild"
        return [Finding("index", "warn", "; ".join(bad), hint)]
    return [Finding("index", "ok", "; ".join(told))]
