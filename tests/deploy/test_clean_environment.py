"""A machine without the model libraries: a fresh environment with what the web process and the worker ask for, no more.

Installing takes half a minute or so; it is the one test of what pyproject.toml says that our processes need.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from tests.front_door import PASSWORD, environment_of, wait_until_alive

from strvsocial.local.ports import free_port
from strvsocial.local.procfile import read_procfile
from strvsocial.operations.machine_checks import MODEL_LIBRARIES
from strvsocial.settings import ROOT, Settings

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the base dependencies and the extra `media`."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile", "--no-input"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "-c", "constraints.txt", "-e", ".[media]"],
        cwd=ROOT,
        env=_without_ours(dict(os.environ)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "bin"


def _without_ours(environment: dict[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    }


def _python(clean: Path, *arguments: str) -> str:
    return subprocess.run(
        [clean / "python", *arguments], env=_without_ours(dict(os.environ)), capture_output=True, text=True, check=True
    ).stdout


def test_nothing_in_it_is_unpinned_and_no_model_library(clean: Path) -> None:
    _python(clean, "-m", "pip", "check")
    pins = {_normalise(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    command = [
        "-m",
        "pip",
        "list",
        "--format=freeze",
        "--exclude-editable",
        "--exclude",
        "pip",
        "--exclude",
        "setuptools",
    ]
    installed = {_normalise(line) for line in _python(clean, *command).splitlines()}
    assert len(installed) > 50
    assert installed - pins == set()
    code = "import importlib.util, sys; print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    assert _python(clean, "-c", code, *MODEL_LIBRARIES, "sklearn", "onnxruntime").strip() == "[]"


def _normalise(pin: str) -> str:
    name, _, version = pin.partition("==")
    return re.sub(r"[-_.]+", "-", name.strip()).lower() + "==" + version.split(";")[0].strip()


@pytest.fixture(scope="module")
def address(clean: Path, settings: Settings) -> Iterator[str]:
    """A site whose web process and worker run from the clean environment, as the Procfile says."""
    port = free_port()
    env = _without_ours(environment_of(settings)) | {
        "PATH": f"{clean}:/usr/bin:/bin",
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    commands = read_procfile(ROOT / "Procfile")
    subprocess.run(["/bin/sh", "-c", commands["release"]], cwd=ROOT, env=env, check=True)
    running = [
        subprocess.Popen(["/bin/sh", "-c", f"exec {commands[name]}"], cwd=ROOT, env=env, start_new_session=True)
        for name in ("web", "worker")
    ]
    try:
        wait_until_alive(f"http://127.0.0.1:{port}/livez", running[0])
        yield f"http://127.0.0.1:{port}"
        assert [process.poll() for process in running] == [None, None]
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(20)


async def test_the_site_serves_without_models(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        assert (await client.get("/readyz")).status_code == 200
        login = {"email": "ada@example.org", "password": PASSWORD}
        assert (await client.post("/api/v1/accounts", json={"username": "ada", **login})).status_code == 201
        token = (await client.post("/api/v1/tokens", json=login)).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"

        text = await client.post("/api/v1/posts", data={"title": "Words alone"})
        assert text.status_code == 201
        picture = io.BytesIO()
        Image.radial_gradient("L").resize((640, 480)).save(picture, "PNG")
        files = {"file": ("circle.png", picture.getvalue(), "image/png")}
        posted = await client.post("/api/v1/posts", data={"title": "A circle", "alt": "Light and dark"}, files=files)
        assert posted.status_code == 201

        async with asyncio.timeout(60):
            while (post := (await client.get(f"/api/v1/posts/{posted.json()['id']}")).json())["status"] == "processing":
                await asyncio.sleep(0.2)
        assert post["status"] == "ready"
        assert post["pending"] == ["embedding"], "it waits for a machine with models"
        [medium] = post["media"]
        sent = await client.get(medium["url"])
        assert (sent.status_code, sent.headers["content-type"]) == (200, medium["mime"])
        page = await client.get("/explore")
        assert page.status_code == 200
        assert "A circle" in page.text
        assert (await client.get("/search", params={"q": "circle"})).status_code == 200
        assert (await client.get(f"/api/v1/posts/{post['id']}/similar")).json()["items"] == []
