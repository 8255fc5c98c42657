"""The filter as SQL: a condition with its arguments, over rows of ``step`` or of ``episode``.

Knows the tables and what each key means for them. What a person wrote only ever becomes an argument. The
functions it calls (see ``functions.py``) are this project's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from stepstream.errors import FilterInvalid
from stepstream.reading.filter import (
    All,
    Compares,
    Contains,
    Either,
    Figure,
    Has,
    Named,
    Not,
    Possession,
    Resembles,
    Stands,
    When,
    Word,
)
from stepstream.reading.leaves import fold
from stepstream.reading.span import CLOSER_SQL, DURATION_SQL, EPISODE_STATUS_SQL, OPENER_SQL, STEP_STATUS_SQL
from stepstream.schemas.kinds import ToolCall
from stepstream.schemas.model_call import ModelReply

if TYPE_CHECKING:
    from stepstream.reading.filter import Expression, Filter

Argument = str | int | float | bytes


class Condition(NamedTuple):
    """SQL that is 0 or 1 for every row, and the arguments of its question marks."""

    sql: str
    arguments: tuple[Argument, ...]


ALWAYS = Condition("1", ())
_MOMENT_MAX = (1 << 63) - 1

_TOOL = (
    f"CASE WHEN step.kind = '{ToolCall.kind}' THEN step.payload ->> '$.tool' ELSE "
    + OPENER_SQL.format(
        value=f"CASE WHEN opener.kind = '{ToolCall.kind}' THEN opener.payload ->> '$.tool' END"
    )
    + " END"
)
_READ = "{row}.payload ->> '$.usage.input_tokens'"
_WRITTEN = "{row}.payload ->> '$.usage.output_tokens'"
_TOKENS = (
    f"CASE WHEN {_READ} IS NOT NULL OR {_WRITTEN} IS NOT NULL"
    f" THEN coalesce({_READ}, 0) + coalesce({_WRITTEN}, 0) END"
)
_COST = "{row}.payload ->> '$.cost.amount'"


def _of_reply(value: str) -> str:
    """A figure of the model's reply, which the call it closes has too."""
    closer = f"CASE WHEN closer.kind = '{ModelReply.kind}' THEN {value.format(row='closer')} END"
    own = value.format(row="step")
    return f"CASE WHEN step.kind = '{ModelReply.kind}' THEN {own} ELSE {CLOSER_SQL.format(value=closer)} END"


def _summed(value: str) -> str:
    return (
        f"(SELECT sum({value.format(row='step')}) FROM step"
        f" WHERE step.episode = episode.key AND step.kind = '{ModelReply.kind}')"
    )


_STEP_WORDS = {Word.KIND: "step.kind", Word.TOOL: _TOOL, Word.AGENT: "step.agent", Word.ROLE: "step.role"}
_STEP_FIGURES = {
    Figure.DURATION: DURATION_SQL,
    Figure.TOKENS: _of_reply(_TOKENS),
    Figure.COST: _of_reply(_COST),
    Figure.SEQUENCE: "step.sequence",
}
_EPISODE_WORDS = {Word.NAME: "episode.name", Word.PROBLEM: "episode.problem", Word.OUTCOME: "episode.outcome"}
_EPISODE_FIGURES = {
    Figure.DURATION: "coalesce(episode.ended_at, episode.last_at) - episode.started_at",
    Figure.TOKENS: _summed(_TOKENS),
    Figure.COST: _summed(_COST),
    Figure.SCORE: "episode.score",
    Figure.ATTEMPT: "episode.attempt",
    Figure.STEPS: "episode.next_sequence",
    Figure.ERRORS: "episode.errors",
}
_EPISODE_TEXTS = (
    "json_array(episode.name, episode.problem, episode.reason, episode.outcome, json(episode.tags)), NULL"
)
_STEP_TEXTS = "step.payload, step.pooled"
_HAS_ARTIFACT = "payload_has_artifact(step.payload, step.pooled)"


def step_condition(filter: Filter, now: int) -> Condition:
    """What a filter says of a row of ``step``.

    Args:
        filter: The filter.
        now: What ``since:-5m`` counts from; ns since 1970 UTC.

    Raises:
        FilterInvalid: It asks for something that only an episode has.
    """
    return _StepCompiler(filter, now).compile(filter.expression)


def episode_condition(filter: Filter, now: int) -> Condition:
    """What a filter says of a row of ``episode``.

    ``kind:``, ``tool:`` and ``seq:`` ask for a step of the episode; those that stand side by side ask for one
    step that is all of it, and behind ``-`` for an episode without such a step.
    """
    return _EpisodeCompiler(filter, now).compile(filter.expression)


def _all(parts: list[Condition]) -> Condition:
    return _joined(parts, " AND ") if parts else ALWAYS


def _joined(parts: list[Condition], operator: str) -> Condition:
    if len(parts) == 1:
        return parts[0]
    arguments = tuple(argument for part in parts for argument in part.arguments)
    return Condition(f"({operator.join(part.sql for part in parts)})", arguments)


def _word(column: str, condition: Named | Resembles) -> Condition:
    match condition:
        case Named(value=value, is_glob=True):
            return Condition(f"matches_glob(?, {column})", (value,))
        case Named(value=value):
            return Condition(f"(({column}) = ?) IS TRUE", (value,))
        case Resembles(regex=source):
            return Condition(f"matches_regex(?, {column})", (source,))
        case _:
            assert_never(condition)


def _compared(column: str, condition: Compares) -> Condition:
    return Condition(f"(({column}) {condition.operator.value} ?) IS TRUE", (condition.value,))


class _StepCompiler:
    """Rows of ``step``."""

    def __init__(self, filter: Filter, now: int) -> None:
        self._filter = filter
        self._now = now

    def compile(self, expression: Expression) -> Condition:  # noqa: C901, PLR0911 - one case a node
        match expression:
            case All(parts):
                return _all([self.compile(part) for part in parts])
            case Either(parts):
                return _joined([self.compile(part) for part in parts], " OR ")
            case Not(part):
                inner = self.compile(part)
                return Condition(f"NOT {inner.sql}", inner.arguments)
            case Resembles(word=None, regex=source):
                return Condition(f"payload_matches(?, {_STEP_TEXTS})", (source,))
            case Contains(text=text):
                return Condition(f"payload_contains(?, {_STEP_TEXTS})", (fold(text),))
            case Named() | Resembles():
                return self._named(expression)
            case Stands(status=status):
                return Condition(f"(({STEP_STATUS_SQL}) = ?) IS TRUE", (status.value,))
            case Has(what=what):
                return self._has(what)
            case Compares(figure=figure):
                column = _STEP_FIGURES.get(figure)
                if column is None:
                    raise self._not_of_a_step(expression.position, figure)
                return _compared(column, expression)
            case When():
                return self._when(expression, "step.occurred_at")
            case _:
                assert_never(expression)

    def _named(self, condition: Named | Resembles) -> Condition:
        word = condition.word
        column = None if word is None else _STEP_WORDS.get(word)
        if word is None or column is None:
            raise self._not_of_a_step(condition.position, str(word))
        return _word(column, condition)

    def _has(self, what: Possession) -> Condition:
        match what:
            case Possession.ARTIFACT:
                return Condition(_HAS_ARTIFACT, ())
            case Possession.TOKENS:
                return Condition(f"({_STEP_FIGURES[Figure.TOKENS]}) IS NOT NULL", ())
            case Possession.COST:
                return Condition(f"({_STEP_FIGURES[Figure.COST]}) IS NOT NULL", ())
            case _:
                assert_never(what)

    def _when(self, condition: When, column: str) -> Condition:
        moment = self._now - condition.moment if condition.is_ago else condition.moment
        # A column holds no moment beyond these, so that a limit there says the same.
        limit = max(-_MOMENT_MAX, min(moment, _MOMENT_MAX))
        return Condition(f"{column} {'<' if condition.before else '>='} ?", (limit,))

    def _not_of_a_step(self, position: int, key: str) -> FilterInvalid:
        return not_of_a_step(self._filter, position, key)


def not_of_a_step(filter: Filter, position: int, key: str) -> FilterInvalid:
    """The error for a key that only episodes have."""
    return FilterInvalid(
        filter.text, position, f"{key} is something of episodes; expected a key that steps have"
    )


class _EpisodeCompiler(_StepCompiler):
    """Rows of ``episode``."""

    def __init__(self, filter: Filter, now: int) -> None:
        super().__init__(filter, now)
        self._steps = _StepCompiler(filter, now)

    def compile(self, expression: Expression) -> Condition:  # noqa: PLR0911 - one case a node
        match expression:
            case All(parts):
                ours = [self.compile(part) for part in parts if not _asks_for_a_step(part)]
                theirs = [self._steps.compile(part) for part in parts if _asks_for_a_step(part)]
                return _all(ours + ([_some_step(_all(theirs))] if theirs else []))
            case Named(word=Word.KIND | Word.TOOL) | Resembles(word=Word.KIND | Word.TOOL):
                return _some_step(self._steps.compile(expression))
            case Compares(figure=Figure.SEQUENCE):
                return _some_step(self._steps.compile(expression))
            case Compares(figure=figure):
                return _compared(_EPISODE_FIGURES[figure], expression)
            case Resembles(word=None, regex=source):
                return Condition(f"payload_matches(?, {_EPISODE_TEXTS})", (source,))
            case Contains(text=text):
                return Condition(f"payload_contains(?, {_EPISODE_TEXTS})", (fold(text),))
            case Stands(status=status):
                return Condition(
                    f"({EPISODE_STATUS_SQL.format(column='episode.status')}) = ?", (status.value,)
                )
            case When():
                return self._when(expression, "episode.started_at")
            case Either() | Not() | Named() | Resembles() | Has():
                return super().compile(expression)
            case _:
                assert_never(expression)

    def _named(self, condition: Named | Resembles) -> Condition:
        match condition.word:
            case Word.AGENT | Word.ROLE:
                own = _word(f"episode.{condition.word}", condition)
                return _joined([own, _some_step(self._steps.compile(condition))], " OR ")
            case Word.TAG:
                tag = _word("tag.value", condition)
                return Condition(
                    f"EXISTS (SELECT 1 FROM json_each(episode.tags) AS tag WHERE {tag.sql})", tag.arguments
                )
            case Word.NAME | Word.PROBLEM | Word.OUTCOME:
                return _word(_EPISODE_WORDS[condition.word], condition)
            case Word.KIND | Word.TOOL | None:
                return _some_step(self._steps.compile(condition))
            case _:
                assert_never(condition.word)

    def _has(self, what: Possession) -> Condition:
        match what:
            case Possession.ARTIFACT:
                return _some_step(Condition(_HAS_ARTIFACT, ()))
            case Possession.TOKENS:
                return Condition(f"({_EPISODE_FIGURES[Figure.TOKENS]}) IS NOT NULL", ())
            case Possession.COST:
                return Condition(f"({_EPISODE_FIGURES[Figure.COST]}) IS NOT NULL", ())
            case _:
                assert_never(what)


def _asks_for_a_step(expression: Expression) -> bool:
    """Whether it only asks, without negation, for a kind, a tool or a sequence."""
    match expression:
        case All(parts) | Either(parts):
            return bool(parts) and all(_asks_for_a_step(part) for part in parts)
        case Named(word=word) | Resembles(word=word):
            return word in (Word.KIND, Word.TOOL)
        case Compares(figure=figure):
            return figure is Figure.SEQUENCE
        case _:
            return False


def _some_step(condition: Condition) -> Condition:
    return Condition(
        f"EXISTS (SELECT 1 FROM step WHERE step.episode = episode.key AND {condition.sql})",
        condition.arguments,
    )
