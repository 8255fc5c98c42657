"""One step for people, with every field of its payload whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from stepstream.cli.brief import brief
from stepstream.cli.figures import clock_time, date_time, duration
from stepstream.cli.output import Block, Ink, Span, bold, dim
from stepstream.cli.summary import summarise
from stepstream.cli.untrusted import columns, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.cli.output import Line
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.record import JsonObject, JsonValue
    from stepstream.schemas.step import Step

_LABEL_COLUMNS = 12
_LABEL_COLUMNS_MAX = 28
_UNCUT = 2_000
_INLINE_MAX = 100


def step_lines(
    episode: Episode, step: Step, opener: Step | None, closer: Step | None, width: int | None
) -> Iterator[Line | Block]:
    """Everything that is known of a step."""
    summary = summarise(step, opener)
    title = one_line(f"step {step.sequence} of {episode.name}")
    yield Span(summary.mark.glyph, summary.mark.ink), Span(" "), bold(title)
    agent = " / ".join(filter(None, dict.fromkeys((step.agent, step.role))))
    yield from _facts(
        ("kind", f"{step.kind}, version {step.schema_version}"),
        ("agent", agent),
        ("occurred", f"{date_time(step.occurred_at)[:11]}{clock_time(step.occurred_at)}"),
        ("recorded", f"{duration(step.recorded_at - step.occurred_at)} later"),
        ("process", f"{step.origin.pid} on {step.origin.host}, recorder {step.origin.recorder_id}"),
        ("id", step.id),
        ("episode", step.episode_id),
        ("cursor", str(step.cursor)),
        ("under", step.parent_id or ""),
        ("closes", _other(opener, step.closes, width)),
        ("closed by", _other(closer, None, width)),
        ("flags", "it came after the episode had ended" if step.after_end else ""),
    )
    yield ()
    yield from _fields(from_json(step.payload.encoded()))


def _fields(payload: JsonObject) -> Iterator[Line | Block]:
    """The fields of a payload; those that say nothing are only named."""
    said = {name: value for name, value in payload.items() if value not in (None, [], {}, "")}
    if said.get("traceback"):
        # The same as data, for programs.
        said.pop("frames", None)
    label_columns = max([_LABEL_COLUMNS, *(len(name) + 2 for name in said)])
    for name, value in said.items():
        yield from _field(name, value, min(label_columns, _LABEL_COLUMNS_MAX))
    empty = [name for name in payload if name not in said and name != "frames"]
    if empty:
        yield (dim(f"  {'empty':<{min(label_columns, _LABEL_COLUMNS_MAX)}}{one_line(', '.join(empty))}"),)


def _facts(*facts: tuple[str, str]) -> Iterator[Line]:
    for label, text in facts:
        if text:
            yield dim(f"  {label:<{_LABEL_COLUMNS}}"), Span(one_line(text))


def _other(step: Step | None, step_id: str | None, width: int | None) -> str:
    if step is None:
        return step_id or ""
    summary = summarise(step)
    room = (_UNCUT if width is None else width) - _LABEL_COLUMNS - 14
    return f"step {step.sequence}, {summary.mark.glyph} {''.join(summary.fitted(room))}"


def _field(name: str, value: JsonValue, label_columns: int) -> Iterator[Line | Block]:
    """A field of a payload: beside its name when it is short, below it when it is not."""
    label = dim(f"  {one_line(name):<{label_columns}}")
    if isinstance(value, str) and ("\n" in value or columns(value) > _INLINE_MAX):
        yield (label,)
        yield Block(value.strip("\n"), "    ", Ink.PLAIN)
    elif isinstance(value, dict | list) and len(to_json(value)) > _INLINE_MAX:
        yield (label,)
        yield Block(to_json(value, indent=2).decode(), "    ", Ink.PLAIN)
    elif isinstance(value, dict | list):
        yield label, Span(one_line(to_json(value).decode()))
    else:
        yield label, Span(one_line(brief(value)))
