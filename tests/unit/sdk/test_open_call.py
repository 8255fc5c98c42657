"""A tool call is open until it is answered, once; whatever it is given, watching it raises nothing."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from stepstream import (
    ErrorReport,
    NotOpen,
    ObservabilityProvider,
    Observation,
    Thought,
    ToolCall,
    Unstorable,
    ValidationFailed,
    log_event,
    tool_call,
)
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


class Hostile:
    """An argument nobody can look at."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")


def test_a_call_is_visible_while_it_runs(provider: ObservabilityProvider, logged: Logged) -> None:
    """The ToolCall is logged on entering the block, before any work is done."""
    with provider.episode("test") as episode, episode.tool_call("simulate", {"t": 4.0}, call_id="call_7"):
        step = logged()[-1]

    assert step.payload == ToolCall(tool="simulate", arguments={"t": 4.0}, call_id="call_7")


def test_what_is_logged_inside_is_nested(provider: ObservabilityProvider, logged: Logged) -> None:
    """Steps, calls and the answer stand under the call; what comes after does not."""
    with provider.episode("test") as episode:
        with episode.tool_call("outer") as outer:
            log_event(Thought(text="inside"))
            with tool_call("inner") as inner:
                episode.log_event(Thought(text="deeper"))
            outer.observe(1)
        log_event(Thought(text="after"))
        with episode.tool_call("elsewhere", parent=inner.ref):
            pass

    parents = {
        getattr(step.payload, "text", None) or getattr(step.payload, "tool", step.kind): step.parent_id
        for step in logged()
    }
    assert parents["inside"] == outer.id
    assert parents["inner"] == outer.id
    assert parents["deeper"] == inner.id
    assert parents["after"] is None
    assert parents["elsewhere"] == inner.id


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (None, Observation()),
        (asyncio.CancelledError(), Observation(cancelled=True)),
        (KeyboardInterrupt(), Observation(cancelled=True)),
        (GeneratorExit(), Observation(cancelled=True)),
        (ValueError("holes"), None),
        (SystemExit(0), None),
    ],
    ids=repr,
)
def test_a_call_without_an_answer_is_closed_as_its_block_ends(
    provider: ObservabilityProvider, logged: Logged, exc: BaseException | None, expected: Observation | None
) -> None:
    """Leaving closes with an empty Observation, cancellation with a cancelled one, an error as an error."""
    caught: BaseException | None = None
    with provider.episode("test") as episode:
        try:
            with episode.tool_call("t") as call:
                if exc is not None:
                    raise exc
        except BaseException as error:  # noqa: BLE001 - the test is about what comes through
            caught = error

    step = logged()[2]
    assert caught is exc
    assert step.closes == call.id
    if expected is not None:
        assert step.payload == expected
    else:
        assert isinstance(step.payload, ErrorReport)
        assert step.payload.message == str(exc)


def test_a_call_is_answered_once(provider: ObservabilityProvider, logged: Logged) -> None:
    """A second answer is refused, as is one before or after the block."""
    with provider.episode("test") as episode:
        call = episode.tool_call("t")
        with pytest.raises(NotOpen, match="enter it first"):
            call.observe(1)
        with call:
            call.observe(1)
            with pytest.raises(NotOpen, match="has its answer"):
                call.observe(2)
            with pytest.raises(NotOpen, match="has its answer"):
                call.fail(ValueError())
        with pytest.raises(NotOpen, match="entered before"), call:
            pass
        with episode.tool_call("t") as late:
            pass
        with pytest.raises(NotOpen, match="has its answer"):
            late.observe(1)

    assert [step.kind for step in logged()].count("observation") == 2


def test_an_error_that_was_caught_can_be_told(provider: ObservabilityProvider, logged: Logged) -> None:
    """fail() closes the call with an exception that goes no further."""
    with provider.episode("test") as episode, episode.tool_call("t") as call:
        try:
            math.sqrt(-1)
        except ValueError as exc:
            call.fail(exc)

    step = logged()[2]
    assert isinstance(step.payload, ErrorReport)
    assert step.closes == call.id
    assert len(logged()) == 4


def test_an_error_after_the_answer_is_told_beside_it(provider: ObservabilityProvider, logged: Logged) -> None:
    """An exception behind observe() is a step under the call, and closes nothing a second time."""

    def answer_and_fail() -> None:
        with tool_call("t") as call:
            call.observe(1)
            raise ValueError("late")

    with provider.episode("test"), pytest.raises(ValueError, match="late"):
        answer_and_fail()

    call, answer, error = logged()[1:4]
    assert (answer.kind, answer.closes) == ("observation", call.id)
    assert (error.kind, error.closes, error.parent_id) == ("error_report", None, call.id)


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        ({"x": math.nan}, ("/x",)),
        ({"x": Hostile()}, ("/x",)),
        ({"x": {1, 2}}, ()),
        ({1: "a"}, ()),
        ({"x\ud800": 1}, ()),
        ({"x": 10**5000}, ("/x",)),
    ],
    ids=["nan", "hostile", "set", "key", "surrogate", "number"],
)
def test_any_arguments_are_recorded(
    provider: ObservabilityProvider, logged: Logged, arguments: dict[str, object], places: tuple[str, ...]
) -> None:
    """Arguments that JSON cannot hold are told in their places, and the tool runs."""
    with provider.episode("test") as episode, episode.tool_call("t", arguments):
        pass

    payload = logged()[1].payload
    assert isinstance(payload, ToolCall)
    assert payload.unstorable == places


def test_any_result_is_recorded(provider: ObservabilityProvider, logged: Logged) -> None:
    """observe() takes whatever a tool gives."""
    with provider.episode("test") as episode, episode.tool_call("t") as call:
        call.observe({"stress": math.inf, "solver": Hostile(), "ok": 1})

    payload = logged()[2].payload
    assert isinstance(payload, Observation)
    assert payload.unstorable == ("/stress", "/solver")
    assert isinstance(payload.result, dict)
    assert payload.result["ok"] == 1
    assert Unstorable.model_validate(payload.result["stress"]).repr == "inf"


class HostileArguments(dict[str, object]):
    """Arguments that cannot be read."""

    def items(self) -> object:  # type: ignore[override]
        raise RuntimeError("items")


@pytest.mark.parametrize(
    "arguments",
    [[1, 2], 17, "text", object(), HostileArguments(a={1})],
    ids=["list", "number", "text", "object", "hostile"],
)
def test_what_are_no_arguments_is_recorded_too(
    provider: ObservabilityProvider, logged: Logged, arguments: dict[str, object]
) -> None:
    """Whatever stands in the place of the arguments, the call is logged and the tool runs."""
    with provider.episode("test") as episode, episode.tool_call("t", arguments):
        pass

    payload = logged()[1].payload
    assert isinstance(payload, ToolCall)
    assert list(payload.arguments) == [""]


@pytest.mark.parametrize(
    "wrong", [{"tool": 17}, {"tool": "\ud800"}, {"call_id": 3}, {"call_id": "\ud800"}], ids=str
)
def test_even_a_wrong_name_raises_nothing(
    provider: ObservabilityProvider, logged: Logged, wrong: dict[str, object]
) -> None:
    """Watching goes on when tool or call_id are not what they should be."""
    given: dict[str, object] = {"tool": "t", **wrong}
    with provider.episode("test") as episode, episode.tool_call(**given) as call:  # type: ignore[arg-type]
        call.observe(1)

    assert [step.kind for step in logged()][1:3] == ["tool_call", "observation"]


def test_an_output_that_is_too_long_becomes_a_file(database: Path, logged: Logged) -> None:
    """A text longer than a step is kept as an artifact, and the step says which."""
    output = "iteration\n" * 2000
    with (
        ObservabilityProvider(database, committer="none", step_bytes_max=8192) as provider,
        provider.episode("test") as episode,
        episode.tool_call("solve", {"deck": output, "threads": 4}) as call,
    ):
        call.observe({"log": output, "converged": True})

    asked, answered = logged()[1].payload, logged()[2].payload
    assert isinstance(asked, ToolCall)
    assert isinstance(answered, Observation)
    assert (asked.unstorable, answered.unstorable) == (("/deck",), ("/log",))
    assert asked.arguments["threads"] == 4
    (kept,) = answered.artifacts
    assert asked.artifacts == (kept.model_copy(update={"name": "solve.arguments.deck.txt"}),)
    stored = database.with_name("history.db-artifacts") / kept.sha256[:2] / kept.sha256[2:]
    assert stored.read_text() == output


def test_an_error_that_is_too_long_is_shortened(database: Path, logged: Logged) -> None:
    """An exception with a message of megabytes is told all the same."""
    with (
        pytest.raises(ValueError, match=r"^x+$"),
        ObservabilityProvider(database, committer="none", step_bytes_max=1 << 20) as provider,
        provider.episode("test") as episode,
        episode.tool_call("t"),
    ):
        raise ValueError("x" * 5_000_000)

    report = logged()[2].payload
    assert isinstance(report, ErrorReport)
    assert "4934464 characters left out" in report.message


def test_our_own_failures_are_counted_and_told_once(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When not even an error can be written, the agent goes on, and the log says so once."""
    caplog.set_level(logging.WARNING, "stepstream")
    with ObservabilityProvider(database, committer="none", step_bytes_max=1024) as provider:
        episode = provider.ambient_episode()[0]
        before = provider.failures.get("the start of a call", 0)
        for _ in range(3):
            with episode.tool_call("t" * 5000) as call:  # not even its name fits
                call.observe(1)
        assert provider.failures["the start of a call"] == before + 3

    if before == 0:
        assert sum("the start of a call" in record.message for record in caplog.records) == 1


def test_strict_watching_raises(database: Path) -> None:
    """In a test suite, what could not be recorded as it was is an error."""
    with (
        ObservabilityProvider(database, committer="none", strict=True) as provider,
        provider.episode("test") as episode,
        episode.tool_call("t") as call,
        pytest.raises(ValidationFailed, match="/x"),
    ):
        call.observe({"x": math.nan})


async def test_a_call_can_be_awaited(provider: ObservabilityProvider, logged: Logged) -> None:
    """async with means the same as with."""
    async with provider.episode("test") as episode, episode.tool_call("t") as call:
        await asyncio.sleep(0)
        call.observe(1)

    assert logged()[2].closes == call.id
