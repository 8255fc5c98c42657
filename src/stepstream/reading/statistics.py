"""Statistics of what was recorded lately: kinds, tools, models, tokens, cost, losses, the lag of recording.

All of it is counted in SQL over a bounded number of the newest steps, and the answer says which those are.
A percentile is the smallest value that so many percent of the values do not exceed.

Knows columns and a few places in payloads. Must not know who asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Loss, Observation, ToolCall
from stepstream.schemas.model_call import ModelCall, ModelReply
from stepstream.schemas.record import Record

if TYPE_CHECKING:
    from stepstream.reading.condition import Condition
    from stepstream.reading.database import Reader

STEPS_MAX = 50_000
NAMES_MAX = 100
MOMENTS = 60
_NAME_CHARACTERS_MAX = 200


class KindFigures(Record):
    """How many steps are of a kind.

    Attributes:
        kind: The kind.
        steps: How many steps are of it.
    """

    kind: str
    steps: int


class Percentiles(Record):
    """How a duration is spread; None where nothing was measured.

    Attributes:
        count: How many were measured.
        p50_ns: Half of them are no longer.
        p95_ns: Ninety-five of a hundred are no longer.
        max_ns: The longest.
    """

    count: int
    p50_ns: int | None
    p95_ns: int | None
    max_ns: int | None


class CallFigures(Record):
    """How the calls of a tool or of a model went.

    Attributes:
        name: The tool, or the model as it was asked for.
        calls: How many began.
        errors: How many of them ended with an error.
        cancelled: How many of them were cancelled.
        open: How many of them nothing has closed.
        error_rate: Errors as a share of the calls that ended, from 0 to 1; None when none ended.
        duration: How long they took.
    """

    name: str
    calls: int
    errors: int
    cancelled: int
    open: int
    error_rate: float | None
    duration: Percentiles


class CostFigures(Record):
    """Money in one currency.

    Attributes:
        currency: ISO 4217.
        amount: The sum.
    """

    currency: str
    amount: float


class ModelFigures(Record):
    """What the calls of a model took, as far as it was stated.

    Attributes:
        calls: How they went.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        cached_input_tokens: Those of the tokens sent that the provider had cached.
        reasoning_tokens: Tokens of reasoning.
        costs: Money, by currency.
    """

    calls: CallFigures
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    costs: tuple[CostFigures, ...]


class LossFigures(Record):
    """Steps known to be missing, as the Loss steps among those counted tell.

    Attributes:
        reports: How many Loss steps there are.
        steps: How many steps they say are missing, where they know.
    """

    reports: int
    steps: int


class MomentFigures(Record):
    """How many steps were committed in a stretch of time.

    Attributes:
        at: When it begins; ns since 1970 UTC.
        steps: How many steps.
        errors: How many of them are errors.
    """

    at: int
    steps: int
    errors: int


class HistoryStatistics(Record):
    """Figures of the newest steps.

    Attributes:
        since: Steps committed before this moment were left out; ns since 1970 UTC.
        until: Up to when steps were counted.
        after: Steps up to this cursor were left out.
        cursor: The last cursor that was looked at.
        looked_at: How many steps were looked at, passing the filter or not; at most 50,000.
        is_complete: False when there are so many steps that the oldest of them were left out.
        steps: How many steps were counted.
        errors: How many of them are errors.
        kinds: The steps by kind, the most frequent one first; at most a hundred.
        tools: The tools, the one with the most calls first; at most a hundred.
        models: The models, likewise.
        losses: What is known to be missing.
        lag: From when a step occurred to when it was committed.
        moments: Steps over time; those in which nothing happened are left out.
        moment_ns: How long such a stretch is.
    """

    since: int
    until: int
    after: int
    cursor: int
    looked_at: int
    is_complete: bool
    steps: int
    errors: int
    kinds: tuple[KindFigures, ...]
    tools: tuple[CallFigures, ...]
    models: tuple[ModelFigures, ...]
    losses: LossFigures
    lag: Percentiles
    moments: tuple[MomentFigures, ...]
    moment_ns: int


def _percentile(column: str, percent: int) -> str:
    """SQL for a percentile of a column, in rows that ``place`` and ``measured`` number and count."""
    return f"max(CASE WHEN place = (measured * {percent} + 99) / 100 THEN {column} END)"


_WHERE = "step.cursor > ? AND step.cursor <= ? AND ({condition})"
_COUNTED = (
    "WITH chosen AS MATERIALIZED (SELECT step.kind, step.recorded_at,"
    f" step.recorded_at - step.occurred_at AS lag FROM step WHERE {_WHERE})"
    " SELECT 'kind', kind, count(*), NULL, NULL FROM chosen GROUP BY kind"
    f" UNION ALL SELECT 'moment', (recorded_at - ?) / ?, count(*), sum(kind = '{ErrorReport.kind}'), NULL"
    " FROM chosen GROUP BY 2"
    f" UNION ALL SELECT 'lag', count(*), {_percentile('lag', 50)}, {_percentile('lag', 95)}, max(lag) FROM"
    " (SELECT lag, row_number() OVER (ORDER BY lag) AS place, count(*) OVER () AS measured FROM chosen)"
)
_LOST = (
    "SELECT count(*),"
    " total(coalesce(payload ->> '$.last', payload ->> '$.first') - (payload ->> '$.first') + 1)"
    f" FROM step WHERE kind = '{Loss.kind}' AND {_WHERE}"
)
_CALLS = (
    "WITH call AS MATERIALIZED (SELECT"
    f" substr(step.payload ->> '{{name}}', 1, {_NAME_CHARACTERS_MAX}) AS name,"
    f" closer.kind IS NULL AS open, closer.kind = '{ErrorReport.kind}' AS error,"
    f" closer.kind IN ('{Observation.kind}', '{ModelReply.kind}') AND closer.payload ->> '$.cancelled'"
    " AS cancelled, closer.occurred_at - step.occurred_at AS duration, closer.cursor AS closer"
    " FROM step LEFT JOIN step AS closer ON closer.cursor ="
    " (SELECT min(other.cursor) FROM step AS other WHERE other.closes = step.id)"
    f" WHERE step.kind = '{{kind}}' AND {_WHERE})"
)
_PER_NAME = (
    ", ranked AS (SELECT *, row_number() OVER (PARTITION BY name ORDER BY duration NULLS LAST) AS place,"
    " count(duration) OVER (PARTITION BY name) AS measured FROM call)"
    " SELECT name, count(*), total(error), total(cancelled), total(open), count(duration),"
    f" {_percentile('duration', 50)}, {_percentile('duration', 95)}, max(duration)"
    f" FROM ranked WHERE name IS NOT NULL GROUP BY name ORDER BY 2 DESC, 1 LIMIT {NAMES_MAX}"
)
_USED = (
    " SELECT name, substr(reply.payload ->> '$.cost.currency', 1, 10),"
    " total(reply.payload ->> '$.usage.input_tokens'), total(reply.payload ->> '$.usage.output_tokens'),"
    " total(reply.payload ->> '$.usage.cached_input_tokens'),"
    " total(reply.payload ->> '$.usage.reasoning_tokens'), total(reply.payload ->> '$.cost.amount')"
    f" FROM call JOIN step AS reply ON reply.cursor = call.closer AND reply.kind = '{ModelReply.kind}'"
    " GROUP BY 1, 2"
)
_NameRow = tuple[str, int, float, float, float, int, int | None, int | None, int | None]
_UsedRow = tuple[str, str | None, float, float, float, float, float]


def statistics(reader: Reader, condition: Condition, since: int, until: int) -> HistoryStatistics:
    """Count the newest steps.

    Args:
        reader: The history.
        condition: What holds for the steps to count.
        since: Leave out what was committed before; ns since 1970 UTC.
        until: The moment of asking.

    Raises:
        StoreError: The database cannot be read.
    """
    last = reader.last_cursor()
    begin = _committed_before(reader, since, last)
    after = max(begin, last - STEPS_MAX)
    begins_at = since if after == begin else _committed_at(reader, after) or since
    moment = max(1, -(-(until - begins_at) // MOMENTS))
    count = _Count(reader, condition, after, last)
    kinds, moments, lag = count.steps(begins_at, moment)
    return HistoryStatistics(
        since=since,
        until=until,
        after=after,
        cursor=last,
        looked_at=last - after,
        is_complete=after == begin,
        steps=sum(each.steps for each in kinds),
        errors=sum(each.steps for each in kinds if each.kind == ErrorReport.kind),
        kinds=kinds[:NAMES_MAX],
        tools=count.tools(),
        models=count.models(),
        losses=count.losses(),
        lag=lag,
        moments=moments,
        moment_ns=moment,
    )


def _committed_before(reader: Reader, moment: int, last: int) -> int:
    """The last cursor that was committed before a moment, found by halving; cursors are in commit order."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        at = _committed_at(reader, middle)
        if at is not None and at < moment:
            low = middle + 1
        else:
            high = middle
    return low


def _committed_at(reader: Reader, after: int) -> int | None:
    """When the first step behind a cursor was committed."""
    sql = "SELECT recorded_at FROM step WHERE cursor > ? ORDER BY cursor LIMIT 1"
    return cast("int | None", reader.first(sql, (after,)))


class _Count:
    """What is counted of the steps between two cursors."""

    def __init__(self, reader: Reader, condition: Condition, after: int, last: int) -> None:
        self._reader = reader
        self._condition = condition.sql
        self._arguments = (after, last, *condition.arguments)

    def steps(
        self, begins_at: int, moment: int
    ) -> tuple[tuple[KindFigures, ...], tuple[MomentFigures, ...], Percentiles]:
        """The steps by kind and over time, and their lag."""
        sql = _COUNTED.format(condition=self._condition)
        kinds: list[KindFigures] = []
        moments: list[MomentFigures] = []
        lag = Percentiles(count=0, p50_ns=None, p95_ns=None, max_ns=None)
        for row in self._reader.select(sql, (*self._arguments, begins_at, moment)):
            match row:
                case ("kind", str(kind), int(steps), *_):
                    kinds.append(KindFigures(kind=kind, steps=steps))
                case ("moment", int(index), int(steps), int(errors), _):
                    moments.append(MomentFigures(at=begins_at + index * moment, steps=steps, errors=errors))
                case ("lag", int(count), int(p50), int(p95), int(longest)):
                    lag = Percentiles(count=count, p50_ns=p50, p95_ns=p95, max_ns=longest)
                case _:
                    continue
        kinds.sort(key=lambda each: (-each.steps, each.kind))
        moments.sort(key=lambda each: each.at)
        return tuple(kinds), tuple(moments), lag

    def tools(self) -> tuple[CallFigures, ...]:
        """How the calls of each tool went."""
        calls = _CALLS.format(name="$.tool", kind=ToolCall.kind, condition=self._condition)
        return self._calls(calls)

    def models(self) -> tuple[ModelFigures, ...]:
        """How the calls of each model went, and what they took."""
        calls = _CALLS.format(name="$.model", kind=ModelCall.kind, condition=self._condition)
        used: dict[str, list[_UsedRow]] = {}
        for row in cast("list[_UsedRow]", self._reader.select(calls + _USED, self._arguments)):
            used.setdefault(row[0], []).append(row)
        return tuple(_model(each, used.get(each.name, [])) for each in self._calls(calls))

    def _calls(self, calls: str) -> tuple[CallFigures, ...]:
        rows = cast("list[_NameRow]", self._reader.select(calls + _PER_NAME, self._arguments))
        return tuple(_outcome(row) for row in rows)

    def losses(self) -> LossFigures:
        """What is known to be missing."""
        sql = _LOST.format(condition=self._condition)
        reports, steps = cast("tuple[int, float]", self._reader.select(sql, self._arguments)[0])
        return LossFigures(reports=reports, steps=round(steps))


def _outcome(row: _NameRow) -> CallFigures:
    name, calls, errors, cancelled, still_open, measured, p50, p95, longest = row
    ended = calls - round(still_open)
    return CallFigures(
        name=name,
        calls=calls,
        errors=round(errors),
        cancelled=round(cancelled),
        open=round(still_open),
        error_rate=round(errors / ended, 4) if ended else None,
        duration=Percentiles(count=measured, p50_ns=p50, p95_ns=p95, max_ns=longest),
    )


def _model(calls: CallFigures, used: list[_UsedRow]) -> ModelFigures:
    return ModelFigures(
        calls=calls,
        input_tokens=round(sum(row[2] for row in used)),
        output_tokens=round(sum(row[3] for row in used)),
        cached_input_tokens=round(sum(row[4] for row in used)),
        reasoning_tokens=round(sum(row[5] for row in used)),
        costs=tuple(
            CostFigures(currency=currency, amount=row[6]) for row in used if (currency := row[1]) is not None
        ),
    )
