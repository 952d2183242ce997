"""Markdown of posts as safe HTML: emphasis, code, quotes, lists, links, @mentions and #tags; no images, no raw HTML.

Two walls: the parser never lets raw HTML through, and an allow-list cleans what it made. Text is capped at
`MAX_TEXT` characters and nesting at 20, so that the time stays proportional to the length.
"""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from strvsocial.content.tags import HASHTAG, normalise

MAX_TEXT = 5_000

_TAGS = {"p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
_ATTRIBUTES: dict[str, set[str]] = {"a": {"href"}, "ol": {"start"}, "*": set()}
_SCHEMES = {"http", "https", "mailto"}
_LINK = re.compile(
    r"(?P<url>https?://[^\s<>\"'`|\\^{}\[\]]{1,1500})"
    r"|(?<![\w@/.])@(?P<name>\w(?:[\w.-]{0,28}\w)?)(?![\w@])"
    rf"|{HASHTAG.pattern}"
)
_TAIL = ".,:;!?…"
_ELEMENT = re.compile(r"""</?(?P<name>\w+)(?:"[^"]*"|[^">])*>""")
_WITHIN_WORDS = {"a", "code", "em", "s", "strong"}


def render_markdown(text: str) -> str:
    """Safe HTML of at most `MAX_TEXT` characters of Markdown."""
    return nh3.clean(
        _PARSER.render(text[:MAX_TEXT]),
        tags=_TAGS,
        clean_content_tags={"script", "style"},
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="nofollow noopener ugc",
    )


def plain_text(html: str) -> str:
    """The words of what `render_markdown` made, in one line and without marks."""
    apart = _ELEMENT.sub(lambda found: "" if found["name"] in _WITHIN_WORDS else " ", html)
    return " ".join(unescape(apart).split())


def _link_words(state: StateCore) -> None:
    """Turns addresses, @mentions and #tags in plain text into links."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _linked(block.children)


def _linked(tokens: list[Token]) -> list[Token]:
    linked: list[Token] = []
    depth = 0
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type == "text" and depth == 0:
            linked += _split(token.content)
        else:
            linked.append(token)
    return linked


def _split(content: str) -> list[Token]:
    tokens: list[Token] = []
    end = 0
    for match in _LINK.finditer(content):
        word, href = _target(match)
        tokens += [_text(content[end : match.start()]), *_anchor(word, href)]
        end = match.start() + len(word)
    return [*tokens, _text(content[end:])]


def _target(match: re.Match[str]) -> tuple[str, str]:
    if name := match["name"]:
        return match[0], f"/u/{quote(name)}"
    if tag := match["tag"]:
        return match[0], f"/t/{quote(normalise(tag))}"
    url = match["url"].rstrip(_TAIL)
    while url.endswith(")") and url.count("(") < url.count(")"):
        url = url[:-1].rstrip(_TAIL)
    return url, url


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _anchor(word: str, href: str) -> list[Token]:
    return [Token("link_open", "a", 1, attrs={"href": href}), _text(word), Token("link_close", "a", -1)]


_PARSER = (
    MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20})
    .enable("strikethrough")
    .disable(["html_block", "html_inline", "image", "heading", "lheading", "reference"])
)
_PARSER.core.ruler.push("link_words", _link_words)
