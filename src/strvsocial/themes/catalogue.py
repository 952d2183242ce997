"""The themes people can choose. A theme is a set of tokens in `static/css/themes/<name>.css`."""

from __future__ import annotations

from msgspec import Struct


class Theme(Struct, frozen=True):
    """`paper` and `accent` are sRGB colours for the swatch: SVG attributes cannot read another theme's tokens."""

    name: str
    title: str
    about: str
    paper: str
    paper_dark: str
    accent: str


THEMES = (
    Theme("system", "System", "Light by day, dark by night, as your device says", "#fcf9f8", "#110c0b", "#d3143a"),
    Theme("light", "Light", "Warm paper", "#fcf9f8", "#fcf9f8", "#d3143a"),
    Theme("dark", "Dark", "Warm black", "#110c0b", "#110c0b", "#ff6b6f"),
    Theme("sea", "Sea", "Cool paper, blue-green, follows your device", "#f5fafc", "#0a1013", "#04708a"),
    Theme("dusk", "Dusk", "Plum and amber, always dark", "#17101f", "#17101f", "#ffb066"),
    Theme(
        "contrast", "High contrast", "Black on white or white on black, strong lines", "#ffffff", "#000000", "#a3001f"
    ),
)

NAMES = frozenset(theme.name for theme in THEMES)
DEFAULT = "system"


def known(name: str | None) -> str:
    """`name` when it is a theme, else the default."""
    return name if name in NAMES else DEFAULT
