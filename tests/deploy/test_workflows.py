"""What the repository's host runs: the tests on every Python that we name, and the deployment to Dokku."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from strvsocial.local.system_packages import CHROMIUM, FOR_TESTS
from strvsocial.settings import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
DEPLOY = ROOT / "scripts" / "deploy_to_dokku.sh"
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def _read(name: str) -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else str(key): value for key, value in found.items()}


def test_workflows_keep_to_the_schema() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, WORKFLOWS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in WORKFLOWS] == ["deploy.yaml", "test.yaml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_trust_nothing_they_need_not(path: Path) -> None:
    workflow = _read(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            # Words from outside that stand in a script are a script.
            assert "${{" not in step.get("run", "")
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_tests_run_on_each_python_with_what_they_drive() -> None:
    job = _read("test.yaml")["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert (ROOT / ".python-version").read_text().strip() in job["strategy"]["matrix"]["python"]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs[-1] == "bash .ci/run"
    installed = set(runs[0].split())
    assert {package.debian for package in FOR_TESTS if package is not CHROMIUM} <= installed


def test_only_tested_pushes_to_main_are_deployed() -> None:
    workflow = _read("deploy.yaml")
    assert workflow["on"]["workflow_run"] == {"workflows": ["test"], "types": ["completed"], "branches": ["main"]}
    assert "workflow_dispatch" in workflow["on"]
    job = workflow["jobs"]["dokku"]
    assert "github.event.workflow_run.conclusion == 'success'" in job["if"]
    assert "github.event.workflow_run.event == 'push'" in job["if"]
    checkout = next(step for step in job["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"]["ref"] == "${{ github.event.workflow_run.head_sha || github.sha }}"
    assert checkout["with"]["fetch-depth"] == 0
    key = [step for step in job["steps"] if "DOKKU_PRIVATE_KEY" in step.get("env", {})]
    assert [step["run"] for step in key] == ["bash scripts/deploy_to_dokku.sh"]
    assert job["env"]["DOKKU_REMOTE_URL"] == "${{ secrets.DOKKU_REMOTE_URL }}"


SSH = """#!/bin/sh
# Stands in for the network: notes how it was called, then runs what the other side would.
while [ $# -gt 1 ]; do
  case $1 in
    -i) stat -c %a "$2" > "$NOTES/key-mode"; cp "$2" "$NOTES/key"; shift ;;
    -p) echo "$2" > "$NOTES/port"; shift ;;
    -o) echo "$2" >> "$NOTES/options"; case $2 in UserKnownHostsFile=*) cp "${2#*=}" "$NOTES/known_hosts" ;; esac; shift ;;
    dokku@*) echo "$1" > "$NOTES/host" ;;
  esac
  shift
done
cd "$NOTES" && eval "$1"
"""
KEYSCAN = '#!/bin/sh\necho "$@" > "$NOTES/scanned"\necho "scanned.example ssh-ed25519 AAAA"\n'


class Deployment:
    """A clone with one commit, and an app on the far side of a stand-in for ssh."""

    def __init__(self, folder: Path) -> None:
        self.notes, self.clone = folder / "notes", folder / "clone"
        programs = folder / "programs"
        for path in (self.notes, self.clone, programs):
            path.mkdir()
        for name, text in (("ssh", SSH), ("ssh-keyscan", KEYSCAN)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "NOTES": str(self.notes), "TMPDIR": str(folder),
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org", "DOKKU_PRIVATE_KEY": "secret\nkey",
        }  # fmt: skip
        self.git("init", "-q", str(self.notes / "strv"), "--bare")
        self.git("init", "-q", "-b", "work", ".")
        self.commit("one")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.clone, env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, words: str) -> str:
        self.git("commit", "-q", "--allow-empty", "-m", words)
        return self.git("rev-parse", "HEAD")

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(DEPLOY)], cwd=self.clone, env={**self.env, **env}, capture_output=True, text=True, check=False
        )

    def deployed(self) -> str:
        return self.git("--git-dir", str(self.notes / "strv"), "rev-parse", "main")

    def note(self, name: str) -> str:
        return (self.notes / name).read_text()


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_a_commit_reaches_the_app(deployment: Deployment, tmp_path: Path) -> None:
    told = deployment.run(
        DOKKU_REMOTE_URL="dokku@social.example:strv", DOKKU_KNOWN_HOSTS="social.example ssh-ed25519 AAAA"
    )
    assert told.returncode == 0, told.stderr
    assert deployment.deployed() == deployment.git("rev-parse", "HEAD")
    assert deployment.note("host").strip() == "dokku@social.example"
    assert (deployment.note("key"), deployment.note("key-mode").strip()) == ("secret\nkey\n", "600")
    assert deployment.note("known_hosts") == "social.example ssh-ed25519 AAAA\n"
    assert "StrictHostKeyChecking=yes" in deployment.note("options")
    assert not (deployment.notes / "scanned").exists()
    assert not list(tmp_path.glob("tmp.*")), "the key was left behind"
    assert "secret" not in told.stdout + told.stderr


def test_a_host_that_is_not_known_is_asked_for_its_key(deployment: Deployment) -> None:
    told = deployment.run(DOKKU_REMOTE_URL=f"ssh://dokku@social.example:2222{deployment.notes}/strv")
    assert told.returncode == 0, told.stderr
    assert deployment.note("scanned").split() == ["-T", "20", "-p", "2222", "social.example"]
    assert deployment.note("port").strip() == "2222"
    assert deployment.note("known_hosts") == "scanned.example ssh-ed25519 AAAA\n"


def test_what_is_behind_is_deployed_by_force_alone(deployment: Deployment) -> None:
    first = deployment.git("rev-parse", "HEAD")
    deployment.commit("two")
    url = {"DOKKU_REMOTE_URL": "dokku@social.example:strv"}
    assert deployment.run(**url).returncode == 0
    deployment.git("checkout", "-q", first)
    assert deployment.run(**url).returncode != 0
    assert deployment.run(**url, FORCE="--force").returncode == 0
    assert deployment.deployed() == first


@pytest.mark.parametrize("url", ["", "https://social.example/strv", "social.example"])
def test_an_address_that_is_none_is_told(deployment: Deployment, url: str) -> None:
    told = deployment.run(DOKKU_REMOTE_URL=url)
    assert told.returncode != 0
    assert "DOKKU_REMOTE_URL" in told.stderr
