"""Log records become steps, and the logger has a word for every kind."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator

import pytest
import structlog

from stepstream import (
    ArtifactRef,
    ErrorReport,
    LogLevel,
    LogLine,
    ObservabilityProvider,
    PlanItem,
    PlanStatus,
    PlanUpdate,
    Status,
    StepHandler,
    Thought,
    Unstorable,
    ValidationFailed,
    logger,
    structlog_processor,
)
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.kinds import InterventionKind
from stepstream.schemas.model_call import ModelCall, ModelReply
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


@pytest.fixture
def log(provider: ObservabilityProvider) -> Iterator[logging.Logger]:
    """A logger of the standard library whose records become steps of an episode."""
    found = logging.getLogger("project.solver")
    handler = StepHandler()
    found.addHandler(handler)
    found.setLevel(logging.DEBUG)
    found.propagate = False
    with provider.episode("test"):
        yield found
    found.removeHandler(handler)


def _lines(steps: list[LoggedStep]) -> list[LogLine]:
    return [step.payload for step in steps if isinstance(step.payload, LogLine)]


def test_a_record_becomes_a_line(log: logging.Logger, logged: Logged) -> None:
    """Level, logger, text, place and the extra fields are kept."""
    log.warning("residual %.1f", 0.5, extra={"iteration": 7, "tags": {"a"}})

    (line,) = _lines(logged())
    assert (line.level, line.logger, line.text) == (LogLevel.WARNING, "project.solver", "residual 0.5")
    assert line.fields == {"iteration": 7, "tags": ["a"]}
    assert line.file == __file__
    assert line.line is not None


@pytest.mark.parametrize(
    ("number", "level"),
    [(5, "debug"), (10, "debug"), (25, "info"), (35, "warning"), (40, "error"), (60, "critical")],
)
def test_levels_have_the_names_of_the_standard_library(
    log: logging.Logger, logged: Logged, number: int, level: str
) -> None:
    """A level in between takes the name of the one below."""
    log.setLevel(1)
    log.log(number, "x")

    assert _lines(logged())[0].level == level


def test_an_exception_in_a_record_stands_under_its_line(log: logging.Logger, logged: Logged) -> None:
    """exc_info becomes an ErrorReport whose parent is the line."""
    try:
        math.sqrt(-1)
    except ValueError:
        log.exception("it failed")

    line, report = logged()[1:3]
    assert isinstance(report.payload, ErrorReport)
    assert report.payload.exception_type == "ValueError"
    assert report.parent_id == line.id


class Rude:
    """A value that cannot be formatted, and logs while it is looked at."""

    def __repr__(self) -> str:
        logging.getLogger("project.solver").warning("somebody looks at me")
        raise RuntimeError("go away")

    __str__ = __repr__


def test_odd_records_raise_nothing(log: logging.Logger, logged: Logged) -> None:
    """Wrong arguments, hostile values and broken text are told, and never come back into the agent."""
    handler = log.handlers[0]
    for message, argument in (("%d items", "many"), ("%s", Rude()), ("surrogate \udcff and %s", math.nan)):
        record = log.makeRecord(
            log.name, logging.INFO, "x.py", 1, message, (argument,), None, extra={"x": math.nan}
        )
        handler.handle(record)
    handler.handle(log.makeRecord(log.name, logging.INFO, "x.py", 1, Rude(), (), None))

    lines = _lines(logged())
    assert [line.text for line in lines[:2]] == [
        "'%d items' with ('many',) raised TypeError",
        "'%s' with (<Rude whose repr raised RuntimeError>,) raised RuntimeError",
    ]
    assert lines[2].text == "'surrogate \\udcff and nan'"
    assert Unstorable.model_validate(lines[2].fields["text"]).reason == "it holds lone surrogates"
    assert Unstorable.model_validate(lines[2].fields["x"]).repr == "nan"
    assert len(lines) == 4


def test_our_own_records_are_not_heard(provider: ObservabilityProvider, logged: Logged) -> None:
    """A handler on the root logger does not turn our warnings into steps that cause warnings."""
    root = logging.getLogger()
    handler = StepHandler()
    root.addHandler(handler)
    try:
        logging.getLogger("project").warning("outside any episode")
    finally:
        root.removeHandler(handler)

    assert [line.text for line in _lines(logged())] == ["outside any episode"]


def test_structlog_events_become_lines(provider: ObservabilityProvider, logged: Logged) -> None:
    """The processor logs the event with its fields and hands it on unchanged."""
    rendered: list[dict[str, object]] = []

    def render(_: object, __: str, event: structlog.typing.EventDict) -> str:
        rendered.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(
        None, processors=[structlog.processors.add_log_level, structlog_processor, render], iteration=7
    )
    with provider.episode("test"):
        log.warning("residual", value=math.inf)
        try:
            math.sqrt(-1)
        except ValueError:
            log.exception("failed")

    first, second = _lines(logged())
    assert (first.level, first.text, first.fields["iteration"]) == (LogLevel.WARNING, "residual", 7)
    assert Unstorable.model_validate(first.fields["value"]).repr == "inf"
    assert second.level is LogLevel.ERROR
    assert logged()[3].kind == "error_report"
    assert rendered[0] == {"event": "residual", "value": math.inf, "iteration": 7, "level": "warning"}


def test_there_is_a_word_for_every_kind(provider: ObservabilityProvider, logged: Logged) -> None:
    """The logger's methods cover the core's kinds, but for what only stepstream itself can know."""
    artifact = ArtifactRef(sha256="0" * 64, name="x", media_type="x/y", size_bytes=1)
    with provider.episode("test", agent="planner") as episode:
        thought = logger.thought("hm")
        call = logger.tool_call("simulate", {"t": 1}, call_id="c")
        logger.observation({"ok": True}, closes=call, parent=call)
        logger.error("no convergence")
        logger.error(ValueError("holes"))
        asked = logger.model_call(ModelCall(model="m"))
        logger.model_reply(ModelReply(), closes=asked)
        logger.message("hello", author="Ann")
        logger.handoff("coder", recipient_role="engineer", message="yours")
        logger.plan(["mesh", PlanItem(text="solve", status=PlanStatus.ACTIVE)])
        logger.status(Status.RUNNING, reason="resumed")
        logger.feedback("reviewer", target=thought, score=0.5, reward=1.0)
        logger.intervention(InterventionKind.MESSAGE, author="Ann", text="faster", target=call)
        logger.artifact(artifact)
        logger.line("x", level=LogLevel.DEBUG, fields={"a": 1})
        logger.log(Thought(text="any payload"), agent="other")
        assert {step.episode_id for step in logged()} == {episode.id}

    kinds = [step.kind for step in logged()]
    assert set(kinds) == set(CORE_KINDS) - {"loss"}
    plan = next(step.payload for step in logged() if isinstance(step.payload, PlanUpdate))
    assert plan.items == (PlanItem(text="mesh"), PlanItem(text="solve", status=PlanStatus.ACTIVE))
    assert logged()[3].closes == call.id


def test_bad_data_is_refused_by_the_logger(provider: ObservabilityProvider) -> None:
    """The logger's methods are direct calls: they raise for the caller's own bad data."""
    with provider.episode("test"):
        with pytest.raises(ValidationFailed, match="text"):
            logger.thought(17)  # type: ignore[arg-type]
        with pytest.raises(ValidationFailed, match="finite"):
            logger.observation(math.nan)
        with pytest.raises(ValidationFailed, match="target"):
            logger.feedback("me", target="nobody")
