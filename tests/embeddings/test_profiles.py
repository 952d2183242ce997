"""Profiles: read from names and folders, decided once, fetched with checks."""

from __future__ import annotations

import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strvsocial.db import Database
from strvsocial.embeddings.downloads import Download, fetch, hub_downloads
from strvsocial.embeddings.profiles import HUB, PACKAGED, read_profile, sha256_of
from strvsocial.embeddings.spaces import SpacesDiffer, active_spaces, decide_profile, ensure_spaces, mismatch
from strvsocial.embeddings.weights import WeightsMissing, locate
from strvsocial.errors import BadInput

MODEL = bytes(range(256)) * 5000


def test_names_and_folders_are_profiles(tiny_folder: Path) -> None:
    assert read_profile("packaged") is PACKAGED
    assert read_profile("hub") is HUB
    tiny = read_profile(str(tiny_folder))
    assert (tiny.text.dim, tiny.look.dim, tiny.look.architecture) == (32, 512, "resnet18")
    assert tiny.speech == PACKAGED.speech
    assert sha256_of(tiny_folder / "text" / "model.safetensors").startswith(tiny.text.revision)


@pytest.mark.parametrize("name", ["huggingface", "models", "/no/such/folder", ""])
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="STRV_MODELS"):
        read_profile(name)


def test_other_weights_are_another_revision(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    with (copy / "look" / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert read_profile(str(copy)).look.revision != read_profile(str(tiny_folder)).look.revision
    (copy / "look" / "config.json").write_text('{"architecture": "vgg"}')
    with pytest.raises(BadInput, match="architecture"):
        read_profile(str(copy))


def test_the_hub_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"text weights are missing.*strvsocial models fetch"):
        locate(HUB, tmp_path)
    downloads = hub_downloads(tmp_path)
    pinned = {download.path.name for download in downloads if download.sha256}
    assert pinned == {"model.safetensors", "resnet18-f37072fd.pth", "model.bin"}
    assert all("/resolve/main/" not in download.url for download in downloads)


async def test_the_profile_is_decided_once(database: Database, clean: None) -> None:
    async with database.transaction() as db:
        assert (await decide_profile(db, "packaged")).profile == "packaged"
    async with database.transaction() as db:
        assert (await decide_profile(db, "hub")).profile == "packaged"
    assert mismatch("packaged", "packaged") is None
    assert "strvsocial models switch hub" in str(mismatch("hub", "packaged"))


async def test_spaces_are_made_once_and_never_mixed(database: Database, clean: None) -> None:
    async with database.transaction() as db:
        made = await ensure_spaces(db, PACKAGED)
    async with database.transaction() as db:
        assert await ensure_spaces(db, PACKAGED) == made
    assert {name: space.dim for name, space in made.items()} == {"text": 384, "look": 1280, "sound": 256}
    with pytest.raises(SpacesDiffer, match="strvsocial models switch hub"):
        async with database.transaction() as db:
            await ensure_spaces(db, HUB)
    async with database.read() as reader:
        assert {space.id for space in await active_spaces(reader)} == {space.id for space in made.values()}


@pytest.fixture
def mirror() -> Iterator[tuple[str, list[str]]]:
    """A server that gives MODEL, honours Range, and keeps the ranges that it was asked for."""
    ranges: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/missing":
                self.send_error(404)
                return
            wanted = self.headers.get("Range", "")
            ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start >= len(MODEL):
                self.send_error(416)
                return
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(MODEL) - start))
            self.end_headers()
            cut = self.path == "/cut"
            self.wfile.write(MODEL[start : start + 1000] if cut else MODEL[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", ranges
    server.shutdown()
    thread.join()


def test_a_download_goes_on_where_it_stopped(mirror: tuple[str, list[str]], tmp_path: Path) -> None:
    address, ranges = mirror
    path, sha256 = tmp_path / "text" / "model.safetensors", hashlib.sha256(MODEL).hexdigest()
    with pytest.raises(WeightsMissing, match=r"1000 of 1280000 bytes.*models fetch"):
        fetch([Download(f"{address}/cut", path, sha256)], lambda *_: None)
    assert not path.exists()
    seen: list[tuple[str, int, int]] = []
    fetch([Download(f"{address}/model", path, sha256)], lambda *told: seen.append(told))
    assert path.read_bytes() == MODEL
    assert ranges == ["", "bytes=1000-"]
    assert seen[-1] == ("model.safetensors", len(MODEL), len(MODEL))
    fetch([Download(f"{address}/model", path, sha256)], lambda *_: None)
    assert len(ranges) == 2


def test_wrong_bytes_are_thrown_away(mirror: tuple[str, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with pytest.raises(WeightsMissing, match="thrown away"):
        fetch([Download(f"{mirror[0]}/model", path, "0" * 64)], lambda *_: None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WeightsMissing, match="404"):
        fetch([Download(f"{mirror[0]}/missing", path, None)], lambda *_: None)
