"""The templates keep to what a strict content security policy and htmx 4 allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import nodes

from strvsocial.settings import ROOT
from strvsocial.themes.catalogue import THEMES
from strvsocial.web.rendering import TEMPLATES, create_template_engine

FORBIDDEN = {
    "a style attribute": r"\sstyle\s*=",
    "an event attribute": r"<[^>]*\son[a-z]+\s*=",
    "an inline script": r"<script(?![^>]*\ssrc=)",
    "an inline style sheet": r"<style\b",
    "hx-on": r"\bhx-on",
    "a script in a value": r"[\"']\s*(js|javascript):",
    "a filter in hx-trigger": r"hx-trigger\s*=\s*\"[^\"]*\[",
    "something from elsewhere": r"(src|href)=\"https?://",
}
FILES = sorted(TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_nothing_forbidden(path: Path) -> None:
    text = path.read_text()
    found = [what for what, pattern in FORBIDDEN.items() if re.search(pattern, text, re.IGNORECASE)]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_templates_compile_and_name_templates_that_exist(path: Path) -> None:
    environment = create_template_engine(themes=THEMES).engine
    name = str(path.relative_to(TEMPLATES))
    environment.get_template(name)
    tree = environment.parse(path.read_text())
    for node in tree.find_all((nodes.FromImport, nodes.Include, nodes.Extends, nodes.Import)):
        named = getattr(node, "template", None)
        if isinstance(named, nodes.Const):
            assert (TEMPLATES / named.value).is_file()


def test_every_icon_that_is_used_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (ROOT / "static/icons/icons.svg").read_text()))
    used = {name for path in FILES for name in re.findall(r'\bicon\("([\w-]+)"', path.read_text())}
    scripts = "".join(path.read_text() for path in (ROOT / "static/js").rglob("*.js"))
    used |= set(re.findall(r"\bicon\('([\w-]+)'", scripts)) | {"image", "gif", "video", "audio", "text"}
    assert used <= drawn


def test_every_theme_has_its_tokens() -> None:
    css = "".join(path.read_text() for path in (ROOT / "static/css/themes").glob("*.css"))
    for theme in THEMES:
        assert theme.name == "system" or f"[data-theme='{theme.name}']" in css


PARTS = re.findall(r"'\./([\w-]+\.css)' layer\(parts\)", (ROOT / "static" / "css" / "style.css").read_text())
SHARED = {"more"}
"""A name that two sheets give to different things in different places on purpose."""


def test_each_class_belongs_to_one_sheet() -> None:
    """Class names are global: a part that takes the name of another one changes how that looks, everywhere."""
    owners: dict[str, set[str]] = {}
    for sheet in PARTS:
        text = re.sub(r"/\*.*?\*/", "", (ROOT / "static" / "css" / sheet).read_text(), flags=re.DOTALL)
        for selectors in re.findall(r"(?:^|[{}])\s*([^{}@]+)\{", text):
            for name in re.findall(r"(?:^|,)\s*\.([a-z][\w-]*)\s*(?=,|$)", selectors):
                owners.setdefault(name, set()).add(sheet)
    assert len(PARTS) > 10
    assert {name: sheets for name, sheets in owners.items() if len(sheets) > 1 and name not in SHARED} == {}


def test_what_a_post_says_does_not_look_like_its_transcript() -> None:
    for path in (ROOT / "templates" / "content" / "posts").glob("*.html"):
        used = {name for names in re.findall(r'class="([^"{]*)', path.read_text()) for name in names.split()}
        assert "said" not in used, path.name
