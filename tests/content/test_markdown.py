"""Markdown of posts: what it makes, and what it never lets through."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strvsocial.content.markdown import MAX_TEXT, plain_text, render_markdown

ALLOWED = {"p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"}


class Elements(HTMLParser):
    """What a browser would make of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    for tag, attributes in Elements(html).found:
        assert tag in ALLOWED
        assert set(attributes) <= ({"href", "rel"} if tag == "a" else {"start"} if tag == "ol" else set())
        if tag == "a":
            assert attributes["rel"] == "nofollow noopener ugc"
            href = (attributes.get("href") or "").lower()
            scheme = href.split(":", 1)[0] if ":" in href.split("/", 1)[0] else ""
            assert scheme in {"", "http", "https", "mailto"}


def test_the_usual_marks() -> None:
    html = render_markdown("Hello **you**, *look* ~~there~~:\n\n> a `quote`\n\n- one\n- two\n\nline\nbreak")
    for piece in ("<strong>you</strong>", "<em>look</em>", "<s>there</s>", "<blockquote>", "<code>quote</code>"):
        assert piece in html
    assert html.count("<li>") == 2
    assert "line<br>" in html


def test_words_become_links() -> None:
    html = render_markdown("@Alice_1 and a@b.example, #Träume2 but #1 and `@code #code` https://example.com/a_(b).")
    assert '<a href="/u/Alice_1"' in html
    assert '<a href="/t/tr%C3%A4ume2"' in html
    assert '<a href="https://example.com/a_(b)"' in html
    assert html.count("<a ") == 3


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&colon;alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](https://example.com/x.png)",
        '<a hx-get="/x" hx-trigger="load">x</a>',
        '<div data-x="1" style="x" onclick="x">x</div>',
        '[x](https://example.com "title\' onmouseover=alert(1)")',
        "<https://example.com/\" onclick='x'>",
        "```js onclick=x\ncode\n```",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    ],
)
def test_attacks_come_out_harmless(text: str) -> None:
    assert_harmless(render_markdown(text))


PIECES = st.sampled_from(
    [
        "<script>",
        "javascript:",
        "onclick=",
        "hx-get=",
        "](",
        "[x]",
        "![",
        "<",
        ">",
        '"',
        "'",
        "`",
        "**",
        "_",
        "~~",
        "\n",
        "data:",
        "@name",
        "#tag",
        "https://a.b/",
        "&colon;",
        "&#x6A;",
        "\\",
        "> ",
        "- ",
        "1. ",
        "<a href=",
        "\t",
        "\x00",
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=60).map("".join))
@settings(max_examples=300, deadline=None)
def test_anything_comes_out_harmless(text: str) -> None:
    assert_harmless(render_markdown(text))


@pytest.mark.parametrize("piece", ["[", "*a ", "**a", "`", "> ", "[a](", "_*", "<", "@a", "#", "http://", "![", "a)"])
def test_the_longest_text_takes_no_time(piece: str) -> None:
    text = (piece * MAX_TEXT)[: MAX_TEXT * 4]
    started = time.process_time()
    render_markdown(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Two **gold**finches\n*there*", "Two goldfinches there"),
        ("- one\n- `two`\n\n> three", "one two three"),
        ('[a link](http://example.org/?a="b">c) and #tag', "a link and #tag"),
        ('1 < 2 && <b>"quoted"</b>', '1 < 2 && <b>"quoted"</b>'),
        ("***\n", ""),
    ],
)
def test_plain_text_has_the_words_and_no_marks(written: str, words: str) -> None:
    assert plain_text(render_markdown(written)) == words
