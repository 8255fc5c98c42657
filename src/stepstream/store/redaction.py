"""Takes secrets out of payloads, before anything is stored, published or sent.

Knows JSON as text: it edits the characters of the strings that hold a secret and leaves every other byte of a
payload alone, so that numbers, separators and order survive exactly (decoding and encoding again would turn
``1e400`` into ``Infinity``). It must not know models, steps or files: whether a result still fits its schema
is for the committer to check. What a secret looks like is said in ``secret_rules`` and ``secret_names``.

The way of a payload: `Redactor.suspects` looks for the literals of all rules in a whole batch at once, which
costs less than a microsecond a step; only what it names meets `Redactor.redact`, which reads the strings that
hold a literal in up to nine depths of escaping (JSON in JSON, code in a traceback) and runs the rules there.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple

import ahocorasick_rs
from pydantic_core import from_json

from stepstream.store.secret_names import NAME_NEARBY, REDACTED, SCHEME, Found, SecretNames, name_triggers
from stepstream.store.secret_rules import DEFAULT_RULES, RedactionRules, trigger_of

_SALT_BYTES_MIN = 16
_SALT_BYTES_MAX = 64
# Joined, so many payloads still fit into memory that is at hand: larger pieces cost a page fault every 4 KiB.
_BATCH_MAX = 200
_DEPTH_MAX = 8
_PASSES_MAX = 8
_NOTHING: Mapping[str, int] = MappingProxyType({})
_Finder = Callable[[str], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Redaction:
    """What became of a payload.

    Args:
        payload: Without its secrets; the very same object where it had none.
        counts: How many secrets of each kind were replaced.
    """

    payload: bytes
    counts: Mapping[str, int] = field(default_factory=lambda: _NOTHING)


class Redactor:
    """Finds and replaces secrets. Keeps nothing of what it saw, so threads may share one.

    Args:
        salt: The database's own, 16 to 64 random bytes. It makes the hashes in placeholders comparable inside
            one database and not guessable from outside.
        rules: What is taken for a secret.
    """

    def __init__(self, salt: bytes, rules: RedactionRules = DEFAULT_RULES) -> None:
        if not _SALT_BYTES_MIN <= len(salt) <= _SALT_BYTES_MAX:
            raise ValueError(f"salt has {len(salt)} bytes; give {_SALT_BYTES_MIN} to {_SALT_BYTES_MAX}")
        self._salt = salt
        self._patterns = rules.patterns
        self._names = SecretNames(rules.names)
        self._always = frozenset(n for n, pattern in enumerate(rules.patterns) if pattern.every_step)
        self._triggers = _Triggers(rules)

    def suspects(self, payloads: Sequence[bytes]) -> list[int]:
        """Indexes of the payloads that may hold a secret: all that `redact` would change, and a few more."""
        if self._always:
            return list(range(len(payloads)))
        return [
            first + index
            for first in range(0, len(payloads), _BATCH_MAX)
            for index in self._triggers.suspects(payloads[first : first + _BATCH_MAX])
        ]

    def redact(self, payload: bytes) -> Redaction:
        """The payload with every secret replaced by ``[redacted:KIND:HASH]``.

        Args:
            payload: One JSON document in UTF-8.

        Raises:
            ValueError: A suspect payload is no JSON, so that nobody can say what it holds.
        """
        found = self._found(payload)
        if not found:
            return Redaction(payload)
        text = payload.decode()
        counts: Counter[str] = Counter()
        for _ in range(_PASSES_MAX):
            counts.update(kind for _, _, kind in found)
            alone = all(text[start - 1] == text[end] == '"' for start, end, _ in found)
            text = self._without(text, found)
            # What stood against a secret may only now be seen to be one.
            found = [] if alone else self._found(text.encode())
            if not found:
                break
        return Redaction(text.encode(), MappingProxyType(counts))

    def withhold(self, payload: bytes, keep: Collection[str] = ()) -> Redaction:
        """The payload with every string replaced: for when `redact` or a project's own rule has failed.

        No rule takes part in it. Strings of three characters and less stay, and so do object keys of letters
        alone, since they are the names of fields.

        Args:
            payload: One JSON document in UTF-8.
            keep: Fields of the document itself that hold identifiers or enumerations and never text.

        Raises:
            ValueError: The payload is no JSON; then nothing of it may be kept.
        """
        from_json(payload, allow_inf_nan=False)
        text = payload.decode()
        found = [
            Found(string.start, string.end, "unscannable")
            for string in _strings_of(text)
            if string.end - string.start > _FEW_CHARACTERS
            and not (string.is_key and _FIELD_NAME.fullmatch(text, string.start, string.end))
            and not (string.depth == 1 and string.key in keep)
            and not _PLACEHOLDER.fullmatch(text, string.start, string.end)
        ]
        if not found:
            return Redaction(payload)
        return Redaction(self._without(text, found).encode(), MappingProxyType({"unscannable": len(found)}))

    def _found(self, payload: bytes) -> list[Found]:
        """Every secret of a payload, in places of its text."""
        if not self.suspects((payload,)):
            return []
        met = self._triggers.met(payload)
        if not met.rules and not self._always:
            return []
        from_json(payload, allow_inf_nan=False)
        return self._found_by(met, payload.decode())

    def _found_by(self, met: _Met, text: str) -> list[Found]:
        finders: list[_Finder] = [
            self._patterns[rule].find for rule in sorted(met.rules | self._always) if rule != _NAMES
        ]
        named = _NAMES in met.rules
        if named:
            finders.append(self._names.find)
        places = None if self._always else _in_characters(met.places, text)
        return list(self._secrets(text, finders, places, named=named))

    def _secrets(
        self, text: str, finders: Sequence[_Finder], places: Sequence[int] | None, *, named: bool
    ) -> Iterator[Found]:
        """Every secret of a document, in places of its text; none overlaps another."""
        in_key = False
        for string in _strings_of(text):
            raw = text[string.start : string.end]
            found: list[Found] = []
            if places is None or bisect_left(places, string.start) < bisect_left(places, string.end):
                found = _found_in(raw, finders)
                found += self._inside(raw) if named else ()
            if named and string.name is not None:
                found = self._governed(raw, _plain(string.name), found)
            # A private key read as a list of lines has its header, body and end in different strings.
            body = in_key and string.in_list and _KEY_BODY.fullmatch(raw) is not None
            if body and not found:
                found = [Found(0, len(raw), "private_key")]
            in_key = body or (string.in_list and _KEY_HEADER.search(raw) is not None)
            for start, end, kind in _merged(found):
                yield Found(string.start + start, string.start + end, kind)

    def _inside(self, raw: str) -> list[Found]:
        """What names govern in a string that is a document itself: there as well they need no evidence."""
        if not raw.lstrip().startswith(("{", "[")):
            return []
        view = _View(raw)
        try:
            from_json(view.text)
        except ValueError:
            return []
        return [
            Found(*view.origin(start, end), kind)
            for start, end, kind in self._secrets(view.text, (), None, named=True)
        ]

    def _governed(self, raw: str, name: str, found: list[Found]) -> list[Found]:
        """A value under a secret's name is a secret whole, whatever it looks like."""
        kind = self._names.kind_of(name)
        if kind is None:
            return found
        scheme = SCHEME.match(raw)
        start = scheme.end() if scheme else 0
        if start == len(raw) or _PLACEHOLDER.fullmatch(raw, start):
            return found
        whole = Found(start, len(raw), kind)
        # A vendor's format says more than the name does.
        return [item for item in found if item[:2] == whole[:2]] or [whole]

    def _without(self, text: str, found: Sequence[Found]) -> str:
        pieces: list[str] = []
        position = 0
        for start, end, kind in found:
            pieces += (text[position:start], self._placeholder(kind, text[start:end]))
            position = end
        pieces.append(text[position:])
        return "".join(pieces)

    def _placeholder(self, kind: str, raw: str) -> str:
        # The same secret has the same hash, however deep it was escaped where it was found.
        secret = _plain(raw).encode(errors="surrogatepass")
        digest = hashlib.blake2b(secret, digest_size=4, key=self._salt).hexdigest()
        return f"[redacted:{kind}:{digest}]"


_PLACEHOLDER = re.compile(r"\[redacted:[a-z0-9_-]{1,32}:[0-9a-f]{8}\]")
_KEY_HEADER = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^-]{0,4}$")
_KEY_BODY = re.compile(r"(?:[A-Za-z0-9+/= ]++|\\[nrt])+")
_FEW_CHARACTERS = 3
_FIELD_NAME = re.compile(r"[A-Za-z_]{1,40}")


def _found_in(raw: str, finders: Sequence[_Finder]) -> list[Found]:
    """All that is found in a string, in every depth of escaping, in places of the raw string."""
    if not finders:
        return []
    return [
        Found(*view.origin(start, end), kind)
        for view in _views(raw)
        for find in finders
        for start, end, kind in find(view.text)
        if view.text[start:end].strip(REDACTED)
    ]


def _merged(found: Sequence[Found]) -> list[Found]:
    """What overlaps as one, of the kind that was found first; from left to right."""
    merged: list[tuple[int, Found]] = []
    for rank, item in sorted(enumerate(found), key=lambda ranked: ranked[1].start):
        if merged and item.start < merged[-1][1].end:
            first, before = merged[-1]
            kind = before.kind if first < rank else item.kind
            merged[-1] = (min(first, rank), Found(before.start, max(before.end, item.end), kind))
        else:
            merged.append((rank, item))
    return [item for _, item in merged]


# ------------------------------------------------------------------------------------- which are suspects

_NAMES = -1
_ESCAPED = -2

# Teddy, the vectorised search inside ahocorasick_rs, takes up to 64 texts and goes by their first 4 bytes. It
# is ten times as fast as the automaton that stands in for it beyond that, and serves leftmost searches only.
_TEXTS_MAX = 64
_PREFIX = 4

# Any character may be written as an escape and so hide a literal, or what stands beside it.
_ESCAPE_TRIGGER = rb"\u00"
_ESCAPE_NEARBY = re.compile(rb"\\u00[02-7]")
_ESCAPED_CHARACTER = re.compile(rb"\\+u00([2-7][0-9a-f])")
_ESCAPED_SLASH = re.compile(rb"\\+/")


class _Met(NamedTuple):
    """What a payload holds: rules, by their literals, and where these stand; None where escapes hide that."""

    rules: frozenset[int]
    places: list[int] | None


class _Triggers:
    """Finds the literals of all rules in lower-cased bytes."""

    def __init__(self, rules: RedactionRules) -> None:
        self._rules: dict[bytes, set[int]] = {}
        self._nearby: dict[bytes, set[re.Pattern[bytes] | None]] = {}
        for number, pattern in enumerate(rules.patterns):
            for trigger in filter(None, map(trigger_of, pattern.literals)):
                for spelling in _spellings(trigger):
                    self._add(spelling, number, pattern.nearby)
        for trigger in name_triggers(rules.names):
            self._add(trigger.encode(), _NAMES, NAME_NEARBY)
        self._add(_ESCAPE_TRIGGER, _ESCAPED, _ESCAPE_NEARBY)
        self._texts = sorted(self._rules)
        looks = {text: _either(self._nearby[text]) for text in self._texts}
        self._searches = [_Search({text: looks[text] for text in group}) for group in _in_groups(looks)]
        self._overlapping = ahocorasick_rs.BytesAhoCorasick(
            self._texts, implementation=ahocorasick_rs.Implementation.DFA
        )

    def _add(self, text: bytes, rule: int, nearby: re.Pattern[bytes] | None) -> None:
        self._rules.setdefault(text, set()).add(rule)
        self._nearby.setdefault(text, set()).add(nearby)

    def suspects(self, payloads: Sequence[bytes]) -> list[int]:
        # No literal has a line feed, and so none reaches from one payload into the next.
        joined = b"\n".join(payloads).lower()
        hits = [position for search in self._searches for position in search.hits(joined)]
        if not hits:
            return []
        ends = list(accumulate(len(payload) + 1 for payload in payloads))
        return sorted({bisect_right(ends, position) for position in hits})

    def met(self, payload: bytes) -> _Met:
        """Which rules have a literal in the payload, however it is escaped."""
        lowered = payload.lower()
        text = _without_escapes(lowered)
        hits = self._overlapping.find_matches_as_indexes(text, overlapping=True)
        rules = {rule for index, _, _ in hits for rule in self._rules[self._texts[index]]} - {_ESCAPED}
        return _Met(frozenset(rules), sorted(start for _, start, _ in hits) if text == lowered else None)


class _Search:
    """One pass for a group of literals, each with what has to stand nearby for it to count."""

    def __init__(self, nearby: Mapping[bytes, re.Pattern[bytes] | None]) -> None:
        self._looks = [None if look is None else look.match for look in nearby.values()]
        self._search = ahocorasick_rs.BytesAhoCorasick(nearby, ahocorasick_rs.MATCHKIND_LEFTMOST_LONGEST)

    def hits(self, joined: bytes) -> list[int]:
        looks = self._looks
        found: list[int] = []
        for index, start, _ in self._search.find_matches_as_indexes(joined):
            look = looks[index]
            if look is None or look(joined, start):
                found.append(start)
        return found


def _in_groups(texts: Mapping[bytes, re.Pattern[bytes] | None]) -> Iterator[list[bytes]]:
    """Groups for one search each: few and of equal size, short texts apart, for they would slow the others.

    Texts of which every hit counts are apart too. In a leftmost search a hit hides what overlaps it; that is
    no loss where the hit itself makes a suspect, but it would be one where the hit then fails to count.
    """
    short = [text for text in texts if len(text) < _PREFIX]
    counting = [text for text, look in texts.items() if look is None and text not in short]
    others = [text for text, look in texts.items() if look is not None and text not in short]
    for group in (short, counting, others):
        searches = -(-len(group) // _TEXTS_MAX)
        size = -(-len(group) // searches) if searches else 1
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _either(looks: Collection[re.Pattern[bytes] | None]) -> re.Pattern[bytes] | None:
    """One look that passes where any of these does."""
    patterns = [look.pattern for look in looks if look is not None]
    return re.compile(b"|".join(patterns)) if len(patterns) == len(looks) else None


def _spellings(trigger: str) -> tuple[bytes, ...]:
    r"""A literal as it may stand in a payload: some write ``\/`` for a slash, and JSON in JSON ``\\/``."""
    return (b"://", b":\\/", b"\\\\/") if trigger.startswith("://") else (trigger.encode(),)


def _without_escapes(lowered: bytes) -> bytes:
    for _ in range(_DEPTH_MAX if _ESCAPE_TRIGGER in lowered else 0):
        plain = _ESCAPED_CHARACTER.sub(lambda match: bytes.fromhex(match[1].decode()), lowered).lower()
        if plain == lowered:
            break
        lowered = plain
    return _ESCAPED_SLASH.sub(b"/", lowered) if b"\\/" in lowered else lowered


def _in_characters(places: Sequence[int] | None, text: str) -> Sequence[int] | None:
    """Places in bytes as places in characters."""
    if places is None or text.isascii():
        return places
    payload = text.encode()
    characters: list[int] = []
    done = length = 0
    for place in places:
        length += len(payload[done:place].decode())
        done = place
        characters.append(length)
    return characters


# --------------------------------------------------------------------------------- the strings of a document


class _String(NamedTuple):
    """A string of a document: where its characters stand, without quotes."""

    start: int
    end: int
    depth: int
    is_key: bool
    in_list: bool
    key: str | None
    """What stands above a value: its key, or that of its list."""
    name: str | None
    """What a value is called: its key; in a list also the ``--flag`` before it; in an object
    like ``{"name": "PASSWORD", "value": "..."}`` the name beside it."""


@dataclass(slots=True)
class _Level:
    """An open object or list of a document."""

    is_list: bool
    name: str | None = None
    label: str | None = None


_BRACKET = re.compile(r"[\[\]{}]")
_COLON = re.compile(r"[ \t\r\n]*+:")
_FLAG = re.compile(r"--?[A-Za-z][\w-]{0,63}")


def _strings_of(text: str) -> Iterator[_String]:
    """Every string of a document that is known to be JSON, from left to right."""
    levels = [_Level(is_list=False)]
    flag: str | None = None
    position = 0
    while (quote := text.find('"', position)) >= 0:
        for bracket in _BRACKET.findall(text, position, quote):
            flag = None
            if bracket == "[":
                levels.append(_Level(is_list=True, name=levels[-1].name))
            elif bracket == "{":
                levels.append(_Level(is_list=False))
            else:
                levels.pop()
        start, end = quote + 1, _closing_quote(text, quote + 1)
        position = end + 1
        raw = text[start:end]
        level = levels[-1]
        if not level.is_list and _COLON.match(text, position):
            yield _String(start, end, len(levels) - 1, is_key=True, in_list=False, key=None, name=None)
            level.name = raw
            continue
        name = level.name
        if level.is_list:
            name = flag if flag and not raw.startswith("-") else name
            flag = raw if _FLAG.fullmatch(raw) else None
        elif name and name.lower() == "value":
            name = level.label
        elif name and name.lower() in ("name", "key"):
            level.label = raw
        depth = len(levels) - 1
        yield _String(start, end, depth, is_key=False, in_list=level.is_list, key=level.name, name=name)


def _closing_quote(text: str, position: int) -> int:
    while True:
        quote = text.index('"', position)
        before = quote
        while text[before - 1] == "\\":
            before -= 1
        if (quote - before) % 2 == 0:
            return quote
        position = quote + 1


# --------------------------------------------------------------------------------------- depths of escaping

_ESCAPE = re.compile(
    r"""\\(?:["\\/bfnrt']|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})"""
)
_SHORT = {
    rf"\{letter}": character for letter, character in zip("bfnrt\"\\/'", "\b\f\n\r\t\"\\/'", strict=True)
}


def _unescaped(escape: re.Match[str]) -> str:
    short = _SHORT.get(escape[0])
    if short is not None:
        return short
    units = b"".join(int(code, 16).to_bytes(2, "little") for code in escape[0].split("\\u")[1:])
    return units.decode("utf-16-le", errors="surrogatepass")


def _plain(raw: str) -> str:
    """A text without any escapes, as many times as it was escaped."""
    for _ in range(_DEPTH_MAX):
        if "\\" not in raw:
            break
        raw = _ESCAPE.sub(_unescaped, raw)
    return raw


class _View:
    """A string's characters in one depth of escaping, and where each stands in the raw string."""

    def __init__(self, source: str, below: _View | None = None) -> None:
        self._source = source
        self._below = below
        self._moves: tuple[list[int], list[int]] | None = None
        # pydantic-core reads whole escaped texts in less time than a single escape takes here.
        plain = (
            source
            if "\\" not in source
            else _decoded(source)
            if below is None
            else _ESCAPE.sub(_unescaped, source)
        )
        self.text = _PLACEHOLDER.sub(lambda match: REDACTED * len(match[0]), plain)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where a piece of this text stands in the raw string; no escape is ever cut."""
        if self._moves is None:
            self._moves = _moves(self._source)
        positions, shifts = self._moves
        start += shifts[bisect_right(positions, start)]
        end += shifts[bisect_right(positions, end)]
        return (start, end) if self._below is None else self._below.origin(start, end)


def _decoded(raw: str) -> str:
    return str(from_json(f'"{raw}"'))


def _moves(source: str) -> tuple[list[int], list[int]]:
    """From which positions of the plain text on its source is longer by how much."""
    positions: list[int] = []
    shifts = [0]
    for match in _ESCAPE.finditer(source):
        shift = shifts[-1] + len(match[0]) - len(_unescaped(match))
        positions.append(match.end() - shift)
        shifts.append(shift)
    return positions, shifts


def _views(raw: str) -> Iterator[_View]:
    """The decoded string; then, while escapes remain, what they stand for: JSON in JSON, code in a text."""
    view = _View(raw)
    yield view
    for _ in range(_DEPTH_MAX):
        if "\\" not in view.text:
            return
        deeper = _View(view.text, view)
        if deeper.text == view.text:
            return
        view = deeper
        yield view
