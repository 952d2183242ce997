"""The pages for operators: they are all in the index, and what they lead to and name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from strvsocial.cli import app
from strvsocial.settings import ROOT, Settings

FOLDER = ROOT / "docs" / "operating"
PAGES = sorted(FOLDER.glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
OTHERS = {"STRV_COMPOSE_PORT", "STRV_COMPOSE_SUBNET", "STRV_COMPOSE_VERSION"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if not link.startswith(("https://", "http://")):
            path, _, heading = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            if heading:
                titles = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
                assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], link


def test_every_page_is_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    assert [page.name for page in PAGES if page.name != "README.md" and f"]({page.name}" not in index] == []


@pytest.mark.parametrize("name", ["README.md", "dokku.md", "plain-server.md"])
def test_named_settings_and_commands_are_there(name: str) -> None:
    text = (FOLDER / name).read_text()
    known = {str(declared.validation_alias) for declared in Settings.model_fields.values()} | OTHERS
    assert set(re.findall(r"\bSTRV_[A-Z0-9_]+", text)) <= known
    found = re.findall(r"(?:strvsocial|strv) ((?:user promote|doctor|settings check|backup|user)\b)", text)
    assert found
    for command in sorted(set(found)):
        assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0, command
