"""The database as pg_dump writes it, and back again."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from strvsocial.backups.encryption import Identities, decrypt
from strvsocial.backups.manifests import BadBackup
from strvsocial.backups.programs import Programs, connection

PIECE_BYTES = 1 << 20
# Whoever restores is somebody else on another server: owners, rights and remarks on extensions would fail there.
_DUMP = ("--format=custom", "--no-owner", "--no-privileges", "--no-comments", "--no-password")
_REPLACE = b"drop schema public cascade;\ncreate schema public;\ngrant usage on schema public to public;\n"
Feed = Callable[[IO[bytes]], None]
"""Writes a dump into a file object; blocks."""


async def read_dump(url: str, snapshot: str, programs: Programs) -> AsyncIterator[bytes]:
    """The database at one moment, in pg_dump's custom format. Raises BadBackup."""
    name, environment = connection(url)
    process = await asyncio.create_subprocess_exec(
        programs["pg_dump"], *_DUMP, f"--snapshot={snapshot}", f"--dbname={name}",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, limit=PIECE_BYTES,
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    errors = asyncio.create_task(process.stderr.read())
    try:
        while piece := await process.stdout.read(PIECE_BYTES):
            yield piece
        told = (await errors).decode(errors="replace").strip()
        if await process.wait():
            raise BadBackup(f"pg_dump failed: {told}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def feed_from(path: Path, name: str, identities: Identities | None) -> Feed:
    """Feeds the dump at `path`, called `name` to people, decrypted where identities are given."""

    def feed(target: IO[bytes]) -> None:
        with path.open("rb") as source:
            if identities is None:
                shutil.copyfileobj(source, target, PIECE_BYTES)
            else:
                decrypt(source, target, name, identities)

    return feed


def list_tables(feed: Feed, programs: Programs) -> list[str]:
    """The tables whose rows a dump holds, by its table of contents. Blocks. Raises BadBackup when it cannot be read."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [programs["pg_restore"], "--list"], stdin=subprocess.PIPE, stdout=output, stderr=errors
        )
        assert process.stdin
        _feed(feed, process)
        if process.wait():
            raise BadBackup(f"pg_restore cannot read the dump: {_told(errors)}")
        output.seek(0)
        lines = [line.split() for line in output.read().decode().splitlines()]
    # 3711; 0 16485 TABLE DATA public users strv
    return sorted(words[6] for words in lines if words[3:5] == ["TABLE", "DATA"])


def load(url: str, feed: Feed, programs: Programs, *, replace: bool, afterwards: str) -> None:
    """Restores a dump and runs `afterwards`, all in one transaction. Blocks. Raises BadBackup; then nothing has changed.

    `replace` drops everything that is there before.
    """
    name, environment = connection(url)
    with tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as errors:
        psql = subprocess.Popen(
            [programs["psql"], "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", f"--dbname={name}"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints, env=environment,
        )  # fmt: skip
        assert psql.stdin
        try:
            with suppress(BrokenPipeError):
                psql.stdin.write(b"begin;\nset local lock_timeout = '10s';\n" + (_REPLACE if replace else b""))
                psql.stdin.flush()
            restoring = subprocess.Popen(
                [programs["pg_restore"], "--no-owner", "--no-privileges", "--file=-"],
                stdin=subprocess.PIPE, stdout=psql.stdin, stderr=errors,
            )  # fmt: skip
            try:
                _feed(feed, restoring)
            finally:
                status = restoring.wait()
            # Only whoever has seen all of it may say commit: the end of a broken stream must not look like success.
            if status == 0:
                with suppress(BrokenPipeError):
                    psql.stdin.write(f"\nset search_path = public;\n{afterwards}\ncommit;\n".encode())
            with suppress(BrokenPipeError):
                psql.stdin.close()
            if psql.wait() or status:
                raise BadBackup(f"The database was not restored and is as it was: {_told(complaints) or _told(errors)}")
        finally:
            if psql.poll() is None:
                psql.kill()
                psql.wait()


def _feed(feed: Feed, process: subprocess.Popen[bytes]) -> None:
    """Feeds a process until it has had enough."""
    assert process.stdin
    with suppress(BrokenPipeError):
        try:
            feed(process.stdin)
        finally:
            process.stdin.close()


def _told(file: IO[bytes]) -> str:
    """The first lines of what a program complained about."""
    file.seek(0)
    lines = file.read(20_000).decode(errors="replace").strip().splitlines()
    return " / ".join(lines[:3])
