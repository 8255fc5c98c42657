"""JSON that is shown while it is being written: tool calls, structured answers, what tools print.

In a document a name alone makes a secret of what stands under it. So the names are followed as they come, and
what must wait for its end waits here; the rest is a text like any other.

Knows JSON as text, as ``redaction`` does, and errs to the side of taking for a document what is none. Must
not know what a secret looks like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.store.redaction import Redactor

HELD_MAX = 16 * 1024
"""So many characters of a text wait at most; a private key has a quarter of it."""

_SIGN = re.compile(r"[\[\]{},:]|[^\s\[\]{},:]+")
_LITERAL = re.compile(r"[-+.0-9eEtrufalsn]+")
_CHARACTERS = re.compile(r'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*')
_OPENING = re.compile(r"(?:\s|\\[nrt])*(?P<bracket>[\[{])?")
_FLAG = re.compile(r"--?[A-Za-z][\w-]{0,63}")
_LEVELS_MAX = 200
# What names and flags have at most.
_BRIEF = 200


@dataclass(slots=True)
class _Level:
    """An open object or list."""

    is_list: bool
    name: str | None = None
    label: str | None = None
    takes_key: bool = False


class LiveDocument:
    """JSON that is shown while it is being written: tool calls, structured answers.

    What stands in a document under a secret's name is a secret whole, whatever it looks like; so it waits
    until it is complete, and so does a text that is a document itself. The redactor sees each as it sees it
    in the whole document, under its name. Everything else goes on at once. It ends where the text proves to
    be something else.
    """

    def __init__(self, redactor: Redactor, kind_of_name: Callable[[str], str | None]) -> None:
        """Begin an empty document.

        Args:
            redactor: Says what is a secret.
            kind_of_name: Says which secret a name means, if it means one.
        """
        self.is_over = False
        self._redactor = redactor
        self._kind_of_name = kind_of_name
        self._levels = [_Level(is_list=False)]
        self._flag: str | None = None
        self._rest = ""
        self._string: _OpenString | None = None

    def add(self, piece: str) -> str:
        """Take in the next piece; returns what can go on."""
        piece, self._rest = self._rest + piece, ""
        shown: list[str] = []
        position = 0
        while position < len(piece) and not self.is_over:
            if self._string is None:
                position = self._between_strings(piece, position, shown)
            else:
                position = self._in_string(self._string, piece, position, shown)
        if self.is_over:
            if self._string is not None:
                shown.append(self._string.waiting)
            shown.append(piece[position:])
        return "".join(shown)

    def _between_strings(self, piece: str, start: int, shown: list[str]) -> int:
        quote = piece.find('"', start)
        end = len(piece) if quote < 0 else quote
        for sign in _SIGN.finditer(piece, start, end):
            if not self._is_sound(sign[0]):
                self.is_over = True
                shown.append(piece[start : sign.start()])
                return sign.start()
        if quote < 0 or self._is_between_documents():
            self.is_over = quote >= 0
            shown.append(piece[start:end])
            return end
        shown.append(piece[start : quote + 1])
        self._string = self._begin_string()
        return quote + 1

    def _is_between_documents(self) -> bool:
        return len(self._levels) == 1

    def _is_sound(self, sign: str) -> bool:
        """Follow a sign or a literal; returns whether it may stand in a document."""
        level = self._levels[-1]
        if sign in "[{":
            is_list = sign == "["
            self._levels.append(_Level(is_list, level.name if is_list else None, takes_key=not is_list))
            self._flag = None
            return len(self._levels) <= _LEVELS_MAX
        if self._is_between_documents():
            return False
        match sign:
            case "]" | "}":
                self._levels.pop()
                self._flag = None
            case ",":
                level.takes_key = not level.is_list
            case ":":
                level.takes_key = False
            case _:
                return _LITERAL.fullmatch(sign) is not None
        return True

    def _begin_string(self) -> _OpenString:
        level = self._levels[-1]
        if level.takes_key:
            return _OpenString(is_key=True)
        name = level.name
        if not level.is_list and name is not None and name.lower() == "value":
            name = level.label
        return _OpenString(name, self._flag, is_secret=self._is_secret(name) or self._is_secret(self._flag))

    def _is_secret(self, name: str | None) -> bool:
        """Whether a name, as it is escaped, is a secret's."""
        if name is not None and "\\" in name:
            try:
                name = str(from_json(f'"{name}"'))
            except ValueError:
                return False
        return name is not None and self._kind_of_name(name) is not None

    def _in_string(self, string: _OpenString, piece: str, start: int, shown: list[str]) -> int:
        match = _CHARACTERS.match(piece, start)
        end = start if match is None else match.end()
        shown.append(string.add(piece[start:end], self._redactor))
        if end == len(piece):
            return end
        if piece[end] == "\\" and end + 1 == len(piece):
            self._rest = "\\"
        elif piece[end] == '"':
            shown += (string.close(self._redactor), '"')
            self._end_string(string)
        elif not string.is_dropped:
            self.is_over = True
            return end
        return end + 1

    def _end_string(self, string: _OpenString) -> None:
        level, self._string = self._levels[-1], None
        text = string.beginning
        if string.is_key:
            level.name = text
        elif level.is_list:
            self._flag = text if _FLAG.fullmatch(text) else None
        elif level.name is not None and level.name.lower() in ("name", "key"):
            level.label = text


class _OpenString:
    """A string of a document that has not come to its end."""

    def __init__(
        self,
        name: str | None = None,
        flag: str | None = None,
        *,
        is_key: bool = False,
        is_secret: bool = False,
    ) -> None:
        self.is_key = is_key
        self.is_dropped = False
        self.beginning = ""
        self.waiting = ""
        self._name = name
        self._flag = flag
        self._is_secret = is_secret
        self._waits = not is_key

    def add(self, raw: str, redactor: Redactor) -> str:
        """Take in characters, as they are escaped; returns what can go on."""
        if len(self.beginning) < _BRIEF:
            self.beginning += raw[:_BRIEF]
        if self.is_dropped:
            return ""
        if not self._waits:
            return raw
        self.waiting += raw
        opening = _OPENING.match(self.waiting)
        if not self._is_secret and opening is not None and opening["bracket"] is None:
            # Nothing but white space may yet become a document.
            self._waits = opening.end() == len(self.waiting)
        if not self._waits or len(self.waiting) > HELD_MAX:
            self.is_dropped = self._waits
            text, self.waiting = self.waiting, ""
            return withheld(redactor, text) if self.is_dropped else text
        return ""

    def close(self, redactor: Redactor) -> str:
        """The string is complete; returns what of it has not gone on."""
        raw, self.waiting = self.waiting, ""
        if not raw:
            return ""
        name = self._flag if self._flag is not None and not raw.startswith("-") else self._name
        head, tail = f'{{"{name or ""}":"', '"}'
        try:
            document = redactor.redact(f"{head}{raw}{tail}".encode()).payload.decode()
        except ValueError:
            return withheld(redactor, raw)
        if not document.startswith(head):
            return withheld(redactor, raw)
        return document[len(head) : -len(tail)]


def withheld(redactor: Redactor, text: str) -> str:
    """What is shown in place of a text that is too long to be examined."""
    return str(from_json(redactor.withhold(to_json(text)).payload))
