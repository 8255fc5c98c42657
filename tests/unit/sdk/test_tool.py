"""A watched function behaves as if nobody watched: values, exceptions, protocol and introspection."""

from __future__ import annotations

import functools
import inspect
import math
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, get_type_hints

import pytest
from pydantic import BaseModel, Field

from stepstream import (
    ErrorReport,
    ObservabilityProvider,
    Observation,
    ToolCall,
    agent,
    tool,
)
from stepstream.sdk.tool_signature import signature_of
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


@pytest.fixture(autouse=True)
def _inside_an_episode(provider: ObservabilityProvider) -> Iterator[None]:
    with provider.episode("test"):
        yield


def _calls(steps: list[LoggedStep]) -> list[ToolCall]:
    return [step.payload for step in steps if isinstance(step.payload, ToolCall)]


def _results(steps: list[LoggedStep]) -> list[object]:
    return [step.payload.result for step in steps if isinstance(step.payload, Observation)]


@tool
def add(a: int, b: int = 2, *rest: int, scale: float = 1.0, **more: int) -> float:
    """Add numbers."""
    return (a + b + sum(rest) + sum(more.values())) * scale


@pytest.mark.parametrize(
    ("args", "kwargs", "recorded"),
    [
        ((1,), {}, {"a": 1}),
        ((1, 3), {"scale": 2.0}, {"a": 1, "b": 3, "scale": 2.0}),
        ((1, 2, 3, 4), {}, {"a": 1, "b": 2, "rest": [3, 4]}),
        ((), {"b": 1, "a": 2, "c": 3}, {"a": 2, "b": 1, "c": 3}),
    ],
    ids=str,
)
def test_arguments_stand_as_they_were_given(
    logged: Logged, args: tuple[int, ...], kwargs: dict[str, float], recorded: dict[str, object]
) -> None:
    """What the caller gave is recorded by name; defaults are not made up."""
    assert add(*args, **kwargs) == add.__wrapped__(*args, **kwargs)  # type: ignore[attr-defined, arg-type]
    assert _calls(logged())[0].arguments == recorded


def test_a_wrong_call_fails_as_ever_and_is_recorded(logged: Logged) -> None:
    """Python's own TypeError comes through, and the call is told as it was made."""
    with pytest.raises(TypeError, match="missing 1 required"):
        add(b=1)  # type: ignore[call-arg]

    assert _calls(logged())[0].arguments == {"b": 1}
    assert logged()[2].kind == "error_report"


def test_the_very_same_objects_pass_through() -> None:
    """Arguments, results and exceptions are the caller's own objects, however odd."""
    error = ValueError("mine")
    given = object()

    @tool
    def hand_back(value: object, *, fail: bool) -> object:
        if fail:
            raise error
        return value

    assert hand_back(given, fail=False) is given
    with pytest.raises(ValueError, match="mine") as caught:
        hand_back(given, fail=True)
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None


def test_an_exception_costs_one_line_of_traceback() -> None:
    """Between caller and function stands one frame of ours."""

    @tool
    def fail() -> None:
        raise ValueError

    try:
        fail()
    except ValueError as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[1:] == ["call", "fail"]


def test_recursion_nests(logged: Logged) -> None:
    """A tool that calls itself stands under itself."""

    @tool
    def factorial(n: int) -> int:
        return 1 if n <= 1 else n * factorial(n - 1)

    assert factorial(3) == 6
    calls = [step for step in logged() if step.kind == "tool_call"]
    assert [call.parent_id for call in calls] == [None, calls[0].id, calls[1].id]
    assert _results(logged()) == [1, 2, 6]


class Machine:
    """A class with tools of every kind."""

    @tool
    def cut(self, length: float) -> float:
        return length

    @classmethod
    @tool
    def make(cls, name: str) -> str:
        return cls.__name__ + name

    @tool
    @classmethod
    def remake(cls, name: str) -> str:
        return cls.__name__ + name

    @tool
    @staticmethod
    def check(ok: bool) -> bool:
        return ok

    @staticmethod
    @tool
    def recheck(self: bool) -> bool:  # noqa: PLW0211 - a name like a method's is the point
        return self


def test_methods_bind_as_ever(logged: Logged) -> None:
    """Methods, class methods and static methods work in both orders, and self is not recorded."""
    machine = Machine()
    assert machine.cut(2.0) == 2.0
    assert Machine.cut(machine, length=3.0) == 3.0
    assert Machine.make("a") == "Machinea"
    assert machine.remake("b") == "Machineb"
    assert machine.check(True) is True
    assert machine.recheck(True) is True

    assert [(call.tool, call.arguments) for call in _calls(logged())] == [
        ("cut", {"length": 2.0}),
        ("cut", {"length": 3.0}),
        ("make", {"name": "a"}),
        ("remake", {"name": "b"}),
        ("check", {"ok": True}),
        ("recheck", {}),
    ]


def test_names_and_exclusions_can_be_given(logged: Logged) -> None:
    """A tool may be called otherwise, and parameters may be kept out."""

    @tool(name="weigh", exclude=("key", "rest"))
    def _internal(mass: float, key: str, *rest: int) -> float:
        return mass

    assert _internal(1.5, "secret", 1, 2) == 1.5
    assert _calls(logged()) == [ToolCall(tool="weigh", arguments={"mass": 1.5})]


# -- other people's decorators


@dataclass
class LibraryTool:
    """What another library's decorator makes: an object that holds the function."""

    name: str
    func: Callable[..., object] | None = None
    coroutine: Callable[..., object] | None = None

    def invoke(self, **arguments: object) -> object:
        assert self.func is not None
        return self.func(**arguments)


def library_tool(function: Callable[..., object]) -> LibraryTool:
    """Another library's decorator, which looks at the signature as pydantic and LangChain do."""
    inspect.signature(function)
    get_type_hints(function)
    return LibraryTool(name="library_name", func=function)


class CallableTool:
    """A tool that is an object with __call__."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, value: float) -> float:
        return self.factor * value


def test_it_stands_under_another_librarys_decorator(logged: Logged) -> None:
    """The other decorator sees a function with the right signature."""

    @library_tool
    @tool
    def weigh(mass: float) -> float:
        return mass

    assert weigh.invoke(mass=1.0) == 1.0
    assert _calls(logged())[0].arguments == {"mass": 1.0}


def test_it_stands_over_another_librarys_decorator(logged: Logged) -> None:
    """The other library's object stays what it is, and its function is watched."""

    @library_tool
    def weigh(mass: float) -> float:
        return mass

    watched = tool(weigh)
    assert watched is weigh
    assert isinstance(watched, LibraryTool)
    assert watched.invoke(mass=1.0) == 1.0
    assert _calls(logged()) == [ToolCall(tool="library_name", arguments={"mass": 1.0})]


class Inside:
    """What a tool of another library holds one level deeper."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function


class DeepTool:
    """A tool whose own reference to the function is not the one that is called."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        self.function_schema = Inside(function)

    def invoke(self, value: float) -> object:
        return self.function_schema.function(value)


def test_a_function_that_is_kept_one_level_deeper_is_found(logged: Logged) -> None:
    """An object that calls another reference to its function is watched all the same, once a call."""
    assert tool(DeepTool(CallableTool(2.0).__call__)).invoke(1.0) == 2.0
    assert _calls(logged()) == [ToolCall(tool="CallableTool", arguments={"value": 1.0})]


def test_a_signature_that_was_dressed_up_does_not_shift_the_arguments(logged: Logged) -> None:
    """Names are taken from the code, whatever signature a library shows to its own machinery."""

    def weigh(mass: float) -> float:
        return mass

    shown = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    own = inspect.signature(weigh)
    weigh.__signature__ = own.replace(parameters=[shown, *own.parameters.values()])  # type: ignore[attr-defined]

    assert tool(weigh)(1.5) == 1.5
    assert _calls(logged())[0].arguments == {"mass": 1.5}


def test_an_object_that_is_called_is_watched(logged: Logged) -> None:
    """An instance with __call__ keeps its type and its state; other instances are left alone."""
    watched, other = tool(CallableTool(2.0)), CallableTool(3.0)

    assert isinstance(watched, CallableTool)
    assert type(watched).__name__ == "CallableTool"
    assert (watched(1.0), other(1.0), watched.factor) == (2.0, 3.0, 2.0)
    assert _calls(logged()) == [ToolCall(tool="CallableTool", arguments={"value": 1.0})]


def test_cached_and_partial_functions_are_watched(logged: Logged) -> None:
    """functools' own wrappers keep working, and every call is recorded."""

    @tool
    @functools.lru_cache
    def square(n: int) -> int:
        return n * n

    half = tool(functools.partial(CallableTool.__call__, CallableTool(0.5)))
    assert (square(3), square(3), half(4.0)) == (9, 9, 2.0)
    assert square.cache_info().hits == 1
    assert isinstance(half, functools.partial)
    assert len(_calls(logged())) == 3


@pytest.mark.parametrize(
    "target",
    [CallableTool, 17, "text", property(lambda self: 1)],
    ids=["class", "number", "text", "property"],
)
def test_what_is_no_function_is_refused_where_it_is_decorated(target: object) -> None:
    """A class or a value is the caller's mistake."""
    with pytest.raises(TypeError, match="no function"):
        tool(target)


# -- introspection


def test_a_watched_function_looks_like_itself() -> None:
    """Everything that frameworks look at is the function's own."""

    def original(a: int, *, b: Annotated[str, "named"] = "x") -> list[int]:
        """Do something."""
        return [a]

    original.extra = 1  # type: ignore[attr-defined]
    watched = tool(original)

    assert inspect.signature(watched) == inspect.signature(original)
    assert get_type_hints(watched, include_extras=True) == get_type_hints(original, include_extras=True)
    assert (watched.__name__, watched.__qualname__, watched.__module__) == (
        original.__name__,
        original.__qualname__,
        original.__module__,
    )
    assert inspect.getdoc(watched) == "Do something."
    assert inspect.getsource(watched) == inspect.getsource(original)
    assert watched.extra == 1  # type: ignore[attr-defined]
    assert not inspect.iscoroutinefunction(watched)


async def _coroutine() -> None: ...


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("decorate", [tool, agent("coder")], ids=["tool", "agent"])
@pytest.mark.parametrize("function", [_coroutine, _generator, _async_generator, len, _calls])
def test_the_kind_of_a_function_is_kept(
    function: Callable[..., object], decorate: Callable[[object], object]
) -> None:
    """Coroutine functions, generator functions and plain ones are told apart as before."""
    watched = decorate(function)

    for question in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert question(watched) == question(function)


def test_a_watched_function_can_be_sent_to_another_process() -> None:
    """Functions are pickled by name, and the name leads to the watched one."""
    assert pickle.loads(pickle.dumps(add)) is add


class Load(BaseModel):
    """An argument model."""

    newton: float = Field(description="Force.")


def test_models_of_arguments_and_result_follow_from_the_signature() -> None:
    """A tool can be offered to a model without describing it twice."""

    @tool(exclude=("config",))
    def simulate(load: Load, steps: int = 3, *, config: object = None, **more: float) -> dict[str, float]:
        """Simulate a bracket."""
        return {}

    signature = signature_of(simulate)
    assert signature is not None
    model = signature.arguments_model
    assert model.model_validate({"load": {"newton": 5}, "more": {"x": 1}}).model_dump(by_alias=True) == {
        "load": {"newton": 5.0},
        "steps": 3,
        "more": {"x": 1.0},
    }
    assert signature.result_model.validate_python({"a": 1}) == {"a": 1.0}
    definition = signature.definition
    assert (definition.name, definition.description) == ("simulate", "Simulate a bracket.")
    assert list(definition.parameters["properties"]) == ["load", "steps", "more"]  # type: ignore[arg-type]


def test_a_signature_that_says_little_is_taken_as_it_is() -> None:
    """Missing, unknown and unresolvable annotations give parameters that take anything."""

    def odd(_private, copy, solver: Machine, unknown: "Missing", default=math.nan):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, F821, UP037 - it says little
        return None

    signature = signature_of(tool(odd))
    assert signature is not None
    assert set(signature.definition.parameters["properties"]) == {  # type: ignore[arg-type]
        "_private",
        "copy",
        "solver",
        "unknown",
        "default",
    }


NOWHERE = """
import stepstream
from stepstream import tool

@tool
def add(a: int, b: int) -> int:
    return a + b

print(add(1, 2), add(3, 4))
with stepstream.episode("test") as episode:
    stepstream.log_event(stepstream.Thought(text="x"))
print(episode.provider.refused)
"""


def test_a_tool_without_any_place_to_log_runs() -> None:
    """When no provider can be made, all goes on unrecorded, steps are counted, and the log says why."""
    environment = {**os.environ, "STEPSTREAM_DB": "/nowhere/at/all/history.db"}
    done = subprocess.run(
        [sys.executable, "-c", NOWHERE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout == "3 7\n8\n"
    assert done.stderr.count("/nowhere/at/all/history.db") == 1


def test_an_error_report_shows_the_functions_own_frames(logged: Logged) -> None:
    """The last frame of the report is where the tool raised."""

    @tool
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        fail()

    report = logged()[2].payload
    assert isinstance(report, ErrorReport)
    assert report.frames[-1].function == "fail"
    assert report.frames[-1].file == sys.modules[__name__].__file__
