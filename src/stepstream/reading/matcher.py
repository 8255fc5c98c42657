"""The filter over Step objects, for following what is being recorded.

Says the same of a step as the SQL of ``condition.py`` says of its row, as far as is known when it is asked:
whether a tool call took longer than five seconds is known when its observation comes, and then both are told.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, assert_never

from stepstream.reading import leaves
from stepstream.reading.condition import not_of_a_step
from stepstream.reading.filter import (
    All,
    Compares,
    Contains,
    Either,
    Figure,
    Has,
    Named,
    Not,
    Operator,
    Possession,
    Resembles,
    Stands,
    When,
    Word,
)
from stepstream.reading.span import of_step
from stepstream.schemas.core import OPENING_KINDS
from stepstream.schemas.kinds import ToolCall
from stepstream.schemas.model_call import ModelReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.reading.filter import Expression, Filter
    from stepstream.schemas.step import Step

    Test = Callable[[Step], bool]

_COMPARISONS: dict[Operator, Callable[[int | float, int | float], bool]] = {
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.EQUAL: operator.eq,
}


class Surroundings(Protocol):
    """What a filter may ask about the steps around one."""

    def opener(self, step: Step) -> Step | None:
        """The step that this one closes, when it is known."""
        ...

    def closer(self, step: Step) -> Step | None:
        """The step that closes this one, when it is known."""
        ...

    def has_ended(self, episode_id: str) -> bool:
        """Whether an episode is known to have ended."""
        ...


class Passing:
    """The surroundings in a live stream: what went by and is still open."""

    def __init__(self, steps_max: int = 1_000) -> None:
        self._steps_max = steps_max
        self._open: OrderedDict[str, Step] = OrderedDict()

    def note(self, step: Step) -> None:
        """Remember a step that opens something, and forget the one that this step closes."""
        if step.kind in OPENING_KINDS:
            self._open[step.id] = step
            if len(self._open) > self._steps_max:
                self._open.popitem(last=False)
        if step.closes is not None:
            self._open.pop(step.closes, None)

    def opener(self, step: Step) -> Step | None:
        return None if step.closes is None else self._open.get(step.closes)

    def closer(self, step: Step) -> Step | None:  # noqa: ARG002 - it comes later
        return None

    def has_ended(self, episode_id: str) -> bool:  # noqa: ARG002 - nobody waits for what a stream shows now
        return False


class StepMatcher:
    """Tells whether a step passes a filter."""

    def __init__(self, filter: Filter, now: int, surroundings: Surroundings | None = None) -> None:
        """Compile a filter.

        Args:
            filter: The filter.
            now: What ``since:-5m`` counts from; ns since 1970 UTC.
            surroundings: What is known of other steps; by default those that were asked about before.

        Raises:
            FilterInvalid: It asks for something that only an episode has.
        """
        self._filter = filter
        self._now = now
        self._passing = Passing() if surroundings is None else None
        self._around: Surroundings = surroundings or self._passing or Passing()
        self._test = self._compile(filter.expression)

    def __call__(self, step: Step) -> bool:
        passes = self._test(step)
        if self._passing is not None:
            self._passing.note(step)
        return passes

    def _compile(self, expression: Expression) -> Test:  # noqa: C901, PLR0911 - one case a node
        match expression:
            case All(parts):
                every = [self._compile(part) for part in parts]
                return lambda step: all(test(step) for test in every)
            case Either(parts):
                some = [self._compile(part) for part in parts]
                return lambda step: any(test(step) for test in some)
            case Not(part):
                inner = self._compile(part)
                return lambda step: not inner(step)
            case Resembles(word=None, regex=source):
                return lambda step: leaves.matches(_json(step), source)
            case Contains(text=text):
                folded = leaves.fold(text)
                return lambda step: leaves.contains(_json(step), folded)
            case Named() | Resembles():
                return self._named(expression)
            case Stands(status=status):
                return lambda step: self._status(step) is status
            case Has(what=what):
                return self._has(what)
            case Compares():
                return self._compared(expression)
            case When(moment=moment, is_ago=is_ago, before=before):
                limit = self._now - moment if is_ago else moment
                return lambda step: (step.occurred_at < limit) is before
            case _:
                assert_never(expression)

    def _named(self, condition: Named | Resembles) -> Test:
        value = self._word(condition)
        match condition:
            case Named(value=wanted, is_glob=True):
                return lambda step: (found := value(step)) is not None and leaves.matches_glob(wanted, found)
            case Named(value=wanted):
                return lambda step: value(step) == wanted
            case Resembles(regex=source):
                search = leaves.regex(source)
                return lambda step: (found := value(step)) is not None and search(found)
            case _:
                assert_never(condition)

    def _word(self, condition: Named | Resembles) -> Callable[[Step], str | None]:
        match condition.word:
            case Word.KIND:
                return lambda step: step.kind
            case Word.AGENT:
                return lambda step: step.agent
            case Word.ROLE:
                return lambda step: step.role
            case Word.TOOL:
                return self._tool
            case word:
                raise not_of_a_step(self._filter, condition.position, str(word))

    def _compared(self, condition: Compares) -> Test:
        compare, limit = _COMPARISONS[condition.operator], condition.value
        figure: Callable[[Step], int | float | None]
        match condition.figure:
            case Figure.DURATION:
                figure = self._duration
            case Figure.TOKENS:
                figure = self._tokens
            case Figure.COST:
                figure = self._cost
            case Figure.SEQUENCE:
                return lambda step: compare(step.sequence, limit)
            case other:
                raise not_of_a_step(self._filter, condition.position, other)
        return lambda step: (found := figure(step)) is not None and compare(found, limit)

    def _has(self, what: Possession) -> Test:
        match what:
            case Possession.ARTIFACT:
                return lambda step: leaves.has_artifact(_json(step))
            case Possession.TOKENS:
                return lambda step: self._tokens(step) is not None
            case Possession.COST:
                return lambda step: self._cost(step) is not None
            case _:
                assert_never(what)

    def _status(self, step: Step) -> str | None:
        return of_step(step, self._around.closer(step), ended=self._around.has_ended(step.episode_id))

    def _tool(self, step: Step) -> str | None:
        if isinstance(step.payload, ToolCall):
            return step.payload.tool
        opener = self._around.opener(step)
        return opener.payload.tool if opener is not None and isinstance(opener.payload, ToolCall) else None

    def _duration(self, step: Step) -> int | None:
        closer = self._around.closer(step)
        if closer is not None:
            return closer.occurred_at - step.occurred_at
        opener = self._around.opener(step)
        return None if opener is None else step.occurred_at - opener.occurred_at

    def _reply(self, step: Step) -> ModelReply | None:
        if isinstance(step.payload, ModelReply):
            return step.payload
        closer = self._around.closer(step)
        return closer.payload if closer is not None and isinstance(closer.payload, ModelReply) else None

    def _tokens(self, step: Step) -> int | None:
        reply = self._reply(step)
        if reply is None or reply.usage is None:
            return None
        used = (reply.usage.input_tokens, reply.usage.output_tokens)
        return None if used == (None, None) else sum(count or 0 for count in used)

    def _cost(self, step: Step) -> float | None:
        reply = self._reply(step)
        return None if reply is None or reply.cost is None else reply.cost.amount


def _json(step: Step) -> str:
    return step.payload.encoded().decode()
