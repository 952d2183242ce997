"""Dockerfile and compose.yaml, as far as they can be held to account without an engine: by the tools that check them, and
by running what the images would run from exactly the files that they would have."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.front_door import environment_of, wait_until_alive

from strvsocial.local.ports import free_port
from strvsocial.local.procfile import read_procfile
from strvsocial.settings import ROOT, Settings

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROGRAMS = Path(sys.executable).parent
OURS = {"migrate", "web", "worker", "embedder", "tools", "nginx", "development-web", "development-worker"}
ONE_SHOT = {"secrets", "migrate"}
SECRETS = ROOT / "deploy" / "docker" / "make_secrets.py"


def compose(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("STRV_COMPOSE_")}
    command = [str(PROGRAMS / "docker-compose"), "--profile", "development", "--profile", "tools", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    told = compose("config", "--format", "json")
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)["services"]
    return found


def stages() -> dict[str, list[str]]:
    """The lines of each stage of the Dockerfile, continued ones joined, by name; and on what it stands."""
    found: dict[str, list[str]] = {}
    for line in DOCKERFILE.replace("\\\n", " ").splitlines():
        if match := re.match(r"FROM (\S+) AS (\S+)", line):
            found[match[2]] = [*found.get(match[1], []), line]
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


def test_compose_takes_its_file_as_it_is_in_a_fresh_clone(services: dict[str, Any]) -> None:
    assert {"secrets", "postgres", "valkey", "seaweedfs"} | OURS <= set(services)


@pytest.mark.parametrize("wrong", ["    restrat: always", "    depends_on: [nobody]"])
def test_compose_would_find_mistakes(tmp_path: Path, wrong: str) -> None:
    text = (ROOT / "compose.yaml").read_text()
    (tmp_path / "compose.yaml").write_text(
        text.replace("    image: postgres:18.6", f"    image: postgres:18.6\n{wrong}")
    )
    assert compose("config", "--quiet", cwd=tmp_path).returncode != 0


def test_the_tls_override_fits() -> None:
    told = compose("-f", "compose.yaml", "-f", "deploy/docker/tls.yaml", "config", "--format", "json")
    assert told.returncode == 0, told.stderr
    nginx = json.loads(told.stdout)["services"]["nginx"]
    assert {port["published"] for port in nginx["ports"]} == {"80", "443"}
    assert nginx["command"] == ["/etc/nginx/strv.d/compose-tls.conf"]


def test_hadolint_has_nothing_to_say() -> None:
    told = subprocess.run([PROGRAMS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_every_image_is_pinned_to_a_version(services: dict[str, Any]) -> None:
    pulled = [service["image"] for service in services.values() if "build" not in service]
    bases = [image for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) if image not in stages()]
    assert len(pulled) == 3
    for image in (*pulled, *bases):
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?(-[\w.]+)?", image), image


def test_whoever_goes_on_running_is_asked_how_it_is(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT or name in ("development-assets", "tools"):
            continue
        built = service.get("build", {}).get("target")
        assert ("test" in service.get("healthcheck", {})) or any(
            line.startswith("HEALTHCHECK") for line in stages().get(built, [])
        ), name
        for other, wish in service.get("depends_on", {}).items():
            once = other in ONE_SHOT
            expected = "service_completed_successfully" if once else "service_healthy"
            assert wish["condition"] == ("service_started" if other == "development-assets" else expected), (
                name,
                other,
            )


def test_our_containers_have_no_rights_to_lose(services: dict[str, Any]) -> None:
    for name in OURS:
        service = services[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        user = [line for line in stages()[service["build"]["target"]] if line.startswith("USER")]
        assert re.fullmatch(r"USER [1-9]\d+:[1-9]\d+", user[-1]), name
    published = {name for name, service in services.items() if service.get("ports")}
    assert published == {"nginx", "development-web"}
    inside = {name for name, service in services.items() if list(service.get("networks") or ()) == ["inside"]}
    assert {"postgres", "valkey", "seaweedfs", "worker", "embedder", "web"} <= inside


def test_no_model_library_is_in_the_web_image() -> None:
    installs = {name: [line for line in lines if "pip install" in line] for name, lines in stages().items()}
    assert not any("models" in line or "media" in line for line in installs["python"])
    assert "COPY --from=python /opt/venv /opt/venv" in stages()["web"]
    assert "[media,models,weights]" in installs["python-embedder"][-1]


def test_images_run_what_the_procfile_says() -> None:
    for name, line in read_procfile(ROOT / "Procfile").items():
        if name == "release":
            continue
        command = json.loads(next(found for found in stages()[name] if found.startswith("CMD")).removeprefix("CMD "))
        words = command[2].removeprefix("exec ").split() if command[0] == "sh" else command
        settings = [word for word in line.split() if re.match(r"[A-Z_]+=", word)]
        assert words == [word for word in line.split() if word != "env" and word not in settings], name
        environment = " ".join(found for found in stages()["site"] if found.startswith("ENV"))
        assert all(setting in environment for setting in settings), name


def test_what_is_copied_exists_and_is_let_in() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        word
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in let_in, path
    assert set(let_in) == set(copied)


def make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([sys.executable, SECRETS, folder], check=True, capture_output=True)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_made_once(tmp_path: Path, services: dict[str, Any]) -> None:
    made = make_secrets(tmp_path)
    assert make_secrets(tmp_path) == made
    for name in ("valkey.conf", "s3.json", "site/REDIS_URL"):  # As after a start that was cut off.
        (tmp_path / name).unlink()
    assert make_secrets(tmp_path) == made
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in tmp_path.rglob("*") if path.is_file())
    assert f":{made['postgres-password']}@postgres:5432/" in made["site/DATABASE_URL"]
    assert made["valkey-password"] in made["valkey.conf"]
    assert made["site/AWS_SECRET_ACCESS_KEY"] in made["s3.json"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/strv/postgres-password"
    assert services["web"]["environment"]["STRV_SECRETS_DIR"] == "/run/strv/site"


def test_nginx_asks_the_bucket_that_the_site_uses(services: dict[str, Any]) -> None:
    settings = services["web"]["environment"]
    site = (ROOT / "deploy" / "nginx" / "strv" / "container-site.conf").read_text()
    assert f"{settings['STRV_S3_ENDPOINT_URL']}/{settings['STRV_S3_BUCKET']};" in site
    assert (settings["STRV_MEDIA_ACCEL"], settings["PORT"]) == ("nginx", "8000")
    subnet = yaml.safe_load((ROOT / "compose.yaml").read_text())["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert subnet == yaml.safe_load((ROOT / "compose.yaml").read_text())["x-settings"]["STRV_TRUSTED_PROXIES"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/app as the site's stage makes it, but for the browser's files that Node builds."""
    folder = tmp_path_factory.mktemp("app")
    for line in stages()["site"]:
        if line.startswith("COPY") and "--from" not in line:
            *sources, target = line.split()[1:]
            for source in sources:
                goal = folder / (Path(target) / Path(source).name if target == "./" else target)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, goal)
    return folder


@pytest.fixture(scope="module")
def secret_settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a container: addresses with passwords are in files, not in it."""
    folder = tmp_path_factory.mktemp("secrets")
    environment = environment_of(settings)
    for name in ("DATABASE_URL", "REDIS_URL"):
        (folder / name).write_text(environment.pop(name))
    del environment["DATABASE_DIRECT_URL"]
    return {**environment, "STRV_SECRETS_DIR": str(folder), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}


def test_the_files_of_the_image_are_all_that_a_web_process_needs(image: Path, secret_settings: dict[str, str]) -> None:
    port = free_port()
    environment = {**secret_settings, "PYTHONPATH": str(image / "src"), "PORT": str(port), "HOST": "127.0.0.1"}
    migrated = subprocess.run(
        ["alembic", "upgrade", "head"], cwd=image, env=environment, capture_output=True, check=False
    )
    assert migrated.returncode == 0, migrated.stderr.decode()
    command = json.loads(next(line for line in stages()["web"] if line.startswith("CMD")).removeprefix("CMD "))
    process = subprocess.Popen(command, cwd=image, env=environment)
    try:
        wait_until_alive(f"http://127.0.0.1:{port}/explore", process)
        assert health(image, environment, "web") == 0
    finally:
        process.terminate()
        process.wait(20)
    assert health(image, environment, "web") == 1


def test_a_worker_is_well_while_it_says_so(image: Path, secret_settings: dict[str, str]) -> None:
    environment = {**secret_settings, "PYTHONPATH": str(image / "src")}
    private = {**environment, "REDIS_URL": _own_redis(secret_settings)}
    assert health(image, private, "worker") == 1
    process = subprocess.Popen([sys.executable, "-m", "strvsocial.worker", "worker"], cwd=image, env=private)
    try:
        for _ in range(40):
            if health(image, private, "worker") == 0:
                break
            assert process.poll() is None
        else:
            pytest.fail("the worker never said that it is well")
    finally:
        process.terminate()
        process.wait(20)


def _own_redis(environment: dict[str, str]) -> str:
    """Another database of the test's Redis, where no other worker reports."""
    address = (Path(environment["STRV_SECRETS_DIR"]) / "REDIS_URL").read_text()
    return f"{address.rsplit('/', 1)[0]}/9"


def health(image: Path, environment: dict[str, str], process: str) -> int:
    command = [sys.executable, "deploy/docker/health.py", process]
    return subprocess.run(command, cwd=image, env=environment, capture_output=True, check=False).returncode
