"""Spaces of vectors and the profile that the site has settled on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from strvsocial.embeddings import calibration
from strvsocial.embeddings.profiles import Profile
from strvsocial.errors import Conflict

Reader = AsyncConnection | AsyncSession
SOUND_MODEL, SOUND_REVISION, SOUND_DIM = "log-mel", "1", 256


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors that may be compared. `calibration` turns their cosines into similarities."""

    id: int
    name: str
    profile: str
    model: str
    revision: str
    dim: int
    state: str = "active"
    calibration: dict[str, Any] = {}


class ModelFact(msgspec.Struct, frozen=True, kw_only=True):
    """What the site knows of its models: the profile, and what keeps the embedder from working, if anything does."""

    profile: str
    trouble: str | None = None


class SpacesDiffer(Conflict):
    """The models that are installed make other vectors than the site has."""

    code = "spaces_differ"


_COLUMNS = "id, name, profile, model, revision, dim, state, calibration"
_IN_STATE = text(f"select {_COLUMNS} from embedding_spaces where state = any(:states) order by name, id").columns(  # noqa: S608
    calibration=JSONB
)
_INSERT = (
    text(
        f"""
    insert into embedding_spaces (name, profile, model, revision, dim, state, calibration)
    values (:name, :profile, :model, :revision, :dim, :state, :calibration) returning {_COLUMNS}
    """  # noqa: S608
    )
    .bindparams(bindparam("calibration", type_=JSONB))
    .columns(calibration=JSONB)
)
_LOCK = text("select pg_advisory_xact_lock(hashtext('strv_embedding_spaces'))")
_FACT = text("select value from site_facts where name = 'models'").columns(value=JSONB)
_DECIDE = text(
    "insert into site_facts (name, value) values ('models', jsonb_build_object('profile', cast(:profile as text)))"
    " on conflict do nothing"
)
_TROUBLE = text(
    """
    update site_facts set value = value - 'trouble' || case when cast(:trouble as text) is null then '{}'::jsonb
      else jsonb_build_object('trouble', cast(:trouble as text)) end
    where name = 'models' and value ->> 'trouble' is distinct from :trouble
    """
)
_DROP_BUILDING = text("delete from embedding_spaces where state = 'building' and id <> all(:kept)")
_RETIRE = text("update embedding_spaces set state = 'retired' where state = 'active' and id <> all(:ids)")
_ACTIVATE = text("update embedding_spaces set state = 'active' where id = any(:ids)")
_RECORD = text(
    """
    insert into site_facts (name, value) values ('models', jsonb_build_object('profile', cast(:profile as text)))
    on conflict (name) do update set value = excluded.value
    """
)


async def active_spaces(reader: Reader) -> list[Space]:
    """The spaces that are searched, by name."""
    return await list_spaces(reader, ["active"])


async def list_spaces(reader: Reader, states: Sequence[str] = ("active", "building", "retired")) -> list[Space]:
    return [_space(row) for row in await reader.execute(_IN_STATE, {"states": list(states)})]


async def find_fact(reader: Reader) -> ModelFact | None:
    """The recorded profile; None before the first run."""
    found = (await reader.execute(_FACT)).scalar_one_or_none()
    return None if found is None else msgspec.convert(found, ModelFact)


async def decide_profile(db: AsyncSession, wanted: str) -> ModelFact:
    """Records `wanted` on the first run; afterwards what was recorded stays."""
    await db.execute(_DECIDE, {"profile": wanted})
    fact = await find_fact(db)
    assert fact is not None
    return fact


async def report_trouble(db: AsyncSession, trouble: str | None) -> None:
    """Records what keeps the embedder from working, or that nothing does any more."""
    await db.execute(_TROUBLE, {"trouble": trouble})


async def find_trouble(reader: Reader) -> str | None:
    """What keeps the embedder from working, as it last reported; None when nothing does."""
    fact = await find_fact(reader)
    return fact.trouble if fact else None


def mismatch(wanted: str, recorded: str) -> str | None:
    """A sentence about `STRV_MODELS` when it differs from the recorded profile, with the command that switches."""
    if wanted == recorded:
        return None
    return (
        f"STRV_MODELS is {wanted}, but this site's vectors were made with {recorded}, which stays in use. "
        f"`strvsocial models switch {wanted}` makes new vectors beside them and then switches."
    )


def wanted_spaces(profile: Profile) -> dict[str, dict[str, Any]]:
    """Model, revision and dim of each space of a profile, by the space's name."""
    return {
        "text": {"model": profile.text.model, "revision": profile.text.revision, "dim": profile.text.dim},
        "look": {"model": profile.look.model, "revision": profile.look.revision, "dim": profile.look.dim},
        "sound": {"model": SOUND_MODEL, "revision": SOUND_REVISION, "dim": SOUND_DIM},
    }


async def ensure_spaces(db: AsyncSession, profile: Profile) -> dict[str, Space]:
    """The active spaces by name, made when there are none yet. Raises SpacesDiffer when they are of other models."""
    await db.execute(_LOCK)
    found = {space.name: space for space in await active_spaces(db)}
    for name, wanted in wanted_spaces(profile).items():
        if name not in found:
            found[name] = await add_space(db, name, profile, wanted, "active")
        elif (found[name].model, found[name].revision) != (wanted["model"], wanted["revision"]):
            raise SpacesDiffer(
                f"The {name} vectors of this site are of {found[name].model} ({found[name].revision}), but the profile "
                f"{profile.name} now has {wanted['model']} ({wanted['revision']}). "
                f"`strvsocial models switch {profile.name}` makes new ones beside them and then switches."
            )
    return found


async def add_space(db: AsyncSession, name: str, profile: Profile, wanted: Mapping[str, Any], state: str) -> Space:
    """A new space with the calibration that is known for its model."""
    values = {"name": name, "profile": profile.name, "state": state, **wanted}
    row = await db.execute(_INSERT, {**values, "calibration": calibration.known(wanted["model"])})
    return _space(row.one())


async def begin_switch(db: AsyncSession, profile: Profile) -> dict[str, Space]:
    """The spaces by name that `profile` fills: building ones, gone on with when they were begun, or active ones that stay.

    What another switch has begun is thrown away.
    """
    await db.execute(_LOCK)
    known = await list_spaces(db, ["active", "building"])
    found: dict[str, Space] = {}
    for name, wanted in wanted_spaces(profile).items():
        same = [s for s in known if (s.name, s.model, s.revision) == (name, wanted["model"], wanted["revision"])]
        stays = [space for space in same if space.state == "active" and name == "sound"]
        begun = [space for space in same if space.state == "building" and space.profile == profile.name]
        found[name] = (stays or begun or [await add_space(db, name, profile, wanted, "building")])[0]
    kept = [space.id for space in found.values()]
    await db.execute(_DROP_BUILDING, {"kept": kept})
    return found


async def finish_switch(db: AsyncSession, profile: Profile, spaces: Mapping[str, Space]) -> None:
    """Makes `spaces` the active ones and `profile` the recorded one, at once."""
    await db.execute(_LOCK)
    ids = [space.id for space in spaces.values()]
    await db.execute(_RETIRE, {"ids": ids})
    await db.execute(_ACTIVATE, {"ids": ids})
    await db.execute(_RECORD, {"profile": profile.name})


def _space(row: Row[Any]) -> Space:
    return msgspec.convert(dict(row._mapping), Space)
