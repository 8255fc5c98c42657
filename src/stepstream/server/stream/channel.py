"""A channel: what all clients with the same question see, sifted once and encoded once.

Knows which steps pass and makes messages of them. Must not know who listens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from stepstream.reading.condition import Condition, step_condition
from stepstream.reading.filter import All, Compares, Either, Figure, Has, Not, Possession, Stands, When
from stepstream.reading.matcher import StepMatcher
from stepstream.schemas.identity import id_bytes
from stepstream.server.stream.message import deltas_message, portions, steps_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepstream.reading.filter import Expression, Filter
    from stepstream.schemas.stream import Delta
    from stepstream.server.stream.message import Message
    from stepstream.server.stream.ring import Page, Ring
    from stepstream.server.stream.vicinity import Vicinity

_MESSAGES_MAX = 4
_DELTA_MESSAGES_MAX = 32


class Question(NamedTuple):
    """What a client wants to see.

    Attributes:
        filter: What passes.
        episode: The id of the only episode to see; None for all.
        now: What relative times count from, ns since 1970 UTC; 0 where nothing does, so that more is shared.
    """

    filter: Filter
    episode: str | None
    now: int

    @classmethod
    def ask(cls, filter: Filter, episode: str | None, now: int) -> Question:
        """The question of a client that comes now."""
        return cls(filter, episode, now if _any(filter.expression, _is_relative) else 0)

    @property
    def key(self) -> tuple[str, str | None, int]:
        """What equal questions have in common."""
        return self.filter.text, self.episode, self.now


class _Sifted:
    """Those steps of a page that pass, as far as the page was looked at."""

    __slots__ = ("cursors", "encoded", "seen")

    def __init__(self) -> None:
        self.cursors: list[int] = []
        self.encoded: list[bytes] = []
        self.seen = 0


class Channel:
    """One question, and what was answered to it.

    Attributes:
        question: The question.
        condition: The same as SQL, for what is older than the ring.
        looks_ahead: Whether the answer depends on steps that come later, such as whether a call failed.
            Then what was there when a client came is asked of the table, which knows, wherever it stands.
        clients: How many clients share the channel.
        deltas_end: How many messages of deltas there ever were.
    """

    def __init__(self, question: Question, vicinity: Vicinity) -> None:
        """Compile a question.

        Raises:
            FilterInvalid: It asks for something that only an episode has.
        """
        self.question = question
        self.condition = _condition(question)
        self.looks_ahead = _any(question.filter.expression, _is_told_later)
        self.clients = 0
        self.deltas_end = 0
        self._vicinity = vicinity
        self._matches = StepMatcher(question.filter, question.now, vicinity)
        self._takes_all = question.filter.expression == All(())
        self._is_open = self._takes_all and question.episode is None
        self._sifted: dict[Page, _Sifted] = {}
        self._messages: dict[tuple[int, int], Message | None] = {}
        self._deltas: deque[Message] = deque(maxlen=_DELTA_MESSAGES_MAX)

    def told(self, ring: Ring, page: Page, after: int) -> Message | None:
        """The message for a page's steps behind a cursor; None when none of them passes."""
        key = after, page.last
        if key not in self._messages:
            if len(self._messages) >= _MESSAGES_MAX:
                self._messages.clear()
            self._messages[key] = self._tell(ring, page, after)
        return self._messages[key]

    def _tell(self, ring: Ring, page: Page, after: int) -> Message | None:
        sifted = page if self._is_open else self._sift(page)
        steps = sifted.encoded[bisect_right(sifted.cursors, after) :]
        return steps_message(ring.life.epoch, page.last, steps) if steps else None

    def _sift(self, page: Page) -> _Sifted:
        sifted = self._sifted.get(page)
        if sifted is None:
            sifted = self._sifted[page] = _Sifted()
        episode, matches = self.question.episode, self._matches
        for index in range(sifted.seen, len(page.cursors)):
            step = page.steps[index]
            if episode in (None, step.episode_id) and (self._takes_all or matches(step)):
                sifted.cursors.append(page.cursors[index])
                sifted.encoded.append(page.encoded[index])
        sifted.seen = len(page.cursors)
        return sifted

    def publish(self, deltas: Sequence[Delta], encoded: Sequence[bytes]) -> bool:
        """Take those deltas whose call is shown here; returns whether there is one."""
        if self._is_open:
            chosen = encoded
        else:
            chosen = [json for delta, json in zip(deltas, encoded, strict=True) if self._shows(delta)]
        for portion in portions(chosen):
            self._deltas.append(deltas_message(chosen[portion]))
            self.deltas_end += 1
        return bool(chosen)

    def _shows(self, delta: Delta) -> bool:
        if self.question.episode not in (None, delta.episode_id):
            return False
        if self._takes_all:
            return True
        call = self._vicinity.opened(delta.step_id)
        return call is not None and call.episode_id == delta.episode_id and self._matches(call)

    def deltas(self, index: int) -> tuple[int, Message]:
        """The message of deltas with a number, or the oldest one still there, and the number of the next."""
        index = max(index, self.deltas_end - len(self._deltas))
        return index + 1, self._deltas[index - self.deltas_end]

    def has_deltas(self, index: int) -> bool:
        """Whether there are deltas from a number on."""
        return bool(self._deltas) and index < self.deltas_end

    def forget(self, pages: Sequence[Page]) -> None:
        """Let go of what whoever keeps up has sent, and of pages that left the ring."""
        self._messages.clear()
        self._deltas.clear()
        self._sifted = {page: self._sifted[page] for page in pages if page in self._sifted}


def _condition(question: Question) -> Condition:
    condition = step_condition(question.filter, question.now)
    if question.episode is None:
        return condition
    # The plus keeps SQLite on the range of cursors, of which a window is read at a time.
    own = "+step.episode = (SELECT key FROM episode WHERE id = ?)"
    return Condition(f"{own} AND ({condition.sql})", (id_bytes(question.episode), *condition.arguments))


def _any(expression: Expression, test: Callable[[Expression], bool]) -> bool:
    """Whether some condition of a filter is of a sort."""
    match expression:
        case All(parts) | Either(parts):
            return any(_any(part, test) for part in parts)
        case Not(part):
            return _any(part, test)
        case condition:
            return test(condition)


def _is_relative(condition: Expression) -> bool:
    return isinstance(condition, When) and condition.is_ago


def _is_told_later(condition: Expression) -> bool:
    match condition:
        case Stands():
            return True
        case Compares(figure=figure):
            return figure in (Figure.DURATION, Figure.TOKENS, Figure.COST)
        case Has(what=what):
            return what in (Possession.TOKENS, Possession.COST)
        case _:
            return False
