"""Secrets that are known by their name: ``"password": "..."``, ``DB_PASSWORD=...``, ``--api-key ...``.

Knows how names are written (``apiKey``, ``API_KEY``, ``x-api-key``) and how a name is given a value in code,
in configuration, on command lines, in logs and in tracebacks; and tells a value from what only stands for it,
as in ``password=getpass()``, ``api_key=settings.api_key`` and ``password: str``. It must not know JSON,
payloads or placeholders, nor the formats of vendors.

Every expression is linear: runs of one class of characters, possessive or bounded where they repeat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

KindOfName = Callable[[str], str | None]

NAME_LENGTH_MAX = 96

# Left by the redactor where a placeholder stands, so that what is redacted is never found again.
REDACTED = "\0"


class Found(NamedTuple):
    """A secret: where it stands in the text that was searched, and of which kind it is."""

    start: int
    end: int
    kind: str


# ------------------------------------------------------------------------------------------------ names

_IN_PATH = re.compile(r"[^\s/\"'`\0]:")
_LETTERS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ENDS_WITH_WORD = re.compile(r"[A-Za-z][\d_. :-]*$")
_SEPARATORS = ("", "_", "-")


def words_of(name: str) -> list[str]:
    """``X-API-Key``, ``xApiKey`` and ``x_api_key2`` alike, in lower case."""
    return [word.lower() for word in _LETTERS.findall(name)]


class SecretNames:
    """Tells a secret's name by the words it ends with: ``openai_api_key`` is an ``api_key``.

    Whole words: neither ``max_tokens`` nor ``secretary`` nor ``valid_token`` (an ``id_token``, read badly).
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._kinds: dict[str, str] = {}
        self._words_max = 0
        for name in names:
            words = words_of(name)
            self._words_max = max(self._words_max, len(words))
            for plural in ("", "s"):
                self._kinds["".join(words) + plural] = "_".join(words)
                if " " in name:
                    self._kinds[" ".join(words) + plural] = "_".join(words)
        # Every spelling of a name has its last word in one piece.
        self._last_words = sorted({kind.rpartition("_")[2] for kind in self._kinds.values()})
        self.kind_of = lru_cache(maxsize=4096)(self._kind_of)

    def _kind_of(self, name: str) -> str | None:
        """The kind of secret that a value of this name is, or None."""
        if len(name) > NAME_LENGTH_MAX or "::" in name or not _ENDS_WITH_WORD.search(name):
            return None
        joined = ""
        start = -1
        kind = None
        # "apikey" may be one word or two, and "APIkey" splits in the wrong place: compare them joined.
        for word in reversed(list(_LETTERS.finditer(name))[-self._words_max :]):
            separator = name[word.end() : start] if joined else ""
            if separator not in (*_SEPARATORS, " "):
                break
            start = word.start()
            joined = word[0].lower() + separator.strip("_-") + joined
            kind = self._kinds.get(joined, kind)
        return kind

    def find(self, text: str) -> Iterator[Found]:
        """Every value in a text that stands behind a secret's name and looks like a secret."""
        position = 0
        for mention in self._mentions(text):
            start = _name_start(text, mention)
            # `"AWS::IAM::AccessKey"` is a type, `arn:aws:secretsmanager:...:secret:...` an address.
            if start is None or start < position or _IN_PATH.match(text, start - 2):
                continue
            found = self._value_of(text, start, mention)
            if found is None and text[start - 1 : start] == " ":
                before = _name_start(text, start - 1)
                found = None if before is None else self._value_of(text, before, mention)
            # What was no secret may hold the next name, so only what is taken is passed over.
            if found is not None:
                position = found.end
                yield found

    def _mentions(self, text: str) -> list[int]:
        lowered = text.lower()
        if len(lowered) != len(text):  # Some letters, such as the dotted capital I, grow.
            lowered = "".join(character.lower() if character.isascii() else " " for character in text)
        mentions: list[int] = []
        for word in self._last_words:
            at = lowered.find(word)
            while at >= 0:
                mentions.append(at)
                at = lowered.find(word, at + len(word))
        return sorted(mentions)

    def _value_of(self, text: str, start: int, mention: int) -> Found | None:
        for read in (_in_environment, _in_element, _assigned, _behind_flag):
            match = read(text, start)
            if match is None or match.end("name") <= mention:
                continue
            kind = self.kind_of(match["name"])
            if read is _behind_flag and kind is not None and not _is_flag_of(kind, match["name"]):
                continue
            span = None if kind is None else _value_span(text, match, self.kind_of)
            if kind is not None and span is not None:
                return Found(*span, kind)
        return None


def name_triggers(names: Iterable[str]) -> set[str]:
    """Texts of which one stands in every spelling of every name, none of them part of another."""
    triggers: set[str] = set()
    for name in names:
        *_, before, last = ["", *words_of(name)]
        separators = (*_SEPARATORS, " ") if " " in name else _SEPARATORS
        triggers |= {before + separator + last for separator in separators} if before else {last}
    return {long for long in triggers if not any(short in long for short in triggers if short != long)}


# What stands around a name that is given a value, in lower-cased bytes from the trigger on.
NAME_NEARBY = re.compile(
    # A flag; a name before a sign that gives it a value, behind quotes and tabs in any depth of escaping; a
    # text that ends with the name and has another after it; the word that gives a value in prose.
    rb"""(?<=-)|[\w.-]{0,96}+(?:\\{0,300}"\s?,"""
    rb"""|(?: [\w.-]{1,30}+)?[\\"'`\]\st]{0,300}+(?:[:=>]|(?<= )is ))"""
)


# --------------------------------------------------------------------------- what only stands for a secret

_MASK = re.compile(r"[*.•_-]+|[xX]{3,}|\s*")
TEMPLATE = re.compile(
    r"""
    \$\{ | \$\( | \{\{ | %\( | %[sdr]\b              # filled in later, by a shell or a program
    | \{[A-Za-z_][\w.\[\]()"'!:]{0,60}\}
    | ^\$[A-Za-z_] | ^%[A-Za-z_]+%$                  # a variable
    | ^<.*>$ | ^(?:your|YOUR)[-_ A-Z]                # to be filled in by hand
    """,
    re.VERBOSE,
)
_PLACE = re.compile(
    r"(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*)+"  # a file
    r"|(?:https?|file|env|arn|ssm|op|vault):\S*"  # an address
    r"|[a-z_]+(?:\.[a-z_]+)+|(?i:aws4-hmac-sha256)"  # a module or host; a scheme that signs
)
# Passphrases have lower-case words, and few.
_MESSAGE = re.compile(r"[A-Z]\S*(?:\s+\S+){2,}|\S+(?:\s+\S+){6,}|\S+(?:\s+\S+){2,}[.!?]")
_STATE = re.compile(
    r"any|auto|bool|boolean|bytes|default|disabled|empty|enabled|env|false|hidden|int|keyring|nil|no|none|null"
    r"|number|object|off|on|optional|prompt|redacted|required|secretstr|str|string|true|undefined|unset|yes",
    re.IGNORECASE,
)
_ALNUM = re.compile(r"[A-Za-z0-9]")


def is_mask(value: str) -> bool:
    """Whether nothing of a secret is left: ``****``, ``xxxx``, ``...``, a placeholder."""
    return not value.strip(REDACTED) or _MASK.fullmatch(value) is not None


_ID = re.compile(r"(?<=[A-Za-z])[_-]?[iI][dD]$")


def _is_label(value: str, kind_of_name: KindOfName) -> bool:
    """``password="password"`` and ``key="aws_secret_access_key"``, but not ``password="SuperSecret"``."""
    kind = kind_of_name(_ID.sub("", value))
    return kind is not None and ("_" in kind or value.isupper() or [kind] == words_of(value))


def _is_no_value(value: str, kind_of_name: KindOfName) -> bool:
    """Whether a text only stands for a secret: a mask, a template, a type, a path, the name of a variable."""
    return (
        is_mask(value)
        or _ALNUM.search(value) is None
        or TEMPLATE.search(value) is not None
        or _PLACE.fullmatch(value) is not None
        or _STATE.fullmatch(value) is not None
        or _is_label(value, kind_of_name)
    )


_QUOTED_LENGTH_MIN = 3
_LEFT_OVER_START = frozenset(" \t,;:)]}+&|?=")
_LEFT_OVER_END = frozenset(" \t+,([{=:&")
_CALL = re.compile(r"\.\w+\(|%\s")


def _is_quoted_secret(value: str, *, name_quoted: bool, separator: str, kind_of_name: KindOfName) -> bool:
    """Whether a text in quotes behind a secret's name is its value."""
    if _is_no_value(value, kind_of_name) or _MESSAGE.fullmatch(value):
        return False
    if len(value) <= _QUOTED_LENGTH_MIN - name_quoted:
        return False
    if name_quoted and separator != "is":
        return True
    # In `"Password: ", user, "` what seems quoted stands between two quoted texts.
    if value[0] in _LEFT_OVER_START or value[-1] in _LEFT_OVER_END or _CALL.match(value):
        return False
    return " " not in value or separator.endswith("=")


# ------------------------------------------------------------------------------------- values without quotes

_CODE = re.compile(r"[A-Za-z_$][\w$]*+(?:(?:\.|::|->|[/-])[A-Za-z_][\w$]*+)*")
_FRAGMENT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_NUMBER = re.compile(r"\d+")
_NUMBERED_WORD = re.compile(r"([a-z]+)\d[a-z0-9]*")
_NUMBERED_IN_CODE = re.compile(
    r"aes|arg|base|bytes|field|float|hash|int|item|key|line|md|name|oauth|option|page|param|part|pass|passwd"
    r"|password|rsa|sample|secret|sha|step|str|string|test|token|uint|user|utf|value|var|vec|version"
)
_ABBREVIATION = 2  # Letters of `s3bucket`, `x509`, `ip4addr`.
_LENGTH_MIN = 6
_SHORT = 10
_LONG = 16
_LONGER = 20
_WORD_LETTERS = 3.5
_NUMBERS_IN_CODE_MAX = 2


def _is_code(value: str) -> bool:
    """Whether an unquoted word reads like an identifier rather than like something that was generated."""
    if not _CODE.fullmatch(value):
        return False
    numbered = _NUMBERED_WORD.fullmatch(value)
    if numbered:
        short = len(numbered[1]) <= _ABBREVIATION and len(value) < _SHORT
        return short or _NUMBERED_IN_CODE.fullmatch(numbered[1]) is not None
    if "_" in value and len(value) < _LONGER:
        return True
    if len(value) >= _LONG and len(_NUMBER.findall(value)) > _NUMBERS_IN_CODE_MAX:
        return False
    fragments = _FRAGMENT.findall(value)
    return sum(map(len, fragments)) >= _WORD_LETTERS * len(fragments)


_NO_SECRET_START = ("/", "./", "../", "~", "$", "%", "-", "*", "@", "#", "\\")
_STRONG = re.compile(r"[\d!@#$^~]")
_LETTER = re.compile(r"[A-Za-z]")


def is_bare_secret(value: str, kind_of_name: KindOfName = lambda _: None) -> bool:
    """Whether an unquoted word where a secret may stand is one, and not code or prose."""
    return (
        len(value) >= _LENGTH_MIN
        and _STRONG.search(value) is not None
        and _LETTER.search(value) is not None
        and not (value.startswith(_NO_SECRET_START) and len(value) < _LONGER)
        and not _is_no_value(value, kind_of_name)
        and kind_of_name(value) is None
        and not _is_code(value)
    )


# ------------------------------------------------------------------------------------ a name and its value

_QUOTES = ('"', "'", "`")
_COMPARISONS = ("==", "===")
_LINE_MAX = 400
_AFTER_PROSE = ("", " ", "\t", "\r", "\n", '"', "'")
_BEFORE_ARGUMENT = (",", "(", "[", "{", "=", ".", "-", "&", "|")
_QUOTED = ("quoted0", "quoted1", "quoted2")
_TEXT_IN_QUOTES = "|".join(
    rf"{quote}(?P<{group}>[^{quote}\\\r\n]*+(?:\\.[^{quote}\\\r\n]*+)*){quote}"
    for group, quote in zip(_QUOTED, _QUOTES, strict=True)
)
_RUN = r"""[^\s"'`,;&<>(){}\[\]|\\:=]"""
# Colons are counted, or `a:a:a:...` would be read to its end from each of its colons.
_BARE = rf"(?P<bare>{_RUN}{{2,}}+(?>(?::{_RUN}++){{0,3}})={{0,2}}+)(?![(\[{{])"

_ASSIGNMENT = re.compile(
    rf"""
    (?P<name> (?:[A-Za-z]{{1,16}}[ ])? [A-Za-z_][A-Za-z0-9_.-]{{0,79}}+ )
    (?P<closing> ["'`\]]{{0,3}} )
    (?P<gap> [ \t]{{0,8}} )
    (?P<separator>
        := | => | ={{1,3}} | (?<=[ ])is(?=[ ])
        # An annotation, `password: str | None = "..."`, counts only before something quoted.
        | : [ \t]{{0,4}} [A-Za-z_][\w.\[\]]{{0,48}}+ (?:[ ]\|[ ][\w.\[\]]{{1,32}}+){{0,3}} [ \t]{{0,4}} =
          (?= [ \t]{{0,4}} [a-zA-Z]{{0,2}} ["'] )
        | :
    )
    (?P<space> [ \t]{{0,8}} )
    (?: [bBrRuUfF]{{0,2}} (?:{_TEXT_IN_QUOTES}) | {_BARE} )
    """,
    re.VERBOSE,
)
_FLAG = re.compile(
    rf"(?<=-)(?P<name>[A-Za-z][\w-]{{0,63}}+)(?P<space>[ \t]{{1,4}})(?!-)(?:{_TEXT_IN_QUOTES}|{_BARE})"
)
_ENVIRONMENT = re.compile(
    r"^[ \t]{0,8}+(?:(?:export|set|ENV|[+-])[ \t]{1,4})?"
    r"""(?P<name>[A-Z][A-Z0-9_]{2,79}+)=(?P<data>[^\s"'`]\S*+)""",
    re.MULTILINE,
)
_BEFORE_NAME_MAX = 24
_ELEMENT = re.compile(r"(?<=<)(?P<name>[A-Za-z_][\w.:-]{0,79}+)>(?P<data>[^<>\r\n]++)</")
_NEXT_ASSIGNMENT = re.compile(r"[ \t]{1,4}[A-Za-z_][\w.]{0,63}+=[^=\s]")
SCHEME = re.compile(r"(?:bearer|basic|digest|token|negotiate|apikey|bot)[ \t]+", re.IGNORECASE)

_NO_FIRST_CHARACTERS = "0123456789.-"
_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_" + _NO_FIRST_CHARACTERS


def _name_start(text: str, position: int) -> int | None:
    """Where the name begins that reaches up to or over a position; None for what is too long to be one."""
    first = max(0, position - NAME_LENGTH_MAX)
    start = first + len(text[first:position].rstrip(_NAME_CHARACTERS))
    if start == first and text[first - 1 : first] in _NAME_CHARACTERS and first:
        return None
    return position - len(text[start:position].lstrip(_NO_FIRST_CHARACTERS))


def _in_environment(text: str, start: int) -> re.Match[str] | None:
    line = text.rfind("\n", max(0, start - _BEFORE_NAME_MAX), start) + 1
    return _ENVIRONMENT.match(text, line) if line or start <= _BEFORE_NAME_MAX else None


def _in_element(text: str, start: int) -> re.Match[str] | None:
    return _ELEMENT.match(text, start)


def _assigned(text: str, start: int) -> re.Match[str] | None:
    return _ASSIGNMENT.match(text, start)


def _behind_flag(text: str, start: int) -> re.Match[str] | None:
    return _FLAG.match(text, start)


def _is_flag_of(kind: str, name: str) -> bool:
    """``--db-password``, but not ``a-dbPassword``."""
    return f"-{name.lower()}".endswith(f"-{kind.replace('_', '-')}")


def _value_span(text: str, match: re.Match[str], kind_of_name: KindOfName) -> tuple[int, int] | None:
    """Where the value stands that a name was given, if it is a secret."""
    groups = match.groupdict()
    data = groups.get("data")
    if data is not None:
        empty = _is_no_value(data, kind_of_name) or _MESSAGE.fullmatch(data)
        return None if empty else match.span("data")
    if groups["bare"] is not None:
        value = groups["bare"].rstrip(".,?")
        start = match.start("bare")
        taken = is_bare_secret(value, kind_of_name) or (
            _is_data(text, match) and not _is_no_value(value, kind_of_name)
        )
        return (start, start + len(value)) if taken else None
    start, end = next(match.span(group) for group in _QUOTED if groups[group] is not None)
    scheme = SCHEME.match(text, start, end)
    start = scheme.end() if scheme else start
    # Behind a flag a quoted text stands as it does behind an equals sign.
    separator = groups.get("separator") or "="
    if separator in _COMPARISONS and not is_bare_secret(text[start:end], kind_of_name):
        return None
    name_quoted = (
        text[match.start() - 1 : match.start()] in _QUOTES and (groups.get("closing") or "")[:1] in _QUOTES
    )
    taken = start < end and _is_quoted_secret(
        text[start:end], name_quoted=name_quoted, separator=separator, kind_of_name=kind_of_name
    )
    return (start, end) if taken else None


def _is_data(text: str, match: re.Match[str]) -> bool:
    """Whether an assignment stands where only data can: a query, a connection string, a log line."""
    if match.re is not _ASSIGNMENT or match["separator"] != "=":
        return False
    if match["gap"] or match["space"] or match["closing"]:
        return False
    before = text[match.start() - 1 : match.start()]
    return (
        before in ("?", "&")
        or (before == ";" and match["name"][0].isupper())
        or _NEXT_ASSIGNMENT.match(text, match.end()) is not None
        or _is_in_prose(text, match)
    )


def _is_in_prose(text: str, match: re.Match[str]) -> bool:
    """Whether it begins a line or follows words, with nothing behind; an argument has a bracket or comma."""
    if text[match.end() : match.end() + 1] not in _AFTER_PROSE:
        return False
    line = text.rfind("\n", max(0, match.start() - _LINE_MAX), match.start()) + 1
    before = text[max(line, match.start() - _LINE_MAX) : match.start()]
    words = before.rstrip()
    return not before or bool(words and "(" not in words and not words.endswith(_BEFORE_ARGUMENT))
