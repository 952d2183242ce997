"""Checks of the machine: settings, disk, ffmpeg and its sandbox, the models' weights, the index's snapshot."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from datetime import UTC, datetime

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from strvsocial.backups.shelves import open_shelf
from strvsocial.embeddings import index_changes, spaces
from strvsocial.embeddings.index_snapshots import BadSnapshot, SnapshotStore
from strvsocial.embeddings.profiles import read_profile
from strvsocial.embeddings.weights import WeightsMissing, locate
from strvsocial.media.capabilities import capabilities
from strvsocial.media.ffmpeg import CODECS
from strvsocial.media.filters import FILTERS
from strvsocial.media.sandbox import ffmpeg_codecs, ffmpeg_filters, ffmpeg_version
from strvsocial.operations.effective_settings import unknown_names
from strvsocial.operations.findings import Finding, State
from strvsocial.settings import GB, Settings

TIGHT, LOW = 1 * GB, 5 * GB
FEWEST, FEW = 0.02, 0.05
"""Shares of the files that a file system can hold."""
LATE_DAYS, OLD_DAYS = 1.5, 7
"""Ages of the last backup: one night was missed, or a week of them."""
BEHIND_SECONDS = 60
"""An index that has not read PostgreSQL to its end for so long follows no more."""
_WEB = text("select pid, host, details from processes where kind = 'web' and seen_at > now() - interval '45 s'")
_WALLS = {
    "no_network": "decoders cannot reach the network",
    "no_other_files": "decoders see no files but their own",
    "no_other_processes": "decoders see no other processes",
}
FFMPEG = "Install ffmpeg 6 or newer with its usual codecs, or pip install 'strvsocial[media]', which brings one."
# Two names of the same decoder: one of each is enough.
_DECODERS = frozenset(CODECS) - {"libdav1d", "mp3float"}
_ENCODERS = frozenset({"libx264", "aac", "pcm_s16le"})
MODEL_LIBRARIES = ("torch", "torchvision", "transformers", "faster_whisper", "librosa")


async def check_settings(settings: Settings) -> list[Finding]:
    findings = []
    if unknown := unknown_names():
        hint = "Is it misspelt? .env.example lists every setting."
        findings.append(Finding("settings", "warn", f"not known: {', '.join(unknown)}", hint))
    if settings.media_accel == "nginx" and not settings.trusted_proxies:
        told = "nginx is in front, but no proxy is trusted: all visitors have its address"
        findings.append(
            Finding("settings", "warn", told, "Set STRV_TRUSTED_PROXIES to its address: limits count by it.")
        )
    return findings or [Finding("settings", "ok", f"known and complete; the site is {settings.site_url}")]


async def check_disk(settings: Settings) -> list[Finding]:
    """Room for bytes and for files: a disk is full as well when it can count no more of them."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    room = os.statvfs(settings.data_dir)
    free, files = room.f_bavail * room.f_frsize, room.f_favail
    told = f"{free / GB:.1f} GB free at {settings.data_dir}"
    # Some file systems make room for files as they go, and say that there is none at all.
    share = files / room.f_files if room.f_files else 1.0
    if room.f_files:
        told += f", room for {files:,} files"
    if free < LOW or share < FEW:
        state: State = "fail" if free < TIGHT or share < FEWEST else "warn"
        return [Finding("disk", state, told, "Make room, or move STRV_DATA_DIR.")]
    return [Finding("disk", "ok", told)]


async def check_backups(settings: Settings) -> list[Finding]:
    """How old the last finished backup is, where backups are configured."""
    if not settings.backup_dir:
        return []
    hint = "Run it every night: strvsocial backup create. When it fails, it says why."
    async with open_shelf(settings.backup_dir, settings, must_exist=True) as shelf:
        names = await shelf.list_backups()
        if not names:
            return [Finding("backups", "fail", f"none is finished at {settings.backup_dir}", hint)]
        newest = await shelf.load_manifest(names[-1])
    days = (datetime.now(UTC) - newest.started_at).total_seconds() / 86_400
    told = f"the last one is {days:.1f} days old" if days >= 1 else f"the last one is {days * 24:.0f} hours old"
    state: State = "fail" if days > OLD_DAYS else "warn" if days > LATE_DAYS else "ok"
    return [Finding("backups", state, told, None if state == "ok" else hint)]


async def check_sandbox() -> list[Finding]:
    found = await capabilities()
    findings = [await asyncio.to_thread(examine_ffmpeg, found.ffmpeg)]
    missing = [told for name, told in _WALLS.items() if not getattr(found, name)]
    if missing:
        hint = "Allow unprivileged user namespaces or Landlock in the kernel, or install bubblewrap. Limits hold as they are."
        return [*findings, Finding("sandbox", "warn", f"not held: {'; '.join(missing)}", hint)]
    return [*findings, Finding("sandbox", "ok", f"decoders are walled in ({found.wall})")]


def examine_ffmpeg(path: str) -> Finding:
    version = ffmpeg_version(path)
    if not version:
        return Finding("ffmpeg", "fail", f"{path} does not run", FFMPEG)
    lacking = [
        *sorted(_DECODERS - ffmpeg_codecs(path, "decoders")),
        *sorted(f"{name} (to write)" for name in _ENCODERS - ffmpeg_codecs(path, "encoders")),
        *sorted(f"{name} (a filter)" for name in set(FILTERS) - ffmpeg_filters(path)),
    ]
    if lacking:
        return Finding("ffmpeg", "fail", f"ffmpeg {version} ({path}) lacks {', '.join(lacking)}", FFMPEG)
    return Finding("ffmpeg", "ok", f"ffmpeg {version} ({path}) knows every codec and filter that we need")


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
    """Whether a new web process starts from a snapshot that is whole, and those that run follow PostgreSQL."""
    active = await index_changes.active_spaces(reader)
    if not active:
        return [Finding("index", "ok", "empty: nothing has been embedded yet")]
    store = SnapshotStore(redis, await index_changes.find_site(reader))
    told, bad = [], []
    total = 0
    for space in active:
        rows = await index_changes.count(reader, space)
        total += rows
        try:
            loaded = await store.load(space.id, space.dim, space.generation)
        except BadSnapshot as error:
            bad.append(f"{space.name}: {error}")
            continue
        told.append(
            f"{space.name} {rows} vectors" + (f", {loaded[0].count} in the snapshot" if loaded else ", no snapshot")
        )
    if drifted := await _drifted(reader, total):
        hint = "strvsocial index rebuild; should that not help, restart the web processes and look into their logs."
        return [Finding("index", "fail", "; ".join(drifted), hint)]
    if bad:
        hint = "Web processes read PostgreSQL instead, which takes longer. Mend it: strvsocial index rebuild"
        return [Finding("index", "warn", "; ".join(bad), hint)]
    return [Finding("index", "ok", "; ".join(told))]


async def _drifted(reader: AsyncConnection, rows: int) -> list[str]:
    """Running web processes whose index stands still or holds another number of vectors than PostgreSQL."""
    found = []
    for process in await reader.execute(_WEB):
        index = process.details.get("index") or {}
        lag, count = index.get("lag"), index.get("vectors")
        if lag is not None and lag > BEHIND_SECONDS:
            found.append(f"web process {process.pid} on {process.host} is {lag:.0f} s behind")
        elif count is not None and abs(count - rows) > max(200, rows // 50):
            found.append(f"web process {process.pid} on {process.host} holds {count} of {rows} vectors")
    return found
