"""The proof that a site is whole again: nothing acknowledged is lost, nothing doubled, nothing stuck, nothing left over."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from tests.reliability.history import History
from tests.reliability.real_site import RealSite

_BUSY = """
select (select count(*) from posts where status = 'processing' or pending <> '{}')
     + (select count(*) from attachments where status = 'processing')
     + (select count(*) from jobs where state in ('queued', 'running')) as count
"""


@dataclass
class Verdict:
    """Each list names what is wrong; all empty is the proof."""

    posts: int = 0
    acknowledged: int = 0
    unknown: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def problems(self) -> dict[str, list[str]]:
        found = {name: getattr(self, name) for name in ("lost", "doubled", "stuck", "damaged", "left_over", "told")}
        return {name: problems for name, problems in found.items() if problems}


async def until_quiet(site: RealSite, seconds: float) -> float:
    """Waits until nothing is wanted, waited for or under way; how long that took.

    What stands still for `seconds` is stuck. A long queue on a small machine is not, as long as it grows shorter.
    """
    began = moved_at = time.monotonic()
    least = 1 << 30
    while least:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            count = int((await site.fetch(_BUSY))[0]["count"])
            if count < least:
                least, moved_at = count, time.monotonic()
        assert time.monotonic() - moved_at < seconds, f"{least} things stood still for {seconds:g} s"
        await asyncio.sleep(0.2)
    return time.monotonic() - began


async def judge(site: RealSite, history: History) -> Verdict:
    """Compares what people were told with what there is."""
    verdict = Verdict(
        acknowledged=len(history.of("ok")),
        unknown=len(history.of("unknown")),
        told=[f"{entry.kind}: {told}" for entry in history.entries for told in entry.told],
    )
    await _judge_posts(site, history, verdict)
    await _judge_media(site, history, verdict)
    await _judge_vectors(site, verdict)
    await _judge_leftovers(site, verdict)
    return verdict


async def _judge_posts(site: RealSite, history: History, verdict: Verdict) -> None:
    """I1 and I5: what was acknowledged is there once, what failed is not, what is unknown at most once; I3 as well."""
    rows = await site.fetch("select public_id, title, status, failure, pending, media_type from posts")
    verdict.posts = len(rows)
    by_title = Counter(row["title"] for row in rows)
    by_id = {row["public_id"]: row for row in rows}
    for entry in history.entries:
        title = f"{entry.kind} {entry.key}"
        count = by_title.pop(title, 0)
        if entry.outcome == "ok" and (count == 0 or by_id.get(entry.public_id, {"title": ""})["title"] != title):
            verdict.lost.append(f"{title} was acknowledged as {entry.public_id}")
        if count > 1 or (entry.outcome == "failed" and count):
            verdict.doubled.append(f"{title}: {count} posts, {entry.outcome}")
    verdict.doubled += [f"{title}: nobody wrote this" for title in by_title]
    for row in rows:
        if row["status"] != "ready" or row["pending"]:
            verdict.stuck.append(f"{row['title']}: {row['status']} {row['pending']} {row['failure']}")
        kind = row["title"].split(" ", 1)[0]
        if row["media_type"] != {"large": "video"}.get(kind, kind):
            verdict.damaged.append(f"{row['title']} is {row['media_type']}")
    dead = await site.fetch("select kind, last_error from jobs where state <> 'done'")
    verdict.stuck += [f"job {row['kind']}: {row['last_error']}" for row in dead]


async def _judge_media(site: RealSite, history: History, verdict: Verdict) -> None:
    """I2: what a ready medium consists of is in storage, whole, and the original is what was sent."""
    sent = {f"{entry.kind} {entry.key}": entry.file for entry in history.entries}
    rows = await site.fetch(
        "select p.title, a.* from attachments a join posts p on p.id = a.post_id order by a.post_id, a.position"
    )
    counts = Counter(row["title"] for row in rows)
    wanted = {title for title, file in sent.items() if file is not None}
    posts = {row["title"] for row in await site.fetch("select title from posts")}
    verdict.lost += [f"{title} has no medium" for title in posts & wanted - counts.keys()]
    verdict.doubled += [f"{title} has {count} media" for title, count in counts.items() if count != 1]
    objects = site.data_dir / "media" / "objects"
    for row in rows:
        file = sent.get(row["title"])
        if file is None or row["sha256"] != file.sha256 or _sha256(objects / row["source_key"]) != file.sha256:
            verdict.damaged.append(f"{row['title']}: the original is not what was sent")
    for row in await site.fetch("select attachment_id, name, key, byte_size from renditions"):
        path = objects / row["key"]
        if not path.is_file() or path.stat().st_size != row["byte_size"]:
            verdict.damaged.append(f"{row['key']} should have {row['byte_size']} bytes")
    bare = (
        "select count(*) as n from attachments a where not exists (select 1 from renditions where attachment_id = a.id)"
    )
    if (await site.fetch(bare))[0]["n"]:
        verdict.damaged.append("a medium has no rendition")


async def _judge_vectors(site: RealSite, verdict: Verdict) -> None:
    """I4: every post has its vectors, and what the index would load equals the rows."""
    missing = await site.fetch(
        """
        select p.title, s.name from posts p cross join embedding_spaces s
        where s.state = 'active' and p.status = 'ready'
          and (s.name = 'text' or (s.name = 'look' and p.media_type in ('image', 'gif', 'video')))
          and not exists (select 1 from embeddings e where e.post_id = p.id and e.space_id = s.id)
        """
    )
    verdict.lost += [f"{row['title']} has no {row['name']} vector" for row in missing]
    status, answer = await site.strvsocial("index", "verify")
    if status or not answer["spaces"]:
        verdict.damaged.append(f"the index: {answer}")


async def _judge_leftovers(site: RealSite, verdict: Verdict) -> None:
    """I6: after a sweep without grace nothing is left of what was interrupted, and nothing that is needed is gone."""
    await site.fetch(
        "update uploads set expires_at = now() - interval '1 s', locked_until = null where state <> 'used'"
    )
    await site.fetch(
        "insert into jobs (queue, kind, payload) values ('quick', 'media.sweep_storage', '{\"orphans\": false}')"
    )
    await until_quiet(site, 30)
    await site.strvsocial("media", "orphans", "--delete", "--grace-hours", "0")
    status, found = await site.strvsocial("media", "orphans", "--grace-hours", "0")
    if status or found["missing"]:
        verdict.damaged.append(f"rows without bytes: {found['missing']}")
    verdict.left_over += [f"object {orphan['key']}" for orphan in found["orphans"]]
    verdict.left_over += [f"multipart {key}" for key in found["multiparts"]]
    for folder in ("media/incoming", "media/multiparts", "tmp"):
        verdict.left_over += [str(path) for path in _below(site.data_dir / folder)]
    if await site.fetch("select 1 from uploads where state = 'open'"):
        verdict.left_over.append("an open upload")


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != ".lock"] if folder.is_dir() else []


def _sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
