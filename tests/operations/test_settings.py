"""Settings: documented, shown with their secrets masked, misspelt ones named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strvsocial.operations.effective_settings import list_effective, unknown_names, variable
from strvsocial.settings import ROOT, Settings


def _documented() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_setting_is_documented() -> None:
    assert sorted(_documented()) == sorted(variable(field) for field in Settings.model_fields.values())


def test_the_documented_defaults_are_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in _documented():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STRV_DATA_DIR", str(tmp_path))
    defaults = Settings()
    monkeypatch.chdir(ROOT)
    for name, value in _documented().items():
        monkeypatch.setenv(name, value)
    documented = Settings()
    assert documented.model_dump(exclude={"data_dir"}) == defaults.model_dump(exclude={"data_dir"})
    assert documented.data_dir.resolve() == ROOT / ".data"


def test_every_setting_has_words_about_it() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    groups = "\n".join(lines).split("\n\n")[1:]
    assert all(group.startswith("# ") for group in groups)


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db.example:5433/site")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@cache.example/0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    found = {setting.name: setting for setting in list_effective(Settings())}
    assert "hunter2" not in repr(found)
    assert found["DATABASE_URL"].value == "postgresql://me:***@db.example:5433/site"
    assert found["REDIS_URL"].value == "redis://:***@cache.example/0"
    assert (found["AWS_SECRET_ACCESS_KEY"].value, found["AWS_SECRET_ACCESS_KEY"].source) == ("***", "environment")
    assert found["STRV_EMBED_BATCH"].source == "default"


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "DATABASE_URL").write_text("postgresql://me:hunter2@db.example/site\n")
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("hunter2\n")
    (tmp_path / "STRV_EMBED_BATCH").write_text("7")
    (tmp_path / "REDIS_URL").write_text("")
    monkeypatch.setenv("STRV_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("STRV_EMBED_BATCH", "9")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings = Settings()
    assert settings.database_url == "postgresql://me:hunter2@db.example/site"
    assert settings.aws_secret_access_key is not None
    assert settings.aws_secret_access_key.get_secret_value() == "hunter2"
    assert settings.embed_batch == 9
    found = {setting.name: setting.source for setting in list_effective(settings)}
    assert (found["DATABASE_URL"], found["STRV_EMBED_BATCH"]) == ("secrets", "environment")


def test_misspelt_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRV_MAX_IMAGE_BITES", "1")
    monkeypatch.setenv("STRV_TEST_ANYTHING", "1")
    assert unknown_names() == ["STRV_MAX_IMAGE_BITES"]


def _check(**changed: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **changed}
    command = [sys.executable, "-m", "strvsocial", "settings", "check", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_command_names_what_nothing_reads(settings: Settings) -> None:
    done = _check(STRV_PROT="9")
    assert done.returncode == 1
    assert json.loads(done.stdout)["unknown"] == ["STRV_PROT"]


def test_the_command_names_every_bad_value() -> None:
    done = _check(PORT="often", STRV_EMBED_BATCH="many")
    assert done.returncode == 2
    assert {problem["name"] for problem in json.loads(done.stdout)["bad"]} == {"PORT", "STRV_EMBED_BATCH"}


def test_the_console_answers_for_every_feature(settings: Settings) -> None:
    from strvsocial.cli import COMMANDS

    help_env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "COLUMNS": "200"}
    for arguments in ([], *([name] for name in COMMANDS)):
        done = subprocess.run(
            [sys.executable, "-m", "strvsocial", *arguments, "--help"],
            capture_output=True,
            text=True,
            check=False,
            env=help_env,
        )
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout
        assert "\x1b[" not in done.stdout


def test_help_imports_no_feature() -> None:
    code = "import sys, strvsocial.cli; print([m for m in ('sqlalchemy', 'numpy', 'faiss', 'pydantic') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.stdout.strip() == "[]"
