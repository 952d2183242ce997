"""What a person may be called: one script, no disguise, nobody else's look-alike.

Names are compared case-folded (NFKC) and by their skeleton, after Unicode's UTS 39: letters that look alike are one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from strvsocial.errors import BadInput

MIN_LENGTH, MAX_LENGTH = 3, 30
_PUNCTUATION = frozenset("_.-")
_LETTERS = frozenset({"Lu", "Ll", "Lo", "Lm", "Mn", "Mc"})
# Japanese and Korean are each written in several scripts at once.
_TOGETHER = ({"HAN", "HIRAGANA", "KATAKANA"}, {"HAN", "HANGUL"})

# fmt: off
RESERVED = frozenset({
    "about", "abuse", "account", "accounts", "admin", "administrator", "anonymous", "api", "assets", "auth", "billing",
    "ceo", "community", "contact", "copyright", "create", "dashboard", "deleted", "developers", "dmca", "docs",
    "everyone", "events", "explore", "faq", "favicon.ico", "feed", "feeds", "followers", "following", "for-you",
    "guidelines", "help", "helpdesk", "hostmaster", "imprint", "info", "legal", "livez", "localhost", "login",
    "logout", "mailer-daemon", "media", "metrics", "mod", "moderation", "moderator", "moderators", "nobody", "noreply",
    "no-reply", "notifications", "null", "oauth", "official", "operator", "owner", "password", "payments", "policies",
    "policy", "post", "postmaster", "posts", "press", "privacy", "readyz", "register", "reports", "robots.txt", "root",
    "saved", "schema", "search", "security", "service", "settings", "signin", "signout", "signup", "site", "sitemap",
    "staff", "static", "status", "strv", "strvsocial", "strv.social", "strv-social", "strv_social", "suggestions",
    "superuser", "support", "sysadmin", "system", "tags", "team", "terms", "themes", "tokens", "undefined", "unknown",
    "uploads", "users", "verified", "verify", "webmaster", "welcome", "www", "you",
})
# fmt: on
"""Addresses of the site, offices, and words that would mislead."""

_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\U0001d173-\U0001d17a]"
)


def clean_username(username: str) -> str:
    """The name as it is kept: NFKC, without blanks around it.

    Raises:
        BadInput: it cannot be a name; `fields["username"]` says why.
    """
    name = unicodedata.normalize("NFKC", username.strip()) if len(username) <= 200 else username
    if problem := _problem(username, name):
        raise BadInput(fields={"username": problem})
    return name


def _problem(given: str, name: str) -> str | None:
    if not MIN_LENGTH <= len(name) <= MAX_LENGTH:
        return f"A name has {MIN_LENGTH} to {MAX_LENGTH} characters."
    if _INVISIBLE.search(given) or not all(_is_allowed(letter) for letter in name):
        return "Letters, digits, dots, dashes and underscores only, please."
    if not any(unicodedata.category(letter)[0] == "L" or letter.isdigit() for letter in name):
        return "A name needs a letter or a digit."
    if name[0] in ".-" or name[-1] in ".-" or ".." in name or unicodedata.category(name[0])[0] == "M":
        return "A name starts and ends with a letter, a digit or an underscore, and has no two dots in a row."
    if not _is_one_script(name):
        return "Letters of one alphabet only, please."
    if username_key(name) in RESERVED or username_skeleton(name) in _reserved_skeletons():
        return "This name is reserved. Please choose another."
    if len(username_key(name)) > 60 or len(username_skeleton(name)) > 120:
        return f"A name has {MIN_LENGTH} to {MAX_LENGTH} characters."
    return None


def _is_allowed(letter: str) -> bool:
    if letter.isascii():
        return letter.isalnum() or letter in _PUNCTUATION
    return unicodedata.category(letter) in _LETTERS and _script(letter) not in ("INHERITED", "UNKNOWN")


def _is_one_script(name: str) -> bool:
    scripts = {_script(letter) for letter in name} - {"COMMON"}
    return len(scripts) <= 1 or any(scripts <= together for together in _TOGETHER)


def _script(letter: str) -> str:
    from confusable_homoglyphs import categories  # Its tables take 3 MB, needed only when somebody chooses a name.

    return str(categories.alias(letter))


def username_key(username: str) -> str:
    """What makes a name unique regardless of case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())


def username_skeleton(username: str) -> str:
    """What makes a name unique regardless of look-alike letters (UTS 39, section 4, then case-folded)."""
    classes = _lookalikes()
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", username))
    return unicodedata.normalize("NFD", "".join(classes.get(letter, letter) for letter in plain).casefold())


@lru_cache(maxsize=1)
def _reserved_skeletons() -> frozenset[str]:
    return frozenset(username_skeleton(name) for name in RESERVED)


@lru_cache(maxsize=1)
def _lookalikes() -> dict[str, str]:
    """Each letter that has look-alikes, and the one letter (or letters) that stand for all of them."""
    from confusable_homoglyphs.confusables import confusables_data

    leader: dict[str, str] = {}
    expansions: dict[str, str] = {}

    def find(letter: str) -> str:
        while (above := leader.setdefault(letter, letter)) != letter:
            leader[letter] = leader[above]
            letter = above
        return letter

    for source, targets in confusables_data.items():
        letter = source.strip("\u200e")
        if len(letter) != 1:
            continue
        for target in (entry["c"].strip("\u200e") for entry in targets):
            if len(target) == 1:
                low, high = sorted((find(letter), find(target)), key=_seniority)
                leader[high] = low
            elif target and len(targets) == 1:
                expansions[letter] = target
    found = {letter: find(letter) for letter in leader}
    return found | expansions


def _seniority(letter: str) -> tuple[bool, bool, str]:
    """ASCII letters stand for their look-alikes before ASCII digits do, and those before the rest."""
    return (not letter.isascii(), not letter.isalpha(), letter)


def clean_line(text: str, *, max_length: int, field: str) -> str:
    """One line of free text, such as a display name: NFC, blanks collapsed.

    Raises:
        BadInput: it is too long or holds invisible or direction-changing characters.
    """
    return _clean(re.sub(r"\s+", " ", text) if len(text) <= 4 * max_length else text, max_length, field)


def clean_text(text: str, *, max_length: int, field: str) -> str:
    """Free text of several lines, such as a bio; see `clean_line`."""
    return _clean(text.replace("\r\n", "\n").replace("\r", "\n"), max_length, field)


def _clean(text: str, max_length: int, field: str) -> str:
    text = text.strip()
    if len(text) > max_length:
        raise BadInput(fields={field: f"At most {max_length} characters, please."})
    # Zero-width joiners and variation selectors hold emoji together; only between other characters do they hide.
    if _INVISIBLE.search(_without_emoji_glue(text)):
        raise BadInput(fields={field: "This holds invisible or direction-changing characters. Please take them out."})
    return unicodedata.normalize("NFC", text)


def _without_emoji_glue(text: str) -> str:
    return re.sub("(?<=[\u2000-\u3300\U0001f000-\U0001faff\ufe0f])[\u200d\ufe0f]", "", text)
