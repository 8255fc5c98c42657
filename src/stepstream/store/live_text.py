"""A text that is shown while it is being written, without the secrets that arrive in it piece by piece.

What is shown of it is what the redactor leaves of the whole text, up to a place behind which no rule can
still be at work; the rest waits. Where what waits becomes too much, or a piece is missing, nobody can say any
more whether the next characters end a secret: the text goes on being shown at a line that stands for itself.

Knows texts, and JSON as text. Must not know whose text it is or who is shown it.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from stepstream.store.secret_beginnings import held_from, word_start

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.store.redaction import Redactor
    from stepstream.store.secret_beginnings import Beginning, Beginnings

logger = logging.getLogger("stepstream")

HELD_MAX = 16 * 1024
"""So many characters of a text wait at most; a private key has a quarter of it."""

# What was shown is remembered as far back as any rule looks from a secret, and looked at again as far back as
# its name may stand.
_REMEMBERED = 600
_NEARBY = 400
_LINE_MAX = 1_000
_SHORT = 512
_STEPS_MAX = 8
# Two words that begin a line: neither a line of a private key or of its head, nor one of a JSON document.
_LINE_FOR_ITSELF = re.compile(r"\n(?P<line>(?![A-Za-z-]{2,30}: )\w\S*[ \t]+\w[^\n]*\n)")


class LiveText:
    """One text that is shown while it is being written."""

    def __init__(self, redactor: Redactor, beginnings: Beginnings) -> None:
        """Begin an empty text.

        Args:
            redactor: Says what is a secret.
            beginnings: Says where one may have begun.
        """
        self._redactor = redactor
        self._beginnings = beginnings
        self._text = ""
        self._shown = 0
        self._searched = 0
        self._looks_again_at = 0
        self._begun: list[Beginning] = []
        self._is_lost = False
        self._document: LiveDocument | None = None
        self._has_begun = False
        self._has_failed = False

    def lose(self) -> None:
        """Say that a piece is missing here: what waits is dropped, what comes is not shown for a while."""
        self._text = ""
        self._shown = self._searched = self._looks_again_at = 0
        self._begun, self._document = [], None
        self._is_lost = self._has_begun = True

    def add(self, piece: str) -> str:
        """Take in the next piece.

        Returns:
            What can be shown now; nothing of it is to be shown again.
        """
        if self._has_failed:
            return ""
        try:
            return self._add(self._within_document(piece))
        except Exception as error:  # noqa: BLE001 - a project's own rule may raise anything
            logger.warning("redaction failed, an answer is not shown live: %s", type(error).__name__)
            self._has_failed = True
            self.lose()
            return ""

    def _within_document(self, piece: str) -> str:
        """What is to be read as text of a piece: all of it, unless the text is a document."""
        if not self._has_begun and piece.strip():
            self._has_begun = True
            if piece.lstrip().startswith(("{", "[")):
                self._document = LiveDocument(self._redactor, self._beginnings.kind_of)
        if self._document is None:
            return piece
        piece = self._document.add(piece)
        if self._document.is_over:
            self._document = None
        return piece

    def _add(self, piece: str) -> str:
        self._text += piece
        if self._is_lost and not self._find_again():
            return ""
        if len(self._text) < self._looks_again_at:
            return ""
        shown = self._look()
        waiting = len(self._text) - self._shown
        if waiting > HELD_MAX:
            shown += self._give_up()
        # What waits for long is looked at less often, or a long text would cost the square of its length.
        self._looks_again_at = len(self._text) + max(0, waiting - _SHORT) // 16
        return shown

    def _look(self) -> str:
        """Show what is certain by now."""
        known = word_start(self._text, len(self._text))
        end = self._certain_end(known)
        if end == self._shown:
            return ""
        fresh = self._text[self._shown : end]
        if self._redactor.suspects((to_json(self._text[max(0, self._shown - _NEARBY) : known]),)):
            end, fresh = self._redacted(end, known)
            if end < self._shown:
                return self._give_up()
        self._shown = end
        if end > 2 * _REMEMBERED:
            self._forget(word_start(self._text, end - _REMEMBERED))
        return fresh

    def _certain_end(self, known: int) -> int:
        """Up to where nothing that follows can make a secret of what stands there."""
        if known > self._searched:
            self._begun += self._beginnings.find(self._text, self._searched, known)
            self._searched = known
        end = word_start(self._text, max(0, len(self._text) - self._beginnings.reach))
        begun, self._begun = self._begun, []
        for beginning in begun:
            place = end if beginning.at >= end else held_from(self._text, beginning, known)
            if place is not None:
                self._begun.append(beginning)
                end = min(end, word_start(self._text, place))
        return max(self._shown, end)

    def _redacted(self, end: int, known: int) -> tuple[int, str]:
        """What is to be shown of what is certain, and up to where; less than that where a secret stands across.

        The end is in front of what was shown where that is judged otherwise now, as only a project's own rule
        can bring it about.
        """
        judged, before = self._redact(known), self._redact(self._shown)
        if not judged.startswith(before):
            return -1, ""
        for _ in range(_STEPS_MAX):
            # A part is not always judged as in the whole: what follows a value may make it a secret.
            text = judged if end == known else self._redact(end)
            if judged.startswith(text):
                return end, text[len(before) :]
            end = word_start(self._text, end - 1)
            if end <= self._shown:
                break
        return self._shown, ""

    def _redact(self, end: int) -> str:
        return str(from_json(self._redactor.redact(to_json(self._text[:end])).payload))

    def _give_up(self) -> str:
        """Show a placeholder for what waits, and lose the thread."""
        shown = withheld(self._redactor, self._text[self._shown :])
        self.lose()
        return shown

    def _find_again(self) -> bool:
        """Whether a line is found that stands for itself; what came before is dropped."""
        found = _LINE_FOR_ITSELF.search(self._text)
        if found is None:
            line = self._text.rfind("\n")
            self._text = self._text[line:] if line >= 0 and len(self._text) - line < _LINE_MAX else ""
            return False
        self._text = self._text[found.start("line") :]
        self._is_lost = False
        return True

    def _forget(self, count: int) -> None:
        self._text = self._text[count:]
        self._shown -= count
        self._searched -= count
        self._begun = [
            beginning._replace(at=beginning.at - count) for beginning in self._begun if beginning.at >= count
        ]


def withheld(redactor: Redactor, text: str) -> str:
    """What is shown in place of a text that is too long to be examined."""
    return str(from_json(redactor.withhold(to_json(text)).payload))


# -------------------------------------------------------------------------------------------- documents

_SIGN = re.compile(r"[\[\]{},:]|[^\s\[\]{},:]+")
_LITERAL = re.compile(r"[-+.0-9eEtrufalsn]+")
_CHARACTERS = re.compile(r'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*')
_OPENING = re.compile(r"(?:\s|\\[nrt])*(?P<bracket>[\[{])?")
_FLAG = re.compile(r"--?[A-Za-z][\w-]{0,63}")
_LEVELS_MAX = 200
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
        else:
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
        self.beginning = ""
        self.waiting = ""
        self._name = name
        self._flag = flag
        self._is_secret = is_secret
        self._waits = not is_key
        self._is_dropped = False

    def add(self, raw: str, redactor: Redactor) -> str:
        """Take in characters, as they are escaped; returns what can go on."""
        if len(self.beginning) < _BRIEF:
            self.beginning += raw[:_BRIEF]
        if self._is_dropped:
            return ""
        if not self._waits:
            return raw
        self.waiting += raw
        opening = _OPENING.match(self.waiting)
        if not self._is_secret and opening is not None and opening["bracket"] is None:
            # Nothing but white space may yet become a document.
            self._waits = opening.end() == len(self.waiting)
        if not self._waits or len(self.waiting) > HELD_MAX:
            self._is_dropped = self._waits
            text, self.waiting = self.waiting, ""
            return withheld(redactor, text) if self._is_dropped else text
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
