"""Any Python value becomes JSON; what JSON cannot hold is told in its place, and nothing ever raises."""

from __future__ import annotations

import collections
import enum
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_core import from_json, to_json

from stepstream import ArtifactRef, JsonValue, Unstorable
from stepstream.sdk.json_value import VALUES_MAX, Converted, convert, convert_object, is_vast


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class Beam:
    length_mm: float
    ends: tuple[Point, Point]


class Result(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    stress: float
    when: datetime
    path: Path
    secret: SecretStr = SecretStr("s3cret")
    anything: Any = None


class LoudText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("do not call me")


class Hostile:
    """Every method a curious converter could call raises."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __iter__(self) -> Iterator[int]:
        raise RuntimeError("iter")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


class HostileMapping(dict[str, int]):
    def items(self) -> Any:  # noqa: ANN401 - it returns nothing
        raise RuntimeError("items")


class HostileMeta(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("module")


class HostileClass(metaclass=HostileMeta):
    pass


class HostileField:
    __attrs_attrs__ = (Point(0, 0),)


class Oddities(list[object]):
    """Things of other libraries and of the interpreter."""

    def __init__(self) -> None:
        super().__init__(
            [Colour.RED, np.float32(1.5), np.array([math.nan]), Point(1, 2), object, iter([1]), Ellipsis]
        )


class Kept:
    """A place for files that remembers what it was given."""

    def __init__(self, *, full: bool = False) -> None:
        self.files: dict[str, bytes] = {}
        self._full = full

    def __call__(self, data: bytes, name: str, media_type: str) -> ArtifactRef | None:
        if self._full:
            return None
        self.files[name] = data
        return ArtifactRef(sha256="0" * 64, name=name, media_type=media_type, size_bytes=len(data))


def _json(value: object, bytes_max: int = 1 << 20) -> Converted:
    return convert(value, "value", Kept(), bytes_max)


def _at(value: JsonValue, pointer: str) -> JsonValue:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)]
        else:
            assert isinstance(value, dict)
            value = value[key]
    return value


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, "x", None, True]}, {"a": [1, 2.5, "x", None, True]}),
        ((1, (2, 3)), [1, [2, 3]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (range(3), [0, 1, 2]),
        (collections.deque([1, 2]), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Point(1.0, 2.0), {"x": 1.0, "y": 2.0}),
        (
            Beam(9.5, (Point(0, 0), Point(1, 0))),
            {"length_mm": 9.5, "ends": [{"x": 0, "y": 0}, {"x": 1, "y": 0}]},
        ),
        (Path("/tmp/x"), "/tmp/x"),
        (PurePosixPath("a/b"), "a/b"),
        (MOMENT, "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(seconds=90), "0:01:30"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (LoudText("quiet"), "quiet"),
        ({1: "a", None: "b", Colour.RED: "c", 2.5: "d"}, {"1": "a", "null": "b", "red": "c", "2.5": "d"}),
        (np.float64(1.5), 1.5),
        (np.int32(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(5), 5),
        (pd.Series([1.0, 2.0]), [1.0, 2.0]),
        (
            Result(stress=1.0, when=MOMENT, path=Path("a")),
            {
                "stress": 1.0,
                "when": "2026-01-02T03:04:05Z",
                "path": "a",
                "secret": "**********",
                "anything": None,
            },
        ),
    ],
    ids=itertools.count(),  # values like these have no repr, or another one in each run
)
def test_values_that_json_can_hold(value: object, expected: JsonValue) -> None:
    """Common Python types have the JSON one expects, and nothing is called unstorable."""
    assert _json(value) == Converted(expected, (), ())


@pytest.mark.parametrize(
    ("value", "place", "kind", "reason", "shown"),
    [
        (math.nan, "", "float", "not a finite number", "nan"),
        ({"a": [1.0, -math.inf]}, "/a/1", "float", "not a finite number", "-inf"),
        ({"a": np.array([math.inf])}, "/a/0", "float", "not a finite number", "inf"),
        ({"a": object}, "/a", "type", "it has no form in JSON", "<class 'object'>"),
        ({"a": 1 + 2j}, "/a", "complex", "it has no form in JSON", "(1+2j)"),
        ({"a/b~c": math.nan}, "/a~1b~0c", "float", "not a finite number", "nan"),
        (b"\x00\x01", "", "bytes", "bytes are no JSON", "b'\\x00\\x01'"),
        ("a\ud800b", "", "str", "it holds lone surrogates", "'a\\ud800b'"),
        (10**5000, "", "int", "an integer of more digits than are read back", None),
        ({"a": Hostile()}, "/a", f"{__name__}.Hostile", None, "<Hostile whose repr raised RuntimeError>"),
        (
            [HostileMapping(a=1)],
            "/0",
            f"{__name__}.HostileMapping",
            "reading it raised RuntimeError",
            "{'a': 1}",
        ),
        (HostileClass(), "", "<a class whose name raised RuntimeError>", None, None),
        (HostileField(), "", f"{__name__}.HostileField", "reading it raised AttributeError", None),
    ],
    ids=itertools.count(),  # values like these have no repr, or another one in each run
)
def test_values_that_json_cannot_hold(
    value: object, place: str, kind: str, reason: str | None, shown: str | None
) -> None:
    """An Unstorable stands in the place, with a pointer to it, the type, the reason and a short repr."""
    converted = _json(value)

    assert converted.unstorable == (place,)
    told = Unstorable.model_validate(_at(converted.value, place))
    assert told.path == place
    assert told.type == kind
    assert reason is None or told.reason == reason
    assert shown is None or told.repr == shown


def test_an_iterator_is_left_as_it_is() -> None:
    """A generator is not run by whoever watches, neither alone nor inside a model."""
    numbers = iter([1, 2, 3])
    inside = (number for number in (1, 2, 3))

    converted = _json({"a": numbers, "b": Result(stress=1.0, when=MOMENT, path=Path("a"), anything=inside)})

    assert converted.unstorable == ("/a", "/b/secret", "/b/anything")
    assert list(numbers) == [1, 2, 3]
    assert list(inside) == [1, 2, 3]


def test_a_value_inside_itself_is_told_where_it_begins_again() -> None:
    """Cycles end, in lists and in objects; the same value beside itself is no cycle."""
    inner: list[object] = [1]
    cycle: dict[str, object] = {"first": inner, "second": inner}
    inner.append(cycle)

    converted = _json(cycle)

    assert converted.unstorable == ("/first/1", "/second/1")
    told = Unstorable.model_validate(_at(converted.value, "/first/1"))
    assert told.reason == "it stands inside itself, at the root"


def test_deep_nesting_is_cut_where_it_could_not_be_read_back() -> None:
    """However deep a value is, what is stored can be read again."""
    deep: list[object] = []
    for _ in range(50_000):
        deep = [deep]

    converted = _json(deep)

    assert len(converted.unstorable) == 1
    assert from_json(to_json(converted.value)) == converted.value


def test_large_values_are_not_walked_through() -> None:
    """A container with too many items is told as one, beside what is small."""
    converted = _json({"points": list(range(VALUES_MAX + 1)), "mesh": np.zeros(10**8, dtype=np.int8), "n": 1})

    assert converted.unstorable == ("/points", "/mesh")
    assert _at(converted.value, "/n") == 1


@pytest.mark.parametrize(
    ("value", "vast"),
    [
        ({"a": [1.0] * 100}, False),
        ([0] * (VALUES_MAX + 1), True),
        ({"a": {"b": [[0] * 1000] * 1000}}, True),
        ("x" * 2_000_000, True),
        (["x" * 2_000_000], True),
        (object(), False),
    ],
    ids=["small", "long", "wide", "text", "text inside", "other"],
)
def test_a_vast_value_is_known_by_a_cheap_count(value: object, vast: bool) -> None:
    """What is too large to be looked at whole within a call is recognised before anybody looks."""
    assert is_vast(value) is vast


def test_long_texts_become_files() -> None:
    """A text that would break the limit is kept as a file, named after its place; short ones stay."""
    kept = Kept()
    log = "line\n" * 10_000

    converted = convert({"log": log, "status": "ok"}, "simulate.result", kept, 20_000)

    assert kept.files == {"simulate.result.log.txt": log.encode()}
    assert [artifact.size_bytes for artifact in converted.artifacts] == [50_000]
    assert converted.unstorable == ("/log",)
    assert "kept as artifact 000000" in str(_at(converted.value, "/log"))
    assert _at(converted.value, "/status") == "ok"


def test_many_texts_that_are_long_together_become_files() -> None:
    """Texts that fit alone but not together give way; so does the whole value when nothing else helps."""
    kept = Kept()
    texts = {str(number): "x" * 3000 for number in range(10)}
    assert len(convert(texts, "v", kept, 20_000).artifacts) == 10

    numbers = convert([123456] * 10_000, "v", kept, 20_000)
    assert numbers.unstorable == ("",)
    assert from_json(kept.files["v.json"]) == [123456] * 10_000


def test_without_room_for_files_the_place_says_so() -> None:
    """When nothing can be kept, the Unstorable stands all the same."""
    converted = convert({"log": "x" * 50_000}, "v", Kept(full=True), 20_000)

    assert converted.artifacts == ()
    assert converted.unstorable == ("/log",)


def test_bytes_and_broken_text_are_kept_exactly() -> None:
    """Content that JSON cannot hold is kept byte for byte when it is longer than its repr shows."""
    kept = Kept()
    image = bytes(range(256))
    output = b"before \xff after".decode("utf-8", "surrogateescape") * 10

    convert({"image": image, "output": output}, "v", kept, 20_000)

    assert kept.files == {"v.image.bin": image, "v.output.bin": b"before \xff after" * 10}


def test_keys_that_are_written_the_same_do_not_hide_each_other() -> None:
    """1 and "1" are two keys in Python; the second is told, not lost."""
    converted = _json({1: "int", "1": "text"})

    assert isinstance(converted.value, dict)
    assert converted.value["1"] == "int"
    assert converted.unstorable == ("/1 (1)",)


def test_an_object_stays_an_object() -> None:
    """Arguments are cut one by one, and are an object whatever happens."""
    kept = Kept()
    arguments: dict[str, object] = {"points": [123456] * 10_000, "n": 1}

    converted = convert_object(arguments, "t", kept, 20_000)
    assert isinstance(converted.value, dict)
    assert converted.value["n"] == 1
    assert converted.unstorable == ("/points",)
    assert Unstorable.model_validate(converted.value["points"]).path == "/points"

    many = convert_object({f"{number:04}": "x" * 40 for number in range(1000)}, "t", kept, 20_000)
    assert isinstance(many.value, dict)
    assert many.unstorable == ("/",)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.binary(max_size=50)
    | st.datetimes()
    | st.decimals()
    | st.complex_numbers()
    | st.sampled_from([Hostile, HostileMapping, HostileClass, HostileField, object, Oddities]).map(
        lambda make: make()
    ),
    lambda inside: (
        st.lists(inside, max_size=5)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.floats(), inside, max_size=5)
        | st.tuples(inside, inside)
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_nothing_raises_and_every_pointer_points(value: object) -> None:
    """Whatever the value, the result is JSON that reads back, and each place named holds an Unstorable."""
    converted = _json(value)

    assert from_json(to_json(converted.value), allow_inf_nan=False) == converted.value
    for place in converted.unstorable:
        assert Unstorable.model_validate(_at(converted.value, place)).path == place
