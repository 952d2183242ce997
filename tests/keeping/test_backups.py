"""Backups of both kinds of storage, plain and encrypted: made, verified, restored, refused where they must be."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pyrage
import pytest
import pytest_asyncio
from tests.front_door import Site, running_site
from tests.keeping import sites
from tests.keeping.conftest import Databases
from tests.keeping.sites import fetch, files_below, fill, strvsocial
from tests.s3 import S3Server

from strvsocial.db import plain_url
from strvsocial.media.holding import hold_deletions
from strvsocial.settings import Settings

PASSPHRASE = {"STRV_BACKUP_PASSPHRASE": "four words that are random"}
DIFFERING = ("jobs", "uploads", "site_facts")


@pytest_asyncio.fixture(params=["files", "s3"])
async def site(
    request: pytest.FixtureRequest, settings: Settings, databases: Databases, tmp_path: Path
) -> AsyncIterator[Site]:
    """A site of its own on either storage."""
    server: S3Server | None = request.getfixturevalue("s3_server") if request.param == "s3" else None
    changes: dict[str, Any] = {"data_dir": tmp_path / "data", "database_url": await databases.make()}
    changes |= server.settings(f"keeping-{secrets.token_hex(4)}") if server else {}
    async with running_site(settings.model_copy(update=changes)) as site:
        yield site


@pytest_asyncio.fixture
async def files_site(settings: Settings, databases: Databases, tmp_path: Path) -> AsyncIterator[Site]:
    changes = {"data_dir": tmp_path / "data", "database_url": await databases.make()}
    async with running_site(settings.model_copy(update=changes)) as site:
        yield site


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "backups")


async def _elsewhere(settings: Settings, databases: Databases, tmp_path: Path) -> Settings:
    """Settings of a new, empty site. Of an S3 server the same bucket is emptied."""
    changes: dict[str, Any] = {"database_url": await databases.make(empty=True), "data_dir": tmp_path / "elsewhere"}
    if settings.s3_bucket:
        await sites.empty(settings)
    return settings.model_copy(update=changes)


@pytest.mark.parametrize("protection", [{}, PASSPHRASE], ids=["plain", "encrypted"])
async def test_everything_comes_back(
    site: Site, databases: Databases, tmp_path: Path, place: str, protection: dict[str, str]
) -> None:
    filled = await fill(site)
    before = await _describe(site.settings)
    status, made, told = await strvsocial(site.settings, "backup", "create", place, "--json", **protection)
    assert status == 0, told
    assert made["objects"] == len(filled.objects)
    assert (made["missing"], made["damaged"], made["gone"], made["changed"]) == ([], [], [], [])
    nowhere = site.settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/none", "s3_bucket": None}
    )
    status, verdict, told = await strvsocial(nowhere, "backup", "verify", place, "--json", **protection)
    assert (status, verdict["problems"], verdict["dump_opened"]) == (0, [], True), told
    assert verdict["files"] == len(filled.objects) + 1

    target = await _elsewhere(site.settings, databases, tmp_path)
    status, done, told = await strvsocial(target, "backup", "restore", place, "--json", **protection)
    assert status == 0, told
    assert {name: count for name, count in done["rows"].items() if name not in DIFFERING} == {
        name: count for name, count in made["rows"].items() if name not in DIFFERING
    }
    assert await sites.read_all(target) == filled.objects  # What nobody refers to was left behind.
    assert await _describe(target) == before
    jobs = await fetch(target, "select kind, state, attempts, lease_until from jobs order by id")
    assert [tuple(row) for row in jobs] == [
        ("test.alone", "queued", 0, None),
        ("test.twice", "done", 1, None),
        ("test.twice", "queued", 1, None),
        ("test.done", "done", 0, None),
        ("test.dead", "dead", 0, None),
    ]
    assert [row["state"] for row in await fetch(target, "select state from uploads")] == ["finished"]
    assert await fetch(target, "select 1 from embeddings where transaction > pg_current_xact_id()") == []
    async with running_site(target) as restored:
        client = restored.client(headers={"Authorization": f"Bearer {filled.member.token}"})
        assert (await client.get("/api/v1/me")).json()["username"] == filled.member.username
        post = (await client.get("/api/v1/feeds/latest")).json()["items"][0]["post"]
        url = post["media"][0]["variants"][0]["url"]
        assert (await client.get(url)).content in filled.objects.values()


async def _describe(settings: Settings) -> list[list[tuple[Any, ...]]]:
    """What must come back value by value."""
    statements = (
        "select id, public_id, username, email, password_hash, avatar_key, created_at from users order by id",
        "select id, public_id, title, status, created_at from posts order by id",
        "select id, public_id, source_key, byte_size, sha256, status from attachments order by id",
        "select id, name, key, byte_size from renditions order by id",
        "select space_id, post_id, vector, change from embeddings order by post_id",
        "select token_hash, expires_at from sessions order by id",
        "select token_hash from api_tokens order by id",
        "select last_value from embedding_changes",
    )
    return [[tuple(row) for row in await fetch(settings, statement)] for statement in statements]


async def test_the_next_backup_copies_only_what_is_new(files_site: Site, place: str) -> None:
    settings = files_site.settings
    await fill(files_site)
    _, first, _ = await strvsocial(settings, "backup", "create", place, "--json")
    _, plan, _ = await strvsocial(settings, "backup", "create", place, "--json", "--dry-run")
    assert (plan["objects"], plan["already_there"]) == (0, first["objects"])
    marks = {path: path.stat().st_mtime_ns for path in files_below(f"{place}/objects")}
    key = (await fetch(settings, "select key from renditions limit 1"))[0]["key"]
    path = settings.data_dir / "media" / "objects" / key
    path.write_bytes(path.read_bytes()[::-1])
    _, second, _ = await strvsocial(settings, "backup", "create", place, "--json")
    after = {path: path.stat().st_mtime_ns for path in files_below(f"{place}/objects")}
    assert {path: after[path] for path in marks} == marks
    assert len(after) == len(marks) + 1
    status, listed, _ = await strvsocial(settings, "backup", "list", place, "--json")
    assert [item["name"] for item in listed] == [first["name"], second["name"]]

    status, pruned, _ = await strvsocial(settings, "backup", "prune", place, "--keep", "1", "--json", "--dry-run")
    assert (pruned["backups"], pruned["objects"], len(after)) == ([first["name"]], 1, len(marks) + 1)
    status, pruned, _ = await strvsocial(settings, "backup", "prune", place, "--keep", "1", "--json")
    assert (status, pruned["kept"]) == (0, [second["name"]])
    assert len(files_below(f"{place}/objects")) == len(marks)
    status, verdict, _ = await strvsocial(settings, "backup", "verify", place, "--json")
    assert (status, verdict["problems"]) == (0, [])


async def test_an_interrupted_backup_is_none_and_is_gone_on_with(files_site: Site, place: str) -> None:
    """What it had copied and noted is not copied again."""
    settings = files_site.settings
    await fill(files_site)
    _, first, _ = await strvsocial(settings, "backup", "create", place, "--json")
    folder = Path(place, "backups", first["name"])
    (folder / "media.ndjson").rename(folder / "media.partial.ndjson")
    (folder / "manifest.json").unlink()
    status, _, told = await strvsocial(settings, "backup", "verify", place)
    assert (status, told.strip()) == (1, "There is no finished backup here.")
    _, plan, _ = await strvsocial(settings, "backup", "create", place, "--json", "--dry-run")
    assert (plan["objects"], plan["already_there"]) == (0, first["objects"])
    status, _, _ = await strvsocial(settings, "backup", "create", place)
    assert status == 0
    assert not [path for path in files_below(place) if path.name == "media.partial.ndjson"]


async def test_what_storage_has_lost_or_damaged_is_named(files_site: Site, place: str) -> None:
    settings = files_site.settings
    await fill(files_site)
    keys = [row["source_key"] for row in await fetch(settings, "select source_key from attachments order by id")]
    objects = settings.data_dir / "media" / "objects"
    (objects / keys[0]).unlink()
    (objects / keys[1]).write_bytes(b"rotten" + (objects / keys[1]).read_bytes()[6:])
    status, made, _ = await strvsocial(settings, "backup", "create", place, "--json")
    assert (status, made["missing"], made["damaged"], made["gone"]) == (1, [keys[0]], [keys[1]], [])
    status, _, told = await strvsocial(settings, "backup", "create", place)
    assert status == 1
    assert keys[0] in told
    assert keys[1] in told


async def test_originals_are_enough_to_make_the_rest_again(
    files_site: Site, databases: Databases, tmp_path: Path, place: str
) -> None:
    filled = await fill(files_site)
    await strvsocial(files_site.settings, "backup", "create", place, "--originals-only")
    target = await _elsewhere(files_site.settings, databases, tmp_path)
    status, _, told = await strvsocial(target, "backup", "restore", place)
    assert status == 0, told
    kept = {key for key in filled.objects if key.startswith(("originals/", "avatars/"))}
    assert (await sites.read_all(target)).keys() == kept
    wanted = "select payload ->> 'attachment_id' as id from jobs where kind = 'content.process_attachment' order by 1"
    attachments = await fetch(target, "select id::text from attachments where status = 'processing' order by 1")
    assert await fetch(target, wanted) == attachments
    assert len(attachments) == 3
    assert {row["status"] for row in await fetch(target, "select status from posts")} == {"processing"}


async def test_a_bucket_keeps_its_own_media(files_site: Site, databases: Databases, tmp_path: Path, place: str) -> None:
    filled = await fill(files_site)
    await strvsocial(files_site.settings, "backup", "create", place, "--without-media")
    assert not files_below(f"{place}/objects")
    changes = {"database_url": await databases.make(empty=True)}
    target = files_site.settings.model_copy(update=changes)
    status, _, told = await strvsocial(target, "backup", "restore", place)
    assert status == 0, told
    assert filled.objects.keys() < (await sites.read_all(target)).keys()


async def test_a_bucket_holds_backups(
    files_site: Site, s3_server: S3Server, databases: Databases, tmp_path: Path
) -> None:
    filled = await fill(files_site)
    keys = {name: value for name, value in s3_server.settings("").items() if name != "s3_bucket"}
    settings = files_site.settings.model_copy(update=keys)
    place = f"s3://backups-{secrets.token_hex(4)}/of/this-site"
    status, made, told = await strvsocial(settings, "backup", "create", place, "--json", **PASSPHRASE)
    assert status == 0, told
    target = await _elsewhere(settings, databases, tmp_path)
    status, _, told = await strvsocial(target, "backup", "restore", place, **PASSPHRASE)
    assert status == 0, told
    assert await sites.read_all(target) == filled.objects
    status, pruned, _ = await strvsocial(settings, "backup", "prune", place, "--keep", "1", "--json")
    assert (status, pruned["kept"], pruned["objects"]) == (0, [made["name"]], 0)


async def test_a_bucket_is_no_place_for_its_own_backup(files_site: Site, s3_server: S3Server) -> None:
    settings = files_site.settings.model_copy(update=s3_server.settings("media-bucket"))
    status, _, told = await strvsocial(settings, "backup", "create", "s3://media-bucket/backups")
    assert status == 1
    assert "another bucket" in told


async def test_with_a_recipient_the_server_cannot_open_its_own_backups(
    files_site: Site, databases: Databases, tmp_path: Path, place: str
) -> None:
    filled = await fill(files_site)
    identity = pyrage.x25519.Identity.generate()
    recipient = {"STRV_BACKUP_RECIPIENTS": str(identity.to_public())}
    status, _, told = await strvsocial(files_site.settings, "backup", "create", place, **recipient)
    assert status == 0, told
    for path in files_below(f"{place}/objects"):
        assert path.suffix == ".age"
        assert not any(data[:30] in path.read_bytes() for data in filled.objects.values())
    status, verdict, _ = await strvsocial(files_site.settings, "backup", "verify", place, "--json")
    assert (status, verdict["problems"], verdict["dump_opened"]) == (0, [], False)
    status, _, told = await strvsocial(files_site.settings, "backup", "create", place)
    assert (status, "The backups here are encrypted" in told) == (1, True)
    target = await _elsewhere(files_site.settings, databases, tmp_path)
    status, _, told = await strvsocial(target, "backup", "restore", place)
    assert (status, "The backup is encrypted" in told) == (1, True)
    key = tmp_path / "key.txt"
    key.write_text(f"# kept in a safe\n{identity}\n")
    status, _, told = await strvsocial(target, "backup", "restore", place, "--identity", str(key))
    assert status == 0, told
    assert await sites.read_all(target) == filled.objects


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_damage_is_named_exactly_and_nothing_is_restored(
    files_site: Site, databases: Databases, tmp_path: Path, place: str, encrypted: bool
) -> None:
    settings, key = files_site.settings, tmp_path / "key.txt"
    identity = pyrage.x25519.Identity.generate()
    key.write_text(str(identity))
    protection = {"STRV_BACKUP_RECIPIENTS": str(identity.to_public())} if encrypted else {}
    opening = ("--identity", str(key)) if encrypted else ()
    await fill(files_site)
    _, made, _ = await strvsocial(settings, "backup", "create", place, "--json", **protection)
    folder = Path(place, "backups", made["name"])
    files = files_below(f"{place}/objects")
    flipped, missing, truncated, dump = files[0], files[1], files[2], Path(place, made["dump"]["name"])
    _flip(flipped)
    missing.unlink()
    truncated.write_bytes(truncated.read_bytes()[:-7])
    _flip(dump)
    status, verdict, _ = await strvsocial(settings, "backup", "verify", place, "--json", *opening)
    assert status == 1
    size = truncated.stat().st_size
    assert verdict["problems"] == [
        f"{made['dump']['name']} is damaged: its checksum is another one",
        *sorted(
            [
                f"{flipped.relative_to(place)} is damaged: its checksum is another one",
                f"{missing.relative_to(place)} is missing",
                f"{truncated.relative_to(place)} is truncated: {size:,} of {size + 7:,} bytes",
            ]
        ),
    ]
    target = await _elsewhere(settings, databases, tmp_path)
    status, _, told = await strvsocial(target, "backup", "restore", place, *opening)
    assert status == 1
    assert f"{missing.relative_to(place)} is missing" in told
    assert await sites.read_all(target) == {}
    assert await fetch(target, "select 1 from pg_class where relnamespace = 'public'::regnamespace") == []
    _flip(dump)
    for name in ("media.ndjson", "manifest.json"):
        _flip(folder / name)
        status, _, told = await strvsocial(settings, "backup", "verify", place, *opening)
        assert status == 1
        assert f"{name} is damaged" in told
    assert "Traceback" not in told


async def test_a_wrong_passphrase_opens_nothing(files_site: Site, place: str) -> None:
    settings = files_site.settings
    await fill(files_site, posts=1)
    status, _, told = await strvsocial(settings, "backup", "create", place, STRV_BACKUP_PASSPHRASE="too short")
    assert (status, "at least 12 characters" in told) == (1, True)
    assert (await strvsocial(settings, "backup", "create", place, **PASSPHRASE))[0] == 0
    for command in ("create", "restore"):
        status, _, told = await strvsocial(
            settings, "backup", command, place, STRV_BACKUP_PASSPHRASE="another one, long"
        )
        assert status == 1
        assert "The passphrase does not open identity.age" in told


async def test_a_living_site_is_not_replaced_by_accident(files_site: Site, databases: Databases, place: str) -> None:
    settings = files_site.settings
    await fill(files_site, posts=1)
    await strvsocial(settings, "backup", "create", place)
    status, _, told = await strvsocial(settings, "backup", "restore", place)
    assert (status, "Stop web, worker and embedder first" in told) == (1, True)
    copy = await databases.make()
    await files_site.database.aclose()
    other = settings.model_copy(update={"database_url": copy})
    name = copy.rsplit("/", 1)[1]
    await fetch(other, _ONE_PERSON)
    status, _, told = await strvsocial(other, "backup", "restore", place, "--force", "something-else")
    assert (status, f"--force {name}" in told) == (1, True)
    assert [row["username"] for row in await fetch(other, "select username from users")] == ["bystander"]
    status, shown, _ = await strvsocial(other, "backup", "restore", place, "--dry-run", "--json")
    assert (status, shown["people"]) == (0, 1)
    await fetch(other, "create table of_a_newer_version (id int)")
    status, _, told = await strvsocial(other, "backup", "restore", place, "--force", name)
    assert status == 0, told
    assert "bystander" not in [row["username"] for row in await fetch(other, "select username from users")]
    assert (await fetch(other, "select to_regclass('of_a_newer_version') is null as gone"))[0]["gone"]


_ONE_PERSON = """
insert into users (public_id, username, username_key, username_skeleton, email, email_key)
values ('x', 'bystander', 'bystander', 'bystander', 'b@example.org', 'b@example.org')
"""


async def test_a_restore_that_fails_leaves_the_rows_alone(files_site: Site, databases: Databases, place: str) -> None:
    """A dump that breaks off after its checksum was taken: psql must not take its end for success."""
    settings = files_site.settings
    await fill(files_site, posts=1)
    _, made, _ = await strvsocial(settings, "backup", "create", place, "--json")
    await files_site.database.aclose()
    folder, dump = Path(place, "backups", made["name"]), Path(place, made["dump"]["name"])
    _cut(folder, dump, 500)
    other = settings.model_copy(update={"database_url": await databases.make()})
    await fetch(other, _ONE_PERSON)
    name = other.database_url.rsplit("/", 1)[1]
    status, _, told = await strvsocial(other, "backup", "restore", place, "--force", name)
    assert status == 1
    assert "was not restored and is as it was" in told
    assert [row["username"] for row in await fetch(other, "select username from users")] == ["bystander"]


async def test_a_backup_of_a_newer_version_is_refused(
    files_site: Site, databases: Databases, tmp_path: Path, place: str
) -> None:
    settings = files_site.settings
    await fetch(settings, "update alembic_version set version_num = '9999'")
    await strvsocial(settings, "backup", "create", place)
    target = await _elsewhere(settings, databases, tmp_path)
    status, _, told = await strvsocial(target, "backup", "restore", place)
    assert (status, "at migration 9999, which this version does not know" in told) == (1, True)


async def test_two_backups_do_not_run_at_once(files_site: Site, place: str) -> None:
    connection = await asyncpg.connect(plain_url(files_site.settings.database_url))
    await hold_deletions(connection)
    status, printed, _ = await strvsocial(files_site.settings, "backup", "create", place, "--json")
    await connection.close()
    assert (status, printed) == (1, {"ok": False, "error": "Another backup of this database runs. Wait for its end."})


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(folder: Path, dump: Path, count: int) -> None:
    """Takes the end off a dump and makes all checksums fit."""
    old = dump.read_bytes()
    dump.write_bytes(new := old[:-count])
    manifest = (folder / "manifest.json").read_text()
    before = hashlib.sha256(manifest.encode()).hexdigest()
    manifest = manifest.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest())
    manifest = manifest.replace(str(len(old)), str(len(new)))
    (folder / "manifest.json").write_text(manifest)
    sums = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(sums.replace(before, hashlib.sha256(manifest.encode()).hexdigest()))
