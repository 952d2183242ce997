"""Programs of the system for the tests: found, or asked for in words that help."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strvsocial.local import system_packages
from strvsocial.local.problems import LocalProblem
from strvsocial.local.system_packages import NGINX, SystemPackage, ensure_packages

NOBODY_HAS_IT = SystemPackage("Zeppelin", "zeppelind", ("zeppelin-that-nobody-has",), "STRV_TEST_ZEPPELIN", "Flying")


def _program(path: Path, exit_code: int) -> Path:
    path.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    path.chmod(0o755)
    return path


def test_a_server_outside_of_the_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path / "nginx", 0)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("STRV_TEST_NGINX", raising=False)
    monkeypatch.setattr(system_packages, "FOLDERS", (str(tmp_path),))
    assert NGINX.find() == tmp_path / "nginx"


def test_the_named_one_goes_first_if_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRV_TEST_NGINX", str(_program(tmp_path / "mine", 0)))
    assert NGINX.find() == tmp_path / "mine"
    _program(tmp_path / "mine", 1)
    assert NGINX.find() != tmp_path / "mine"


def test_what_may_not_be_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalProblem) as caught:
        ensure_packages([NOBODY_HAS_IT], tmp_path)
    assert "Flying needs Zeppelin" in caught.value.message
    assert "apt install zeppelind" in caught.value.hint
    assert "STRV_TEST_ZEPPELIN=" in caught.value.hint


def test_installing_starts_no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """apt-get is a stand-in that notes whether Debian's packages would have been allowed to start anything."""
    policy, noted = tmp_path / "policy-rc.d", tmp_path / "noted"
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\n{policy}; echo $1 $? >> {noted}\n")
    apt.chmod(0o755)
    monkeypatch.setattr(system_packages, "POLICY", policy)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(LocalProblem):
        ensure_packages([NOBODY_HAS_IT], tmp_path / "logs")
    assert noted.read_text().splitlines() == ["update 101", "install 101"]
    assert not policy.exists()
