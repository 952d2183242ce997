"""`nginx -t` of every whole configuration that we ship, with paths and names of this machine in place of the server's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.nginx import SHIPPED, check_configuration, make_certificate

from strvsocial.local.ports import free_port
from strvsocial.settings import Settings


def _adapted(text: str, folder: Path) -> str:
    make_certificate(folder)
    changes = {
        r"/tmp/|/var/log/nginx/": lambda _: f"{folder}/",
        r"listen \d+": lambda _: f"listen 127.0.0.1:{free_port()}",
        r"\s+listen \[::\].*": lambda _: "",
        r"/\S+/fullchain\.pem": lambda _: str(folder / "certificate.pem"),
        r"/\S+/privkey\.pem": lambda _: str(folder / "key.pem"),
        r"/dev/stdout": lambda _: f"{folder}/access.log",
        # Of a newer nginx than a distribution may have; and nobody is called web here.
        r"web:8000 resolve": lambda _: "127.0.0.1:8000",
    }
    for pattern, change in changes.items():
        text = re.sub(pattern, change, text)
    return text


def _prepare(folder: Path, name: str) -> str:
    """Copies what we ship into a folder, adapted, and returns the text of one file."""
    (folder / "strv").mkdir()
    for path in (SHIPPED / "strv").iterdir():
        (folder / "strv" / path.name).write_text(_adapted(path.read_text(), folder))
    return _adapted((SHIPPED / name).read_text(), folder)


@pytest.mark.parametrize("name", ["compose.conf", "compose-tls.conf"])
def test_the_containers_configuration_is_valid(tmp_path: Path, name: str) -> None:
    (tmp_path / "nginx.conf").write_text(_prepare(tmp_path, name))
    told = check_configuration(tmp_path)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("media", ["files", "bucket"])
def test_the_plain_servers_configuration_is_valid(tmp_path: Path, media: str) -> None:
    site = _prepare(tmp_path, "server.conf")
    if media == "bucket":
        site = re.sub(r"# (resolver|set|include)", r"\1", site)
    main = f"pid {tmp_path}/nginx.pid;\nevents {{}}\nhttp {{\n{site}\n}}\n"
    (tmp_path / "nginx.conf").write_text(main)
    told = check_configuration(tmp_path)
    assert told.returncode == 0, told.stderr
    assert "[warn]" not in told.stderr.replace('the "user" directive', "")


def test_every_snippet_is_included_somewhere() -> None:
    texts = [path.read_text() for path in SHIPPED.rglob("*.conf")]
    included = set(re.findall(r"include strv/([\w-]+\.conf);", "\n".join(texts)))
    assert included == {path.name for path in (SHIPPED / "strv").iterdir()}


def test_nginx_lets_the_largest_film_through() -> None:
    [limit] = re.findall(r"client_max_body_size (\d+)m;", (SHIPPED / "strv" / "upload.conf").read_text())
    largest = int(limit) * 1024**2
    assert (
        Settings.model_fields["max_video_bytes"].default
        < largest
        < 1.2 * Settings.model_fields["max_video_bytes"].default
    )
