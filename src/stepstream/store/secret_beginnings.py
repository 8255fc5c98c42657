r"""Where in a text that is still being written a secret may have begun.

A text that grows is shown up to a place behind which no rule can still be at work. Most secrets are single
words (keys, tokens, signatures), so a word that is not complete waits. What this module knows is the rest:
secrets in which a space, a comma or a line feed may stand, and what they begin with, such as ``password="``,
``Cookie:``, ``://`` and ``-----BEGIN``.

Knows texts and the rules of ``secret_rules`` and ``secret_names``, and errs to the side of waiting. Must not
know JSON, placeholders or who is shown what. Whether what has come to its end is a secret is not said here.

Every expression is linear, like the rules themselves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from stepstream.store.secret_names import NAME_LENGTH_MAX, SecretNames, words_of
from stepstream.store.secret_rules import DEFAULT_RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.store.secret_rules import RedactionRules, SecretPattern

_BETWEEN_WORDS = "\"'`,;(){}[]<>|"
WORD_CHARACTERS = "".join(chr(code) for code in range(33, 127) if chr(code) not in _BETWEEN_WORDS)

_PLACEHOLDER = re.compile(r"\[redacted:[a-z0-9_-]{1,32}:[0-9a-f]{8}\]\Z")
_PLACEHOLDER_MAX = 60
_PLACEHOLDER_HEAD = "redacted:"

# Behind the header of a key, so much text without a key and without an end is no key.
_KEY_REACH = 4_096
# A pattern of a project's own may match anything; so much text waits for what follows it.
_OWN_REACH = 1_000

# Of a pattern's source: that it matches characters of words and nothing else.
_WITHIN_A_WORD = re.compile(
    r"""(?:
      [A-Za-z0-9_%=~@!:\#&/-] | \\[dbB.+*?$^/_-]      # a character, a digit, a boundary
    | \[ (?!\^) (?:[A-Za-z0-9_%=~@!:\#&/.+*?$-] | \\[d.+_/-])+ \]
    | \( (?: \?: | \?P<\w+> | \?=| \?! | \?<= | \?<! | \?[ai]+(?=\)) )? | \) | \|
    | [?*+] | \{\d*,?\d*\}
    )+""",
    re.VERBOSE,
)


class Beginning(NamedTuple):
    """A place where a secret may begin, and the shape of what follows for as long as it is not complete."""

    at: int
    shape: re.Pattern[str]


class Beginnings:
    """Finds where secrets begin, by the rules of one redactor.

    Attributes:
        kind_of: Says which secret a name means, if it means one.
        reach: So many characters wait for what follows them, for the sake of a project's own patterns.
    """

    def __init__(self, rules: RedactionRules) -> None:
        """Prepare to look.

        Args:
            rules: What is taken for a secret.
        """
        self.kind_of = SecretNames(rules.names).kind_of
        last_words = {"cookie", *(words_of(name)[-1] for name in rules.names)}
        self._mentions = re.compile(
            r"(?P<key>-----BEGIN)|(?P<address>:(?:\\*/){2})|(?P<field>pwd=)|(?P<escape>\\u00[2-7])"
            rf"|(?P<name>{'|'.join(sorted(last_words))})",
            re.ASCII | re.IGNORECASE,
        )
        own = (pattern for pattern in rules.patterns if pattern not in DEFAULT_RULES.patterns)
        self.reach = 0 if all(map(_is_within_a_word, own)) else _OWN_REACH

    def find(self, text: str, start: int, end: int) -> Iterator[Beginning]:
        """Every place in a piece of a text where a secret may begin; the piece consists of whole words."""
        for mention in self._mentions.finditer(text, start, end):
            match mention.lastgroup:
                case "key":
                    yield Beginning(mention.start(), _KEY)
                case "escape":
                    yield Beginning(mention.start(), _LINE)
                case "address":
                    yield Beginning(mention.end(), _AUTHORITY)
                case "field":
                    yield Beginning(mention.end(), _FIELD)
                case _:
                    yield from self._named(text, mention)

    def _named(self, text: str, mention: re.Match[str]) -> Iterator[Beginning]:
        if mention[0].lower() == "cookie":
            yield Beginning(mention.end(), _COOKIE)
        end = _NAME_END.search(text, mention.end()).start()  # type: ignore[union-attr]  # it matches anywhere
        # The letter of an escaped line feed is none of the name's.
        before = _ESCAPE.sub("\n", text[max(0, mention.start() - NAME_LENGTH_MAX) : end])
        others = before.rstrip(_NAME_CHARACTERS)
        name = before[len(others) :]
        first_word = _FIRST_WORD.search(others)
        if self.kind_of(name) is None and (first_word is None or self.kind_of(first_word[0] + name) is None):
            return
        yield Beginning(end, _GIVEN)
        if before.removesuffix(name.lstrip(_NO_FIRST_CHARACTERS)).endswith("-"):
            yield Beginning(end, _BEHIND_FLAG)
        if others.endswith("<"):
            yield Beginning(end, _IN_ELEMENT)
        if name.isupper():
            yield Beginning(end, _IN_ENVIRONMENT)


def word_start(text: str, position: int) -> int:
    """Where the word begins that a position stands in; the position itself where it stands in none.

    A placeholder, also one that may be about to come, is a part of a word: it was one when it was a secret.
    """
    start = len(text[:position].rstrip(WORD_CHARACTERS))
    while start and text[start - 1] in "[]":
        if text[start - 1] == "]":
            placeholder = _PLACEHOLDER.search(text, max(0, start - _PLACEHOLDER_MAX), start)
            if placeholder is None:
                break
            start = placeholder.start()
        else:
            inside = text[start : min(position, start + _PLACEHOLDER_MAX)]
            if not (inside.startswith(_PLACEHOLDER_HEAD) or _PLACEHOLDER_HEAD.startswith(inside)):
                break
            start -= 1
        start = len(text[:start].rstrip(WORD_CHARACTERS))
    return start


def held_from(text: str, beginning: Beginning, end: int) -> int | None:
    """From where on a text that ends somewhere has to wait, because of a beginning in it.

    Returns:
        A place, which is the end itself where a secret may begin with what follows; or None when what began
        there has come to its end, or proved to be something else.
    """
    at, shape = beginning
    if at >= end:
        return end
    match = shape.fullmatch(text, at, end)
    if match is None:
        return None
    if shape is _KEY and end - at > _KEY_REACH and not _KEY_BODY.match(text, at, end):
        return None
    held = match.start("value")
    return end if held < 0 else held


def _is_within_a_word(pattern: SecretPattern) -> bool:
    return _WITHIN_A_WORD.fullmatch(pattern.regex.pattern) is not None


# ------------------------------------------------------------------------ shapes of what is not complete

_NO_FIRST_CHARACTERS = "0123456789.-"
_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_" + _NO_FIRST_CHARACTERS
_NAME_END = re.compile(r"(?![A-Za-z0-9_.-])")
_FIRST_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,16} \Z")
_ESCAPE = re.compile(r"\\(?:[bfnrt]|u[0-9a-fA-F]{4})")

# Quotes and tabs may be escaped, in any depth.
_GAP = r"(?:[ \t]|\\+t){0,8}"
_QUOTED = r"""[bBrRuUfF]{0,2}(?P<quote>\\*["'`])(?:(?!(?<!\\)(?P=quote))[^\r\n])*"""
# Whether a value without quotes is one may depend on the assignment behind it.
_BARE = r"""[^\s"'`,;(){}\[\]<>|]+(?:[ \t]{1,4}(?:[A-Za-z_][\w.]{0,63}=?)?)?"""
_ANNOTATION = r"[ \t]{0,4}[A-Za-z_][\w.\[\]]{0,48}(?:[ ]\|[ ][\w.\[\]]{1,32}){0,3}"

_GIVEN = re.compile(
    rf"""
    (?: \\*["'`\]] ){{0,3}} {_GAP}
    (?: (?: :=? | =>? | ={{1,3}} | i | is )?
      | (?: := | => | ={{1,3}} | is(?=[ ]) | : (?: {_ANNOTATION} [ \t]{{0,4}} = )? ) {_GAP}
        (?: (?P<value> {_QUOTED} | {_BARE} ) )?
      | : {_ANNOTATION} (?: [ ]\|?[ ]? )? [ \t]{{0,4}}
    )
    """,
    re.VERBOSE,
)
_BEHIND_FLAG = re.compile(rf"[ \t]{{0,4}}(?P<value>{_QUOTED}|{_BARE})?")
_IN_ELEMENT = re.compile(r"(?:>(?P<value>[^<>\r\n]*<?))?")
_IN_ENVIRONMENT = re.compile(r"(?:=(?P<value>\S*))?")
_COOKIE = re.compile(
    r"(?:\\*[\"'\]]){0,2}[ \t]{0,4}"
    r"(?::[ \t]{0,4}(?P<value>\\*[\"']?[\w.!#$%&'*+^`|~-]{0,128}(?:=[^\r\n\"']*)?))?",
    re.ASCII,
)
_AUTHORITY = re.compile(r"(?P<value>[^\s/?#\"'<>]{0,700})")
_FIELD = re.compile(r"(?P<value>[^;\"'\s]*)")
_LINE = re.compile(r"(?P<value>[^\r\n]*)")

_SOME_NAME = r"(?: [A-Z0-9]{0,12}){0,6}-{0,4}"
_KEY_HEADER = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_KEY = re.compile(
    rf"(?P<value>-----BEGIN{_SOME_NAME}"
    rf"|{_KEY_HEADER}[^-]*(?:-(?!----)[^-]*)*(?:-----(?:END{_SOME_NAME})?)?)"
)
_KEY_BODY = re.compile(
    rf"{_KEY_HEADER}(?:[\s\"'+,\\]|(?<=\\)[nrt]){{0,16}}"
    r"(?:[A-Za-z-]{2,30}: [^\r\n]{0,200}[\r\n]{1,4}){0,8}[A-Za-z0-9+/]{32}"
)
