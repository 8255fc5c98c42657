"""A text that is shown while it is being written, without the secrets that arrive in it piece by piece.

What is shown of it is what the redactor leaves of the whole text, up to a place behind which no rule can
still be at work; the rest waits. Where what waits becomes too much, or a piece is missing, nobody can say any
more whether the next characters end a secret: the text goes on being shown at a line that stands for itself.

Knows texts. Must not know whose text it is or who is shown it.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from stepstream.store.live_document import HELD_MAX, LiveDocument, withheld
from stepstream.store.secret_beginnings import held_from, word_start

if TYPE_CHECKING:
    from stepstream.store.redaction import Redactor
    from stepstream.store.secret_beginnings import Beginning, Beginnings

logger = logging.getLogger("stepstream")

# What was shown is remembered as far back as any rule looks from a secret, and looked at again as far back as
# its name may stand.
_REMEMBERED = 600
_NEARBY = 400
_LINE_MAX = 1_000
# Up to so many characters that wait, and beginnings that were met in what is remembered, every piece is
# looked at as it comes.
_WAITING_FEW = 512
_MET_FEW = 8
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
        self._met = 0
        self._looks_again_at = 0
        self._begun: list[Beginning] = []
        self._is_lost = False
        self._document: LiveDocument | None = None
        self._has_begun = False
        self._has_failed = False

    def lose(self) -> None:
        """Say that a piece is missing here: what waits is dropped, what comes is not shown for a while."""
        self._text = ""
        self._shown = self._searched = self._met = self._looks_again_at = 0
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
            return shown + self._give_up()
        # What waits for long, and what swarms with beginnings, is looked at less often: else the price of a
        # text would be the square of its length.
        pause = max(0, waiting - _WAITING_FEW) // 16 + 4 * max(0, self._met - _MET_FEW)
        self._looks_again_at = len(self._text) + pause
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
            found = list(self._beginnings.find(self._text, self._searched, known))
            self._begun += found
            self._met += len(found)
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
        """What is to be shown of what is certain, and up to where: less where a secret stands across the end.

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
        self._met = 0
        self._begun = [
            beginning._replace(at=beginning.at - count) for beginning in self._begun if beginning.at >= count
        ]
