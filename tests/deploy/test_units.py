"""The systemd units of a plain server: checked by systemd itself, in step with the Procfile, with room for the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from strvsocial.local.procfile import read_procfile
from strvsocial.local.system_packages import SYSTEMD
from strvsocial.settings import ROOT, Settings

UNITS = ROOT / "deploy" / "systemd"
SERVICES = {
    "web": "strvsocial-web@.service",
    "worker": "strvsocial-worker.service",
    "embedder": "strvsocial-embedder.service",
}
HOME = "/opt/strv"


def _read(name: str) -> dict[str, list[str]]:
    """Every value of each directive, in the file's order."""
    values: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a server whose clone is this one."""
    programs = str(Path(sys.executable).parent)
    for path in UNITS.iterdir():
        text = path.read_text().replace(f"{HOME}/.venv/bin", programs).replace(HOME, str(ROOT))
        (tmp_path / path.name.replace("@.", "@8000.")).write_text(text)
    return tmp_path


def _analyze(folder: Path, *arguments: str) -> str:
    # Nothing but these units: what else this machine has is not looked at.
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [SYSTEMD.get(), *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_every_unit(installed: Path) -> None:
    units = sorted(f"./{path.name}" for path in installed.iterdir())
    assert len(units) == 4
    told = _analyze(installed, "verify", "--man=no", *units)
    assert [line for line in told.splitlines() if str(installed) in line] == []


@pytest.mark.parametrize(("name", "most"), [("web", 20), ("embedder", 20), ("worker", 35)])
def test_processes_are_walled_in(installed: Path, name: str, most: int) -> None:
    """systemd's own measure of what a process could do to the machine, in tenths: the worker needs more than the others."""
    unit = SERVICES[name].replace("@.", "@8000.")
    _analyze(installed, "security", "--offline=true", f"--threshold={most}", f"./{unit}")


@pytest.mark.parametrize("name", SERVICES)
def test_units_run_what_the_procfile_runs(name: str) -> None:
    words = read_procfile(ROOT / "Procfile")[name].split()
    wanted = [word for word in words if word != "env" and not re.match(r"[A-Z_]+=", word)]
    for option, value in (("--host", "127.0.0.1"), ("--port", "%i")):
        if option in wanted:
            wanted[wanted.index(option) + 1] = value
    unit = _read(SERVICES[name])
    assert unit["ExecStart"] == [f"{HOME}/.venv/bin/{' '.join(wanted)}"]
    said = " ".join(unit["Environment"]).split()
    assert {word for word in words if re.match(r"[A-Z_]+=", word)} <= set(said)
    settings = {str(declared.validation_alias) for declared in Settings.model_fields.values()}
    assert {word.split("=")[0] for word in said if word.startswith("STRV_")} <= settings
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert 10 < int(unit["TimeoutStopSec"][0]) < 90


def test_web_processes_migrate_first() -> None:
    release = read_procfile(ROOT / "Procfile")["release"]
    assert _read(SERVICES["web"])["ExecStartPre"] == [f"{HOME}/.venv/bin/{release}"]


def test_the_target_wants_every_process_and_stops_it() -> None:
    wanted = _read("strvsocial.target")["Wants"][0].split()
    assert {re.sub(r"@\d+", "@", unit) for unit in wanted} == set(SERVICES.values())
    ports = [port for unit in wanted for port in re.findall(r"-web@(\d+)", unit)]
    nginx = (ROOT / "deploy" / "nginx" / "server.conf").read_text()
    assert ports == re.findall(r"^ +server 127\.0\.0\.1:(\d+);", nginx, re.M)
    assert len(ports) == 2, "one answers while the other one restarts"
    assert all(_read(unit)["PartOf"] == ["strvsocial.target"] for unit in SERVICES.values())


def test_the_worker_leaves_room_for_its_sandbox() -> None:
    """Each of these would take a wall away: bubblewrap could not start, or Landlock would not be there."""
    unit = _read(SERVICES["worker"])
    for covering in ("RestrictNamespaces", "ProtectKernelTunables", "ProtectKernelLogs", "ProcSubset"):
        assert covering not in unit
    assert "AF_NETLINK" in unit["RestrictAddressFamilies"][0]
    allowed = unit["SystemCallFilter"]
    assert len(allowed) == 1
    assert {"@mount", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= set(
        allowed[0].split()
    )


def test_the_embedder_may_compile() -> None:
    assert "MemoryDenyWriteExecute" not in _read(SERVICES["embedder"])
    assert all(_read(SERVICES[name])["MemoryDenyWriteExecute"] == ["yes"] for name in ("web", "worker"))
