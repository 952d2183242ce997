"""Bulk import: what is kept, what is passed over, and that it can be stopped and started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from strvsocial.cli import app
from strvsocial.content.cards import load_cards
from strvsocial.content.feeds import list_by_author
from strvsocial.content.imports import Import, Tally
from strvsocial.db import Database
from strvsocial.ids import new_id
from strvsocial.settings import Settings
from strvsocial.storage import open_storage

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def write(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(encoded) + b"\n")
    return path


def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(app, ["posts", *arguments, "--json"])
    return result.exit_code, json.loads(result.stdout.strip().splitlines()[-1]), result.stderr


async def scalar(database: Database, query: str, **parameters: Any) -> Any:
    async with database.read() as reader:
        return (await reader.execute(text(query), parameters)).scalar()


async def test_everything_of_a_line_is_kept(database: Database, settings: Settings, tmp_path: Path) -> None:
    author, key = f"imp_{new_id()[:8]}", new_id()
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "pictures" / name).write_bytes(PNG)
    file = write(
        tmp_path / "posts.ndjson",
        {
            "key": key,
            "author": author,
            "title": "Two pictures",
            "text": "Of #cats",
            "tags": ["Pets"],
            "files": ["pictures/a.png", "pictures/b.png"],
            "alt": ["One"],
            "created_at": "2024-02-03T04:05:06+01:00",
            "visibility": "followers",
        },
    )
    async with open_storage(settings) as storage:
        tally = await Import(database, storage, settings).run(file)
        assert (tally.imported, tally.authors, tally.files, tally.bad) == (1, 1, 2, 0)
        again = await Import(database, storage, settings).run(file)
        assert (again.imported, again.known, again.authors, again.files) == (0, 1, 0, 0)
        keys = await scalar(
            database,
            "select array_agg(source_key) from attachments join posts on posts.id = post_id where import_key = :key",
            key=key,
        )
        assert [(await storage.stat(one)).byte_size for one in keys] == [len(PNG)] * 2  # type: ignore[union-attr]
    post_id, author_id, password = await scalar(
        database,
        "select array[posts.id::text, users.id::text, users.password_hash] from posts"
        " join users on users.id = author_id where import_key = :key",
        key=key,
    )
    async with database.read() as reader:
        [card] = await load_cards(reader, int(author_id), [int(post_id)])
    assert (card.author.username, card.visibility, card.status) == (author, "followers", "processing")
    assert (card.tags, [medium.alt for medium in card.media]) == (["pets", "cats"], ["One", ""])
    assert card.created_at.isoformat() == "2024-02-03T03:05:06+00:00"
    assert password is None
    query = "select array_agg(distinct priority) from jobs where kind = 'content.process_attachment' and priority > 0"
    assert await scalar(database, query) == [10]


BAD: list[dict[str, Any] | bytes] = [
    b"{not json",
    b'{"key": "\xff", "author": "abc", "title": "x"}',
    b'{"key": "long", "author": "abc", "title": "' + b"x" * 1_000_001 + b'"}',
    {"key": "k", "author": "abc"},
    {"key": "k", "author": "abc", "title": "x", "colour": "red"},
    {"key": "", "author": "abc", "title": "x"},
    {"key": "k", "author": "a b", "title": "x"},
    {"key": "k", "author": "abc", "title": " "},
    {"key": "k", "author": "abc", "title": "x", "text": "x" * 5001},
    {"key": "k", "author": "abc", "title": "x", "visibility": "secret"},
    {"key": "k", "author": "abc", "title": "x", "created_at": "2199-01-01T00:00:00Z"},
    {"key": "k", "author": "abc", "title": "x", "files": ["missing.png"]},
    {"key": "k", "author": "abc", "title": "x", "files": ["../outside.png"]},
    {"key": "k", "author": "abc", "title": "x", "files": ["/etc/passwd"]},
    {"key": "k", "author": "abc", "title": "x", "files": ["words.txt"]},
    {"key": "k", "author": "abc", "title": "x", "alt": ["a"]},
    {"key": "k", "author": "abc", "title": "x", "files": ["sound.wav", "sound.wav"]},
]


def test_bad_lines_are_named_and_passed_over(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(PNG)
    folder = tmp_path / "import"
    folder.mkdir()
    (folder / "words.txt").write_text("<svg>")
    (folder / "sound.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    good = {"key": new_id(), "author": f"imp_{new_id()[:8]}", "title": "Good"}
    file = write(folder / "posts.ndjson", *BAD, b"", good)
    code, summary, errors = run("import", str(file), "--dry-run")
    assert (code, summary["imported"], summary["bad"], summary["dry_run"]) == (1, 1, len(BAD), True)
    code, summary, errors = run("import", str(file))
    assert (code, summary["imported"], summary["known"], summary["bad"]) == (1, 1, 0, len(BAD))
    assert [line["line"] for line in summary["bad_lines"]] == list(range(1, len(BAD) + 1))
    assert "line 17: file:" in errors
    assert run("import", str(file))[1]["known"] == 1


class Interrupted(Exception):
    """What stops an import in the middle."""


async def test_two_thousand_lines_resume_after_an_interruption(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    prefix = new_id()
    author = f"imp_{prefix[:8]}"
    lines = [
        {
            "key": f"{prefix}-{number}",
            "author": author,
            "title": f"Line {number}",
            "text": "On #import",
            "tags": ["bulk"],
        }
        for number in range(2_000)
    ]
    file = write(tmp_path / "posts.ndjson", *lines, lines[0])

    def interrupt(_: Tally) -> None:
        raise Interrupted

    async with open_storage(settings) as storage:
        with pytest.raises(Interrupted):
            await Import(database, storage, settings, on_chunk=interrupt).run(file)
        tally = await Import(database, storage, settings).run(file)
    assert (tally.imported, tally.known, tally.bad, tally.authors) == (1_000, 1_001, 0, 0)
    counts = "select count(*) from posts where import_key like :prefix"
    assert await scalar(database, counts, prefix=f"{prefix}-%") == 2_000
    wanted = (
        "select count(*) from jobs join posts on dedupe_key = 'embed:' || posts.id"
        " where import_key like :prefix and priority = 10 and kind = 'content.embed_post'"
    )
    assert await scalar(database, wanted, prefix=f"{prefix}-%") == 2_000
    async with database.read() as reader:
        page = await list_by_author(reader, None, author, limit=100)
    assert {tuple(item.tags) for item in page.items} == {("bulk", "import")}


def test_list_and_delete(settings: Settings, tmp_path: Path) -> None:
    author = f"imp_{new_id()[:8]}"
    lines = [{"key": new_id(), "author": author, "title": f"Post {number}"} for number in range(3)]
    run("import", str(write(tmp_path / "posts.ndjson", *lines)))
    code, listed, _ = run("list", "--author", author, "--media-type", "text")
    assert (code, [row["title"] for row in listed["posts"]]) == (0, ["Post 2", "Post 1", "Post 0"])
    ids = [row["id"] for row in listed["posts"]]
    assert run("delete", *ids, "--dry-run")[1]["deleted"] == ids[::-1]
    assert len(run("list", "--author", author)[1]["posts"]) == 3
    assert CliRunner().invoke(app, ["posts", "delete", ids[0]], input="n\n").exit_code == 1
    code, answer, _ = run("delete", *ids[:2], "nothing", "--yes")
    assert (code, answer["missing"]) == (1, ["nothing"])
    assert [row["id"] for row in run("list", "--author", author)[1]["posts"]] == ids[2:]
