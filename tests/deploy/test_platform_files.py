"""What a buildpack host such as Dokku reads in the root of the clone, and that it starts what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from scripts.requirements import EXTRAS, render
from tests.front_door import environment_of, wait_until_alive

from strvsocial.local.ports import free_port
from strvsocial.local.procfile import read_procfile
from strvsocial.settings import ROOT, Settings

PROGRAMS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
HEALTH_KEYS = {
    "attempts", "command", "content", "description", "httpHeaders", "initialDelay", "listening", "name", "onFailure", "path",
    "port", "scheme", "timeout", "type", "uptime", "wait", "warn",
}  # fmt: skip


def _app_json() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "app.json").read_text())
    return found


def test_each_line_of_the_procfile_is_a_process_whose_program_is_here() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z]+: \S.*", line) for line in lines)
    assert [line.split(":")[0] for line in lines] == ["release", "web", "worker", "embedder"]
    for command in read_procfile(ROOT / "Procfile").values():
        words = [word for word in command.split() if word != "env" and "=" not in word]
        assert shutil.which(words[0], path=PROGRAMS), command


def test_one_web_process_listens_on_its_port_whatever_the_platform_sets(settings: Settings) -> None:
    """Buildpacks set WEB_CONCURRENCY by the machine's size; each web process holds an index, so operators scale instead."""
    port = free_port()
    env = {**environment_of(settings), "PATH": PROGRAMS, "PORT": str(port), "WEB_CONCURRENCY": "3"}
    command = read_procfile(ROOT / "Procfile")["web"]
    process = subprocess.Popen(["/bin/sh", "-c", command], cwd=ROOT, env=env, start_new_session=True)
    try:
        wait_until_alive(f"http://127.0.0.1:{port}/livez", process)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert sum("python" in Path(member.exe()).name for member in family) == 1
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def test_buildpacks_are_pinned_and_find_what_they_need() -> None:
    lines = (ROOT / ".buildpacks").read_text().splitlines()
    found = [re.fullmatch(r"https://github\.com/(\S+)\.git#(v\d+|[0-9a-f]{40})", line) for line in lines]
    assert [match and match.group(1).rpartition("-")[2] for match in found] == ["nodejs", "preview", "python"]

    package = json.loads((ROOT / "package.json").read_text())
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"][""]
    assert package["scripts"]["build"] == "node build.mjs"
    assert re.fullmatch(r">=18 <\d+", package["engines"]["node"])
    for part in ("engines", "dependencies", "devDependencies"):
        assert lock[part] == package[part], f"{part}: run npm install --package-lock-only"

    python = (ROOT / ".python-version").read_text().strip()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python in SpecifierSet(project["requires-python"])


def test_requirements_are_in_step_and_pin_everything() -> None:
    text = (ROOT / "requirements.txt").read_text()
    project, constraints = (ROOT / "pyproject.toml").read_text(), (ROOT / "constraints.txt").read_text()
    assert text == render(project, constraints), "run: python scripts/requirements.py"
    pinned = [Requirement(line) for line in text.splitlines() if line and line[0] not in "#-"]
    described = tomllib.loads(project)["project"]
    extras = [line for extra in EXTRAS for line in described["optional-dependencies"][extra]]
    wanted = [*described["dependencies"], *extras]
    assert {Requirement(line).name.replace("_", "-") for line in wanted} == {
        pin.name.replace("_", "-") for pin in pinned
    }
    for line in map(Requirement, wanted):
        assert all(next(iter(pin.specifier)).version in line.specifier for pin in pinned if pin.name == line.name), (
            f"{line} does not allow its pin"
        )


def test_a_package_without_a_pin_is_told() -> None:
    extras = "".join(f"{extra} = []\n" for extra in EXTRAS)
    project = f'[project]\ndependencies = ["new-thing"]\n[project.optional-dependencies]\n{extras}'
    with pytest.raises(KeyError, match="new-thing"):
        render(project, "other==1\n")


async def test_health_checks_ask_what_there_is(client: httpx.AsyncClient) -> None:
    checks = _app_json()["healthchecks"]
    assert set(checks) == set(read_procfile(ROOT / "Procfile")) - {"release"}
    for check in (check for listed in checks.values() for check in listed):
        assert set(check) <= HEALTH_KEYS
        assert check["type"] in {"startup", "readiness", "liveness"}
        assert ("path" in check) != ("uptime" in check)
        if "path" in check:
            assert (await client.get(check["path"])).status_code == 200, check["path"]
    assert [check["type"] for check in checks["web"]] == ["startup", "readiness", "liveness"]


def test_app_json_leaves_scaling_to_operators_and_migrations_to_the_release() -> None:
    described = _app_json()
    assert "formation" not in described, "with it, Dokku refuses ps:scale"
    scripts = json.dumps(described["scripts"])
    assert "alembic" not in scripts
    assert "strvsocial doctor || true" in scripts
