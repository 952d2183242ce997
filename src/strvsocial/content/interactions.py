"""What people do with posts, written down as it happens: ranking lives on it. Views are counted from it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec
from sqlalchemy import ARRAY, String, any_, bindparam, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from strvsocial.content.models import Interaction, Post
from strvsocial.content.visibility import VIEWER_ID, visible_to
from strvsocial.embeddings.models import SiteFact

BeaconKind = Literal["open", "impression", "dwell", "play"]
MAX_BEACONS = 50


class Beacon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happened to a post on somebody's screen. `value` is seconds, for `dwell` and `play`.

    `source` says where: `feed`, `explore`, `search`, `similar`, `profile`, `tag`, `post`; `position` counts from 0.
    """

    post: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    kind: BeaconKind
    source: Annotated[str, msgspec.Meta(max_length=32, pattern="^[a-z_-]*$")] = ""
    position: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = None
    value: Annotated[float, msgspec.Meta(ge=0, le=86_400)] | None = None


_SEEN = select(Post.id, Post.public_id).where(
    Post.public_id == any_(bindparam("ids", type_=ARRAY(String))), visible_to(VIEWER_ID)
)
_ONE_AT_A_TIME = text("select pg_advisory_xact_lock(hashtextextended('views:' || cast(:who as text), 0))")

# Once per person and post within an hour, however often they come back or reload. Posts are counted in one order for
# everybody, so that two people's batches cannot wait for each other in a circle.
_COUNT_VIEWS = text(
    """
    insert into post_counters (post_id, views)
    select opened.post_id, 1 from unnest(cast(:post_ids as bigint[])) as opened (post_id)
    where not exists (
      select 1 from interactions as earlier
      where earlier.post_id = opened.post_id and earlier.kind = 'open' and earlier.created_at > now() - interval '1 hour'
        and (earlier.user_id = :user_id or (earlier.user_id is null and earlier.visitor = :visitor))
    )
    order by opened.post_id
    on conflict (post_id) do update set views = post_counters.views + 1
    """
)


async def record(
    db: AsyncSession,
    viewer_id: int | None,
    visitor: str | None,
    post_id: int,
    kind: str,
    source: str = "",
    position: int | None = None,
    value: float | None = None,
) -> None:
    """Writes down one interaction with a post that the caller knows the viewer may see."""
    row = {"post_id": post_id, "kind": kind, "source": source, "position": position, "value": value}
    await _write(db, viewer_id, visitor, [row])


async def record_beacons(
    db: AsyncSession, viewer_id: int | None, visitor: str | None, beacons: Sequence[Beacon]
) -> int:
    """Writes down what a page reports. Posts that the viewer may not see are left out. Returns how many counted."""
    wanted = list({beacon.post for beacon in beacons})
    seen = {row.public_id: row.id for row in await db.execute(_SEEN, {"viewer_id": viewer_id, "ids": wanted})}
    rows = [
        {
            "post_id": seen[beacon.post],
            "kind": beacon.kind,
            "source": beacon.source,
            "position": beacon.position,
            "value": beacon.value,
        }
        for beacon in beacons
        if beacon.post in seen
    ]
    await _write(db, viewer_id, visitor, rows)
    return len(rows)


async def _write(
    db: AsyncSession, viewer_id: int | None, visitor: str | None, rows: Sequence[dict[str, object]]
) -> None:
    if not rows:
        return
    who = {"user_id": viewer_id, "visitor": None if viewer_id else visitor}
    opened = {row["post_id"] for row in rows if row["kind"] == "open"}
    if opened and (viewer_id or visitor):
        await db.execute(_ONE_AT_A_TIME, {"who": str(viewer_id or visitor)})
        await db.execute(_COUNT_VIEWS, {"post_ids": list(opened), **who})
    await db.execute(insert(Interaction), [{**row, **who} for row in rows])


async def get_visitor(db: AsyncSession, address: str, user_agent: str) -> str:
    """Who an anonymous visitor is, for one day: a hash with a salt that is thrown away, so that nobody is followed."""
    today = datetime.now(UTC).date()
    return hashlib.sha256(f"{await _salt_of(db, today)}\n{address}\n{user_agent}".encode()).hexdigest()[:32]


async def _salt_of(db: AsyncSession, day: date) -> str:
    """The salt of a day; the first visitor makes it, and it takes the place of the day before's."""
    find = select(SiteFact.value).where(SiteFact.name == "visitor_salt")
    fact = await db.scalar(find)
    if fact is None or fact["day"] != day.isoformat():
        new = {"day": day.isoformat(), "salt": secrets.token_hex(16)}
        statement = upsert(SiteFact).values(name="visitor_salt", value=new)
        await db.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"value": new},
                where=SiteFact.value["day"].astext != day.isoformat(),
            )
        )
        fact = await db.scalar(find)
    assert fact is not None
    return str(fact["salt"])
