"""What people may be called, and which names are one."""

from __future__ import annotations

import pytest

from strvsocial.errors import BadInput
from strvsocial.users.names import clean_line, clean_text, clean_username, username_key, username_skeleton


@pytest.mark.parametrize(
    "name", ["ann", "Ann_1", "_ann_", "a.b-c", "Zoë", "Łukasz", "наталья", "山田太郎", "さくらカナ", "김철수", "x" * 30]
)
def test_decent_names(name: str) -> None:
    assert clean_username(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    [
        "", "ab", "x" * 31, "x" * 100_000, "a b c", "a/b/c", "a@b", "<b>", ".ann", "ann.", "-ann", "a..b", "___",
        "admin", "ADMIN", "r00t", "аdmin", "Support", "livez",
        "pаypal", "ann\u202e", "ann\u200bx", "an\u200dn", "a\0nn", "ann\u2066", "😀😀😀", "ann\u0301\u0301\u0301", "a\u00adnn",
    ],
)  # fmt: skip
def test_names_that_will_not_do(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        clean_username(name)
    assert set(caught.value.fields or {}) == {"username"}


@pytest.mark.parametrize(("one", "other"), [("Ann", "ann"), ("ＡＮＮ", "ann"), ("STRASSE", "straße")])
def test_case_does_not_make_a_name(one: str, other: str) -> None:
    assert username_key(one) == username_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "a1ice"),
        ("alice", "aIice"),
        ("coco", "сосо"),
        ("modern", "rnodern"),
        ("bob", "b0b"),
        ("Alice", "alice"),
    ],
)
def test_lookalikes_are_one(one: str, other: str) -> None:
    assert username_skeleton(one) == username_skeleton(other)


def test_different_names_stay_different() -> None:
    names = [f"user{n}" for n in range(2000)] + ["alice", "alicia", "bob", "rob", "zoe", "zoë", "mia", "nia"]
    assert len({username_skeleton(name) for name in names}) == len(names)


def test_free_text_keeps_emoji_and_refuses_disguise() -> None:
    assert clean_line("  Ann \n 👩‍💻  B ", max_length=80, field="display_name") == "Ann 👩‍💻 B"
    assert clean_text("a\r\nb\r", max_length=80, field="bio") == "a\nb"
    for bad in ("x\u202ey", "a\u200bb", "a\0b", "y" * 81, "z" * 100_000):
        with pytest.raises(BadInput) as caught:
            clean_line(bad, max_length=80, field="display_name")
        assert "display_name" in (caught.value.fields or {})
