"""Pieces of an answer go into the spool while it is made; showing them disturbs nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stepstream import DeltaPart, ObservabilityProvider, model_call, tool_call
from stepstream.schemas.stream import DELTA_CHARACTERS_MAX, Delta
from stepstream.sdk import failures
from stepstream.sdk.open_call import OpenCall
from stepstream.spool.frame import FrameKind
from stepstream.testing.spool_steps import LoggedStep, _segments

Logged = Callable[[], list[LoggedStep]]
NOT_SHOWN = "deltas that were not shown"


class Hostile:
    """Something nobody can look at."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")


class Loud(str):
    """A text that is not what it says."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def deltas(database: Path) -> list[Delta]:
    """Every delta in the spool, in order."""
    return [
        Delta.model_validate_json(body)
        for _, frames in _segments(database)
        for _, _, kind, _, body, _ in frames
        if kind == FrameKind.DELTA
    ]


def numbers(database: Path) -> list[int]:
    """The numbers of all frames in the spool."""
    return [frame[1] for _, frames in _segments(database) for frame in frames]


def not_shown() -> int:
    return failures.counts().get(NOT_SHOWN, 0)


def test_a_piece_is_told_with_its_call(
    provider: ObservabilityProvider, database: Path, logged: Logged
) -> None:
    """A delta names its call, its episode and its part; it is a frame of its own, and no step."""
    with provider.episode("test") as episode:
        with episode.model_call("small") as call:
            call.delta("Hel")
            call.delta("lo", DeltaPart.CONTENT)
            call.delta("hm", DeltaPart.REASONING)
            call.delta('{"a"', part=DeltaPart.TOOL_CALL)
            call.reply("Hello")
        with episode.tool_call("simulate") as simulation:
            simulation.delta("step 1\n")
            simulation.observe(1)

    told = [(delta.step_id, delta.episode_id, delta.text, delta.part.value) for delta in deltas(database)]
    assert told == [
        (call.id, episode.id, "Hel", "content"),
        (call.id, episode.id, "lo", "content"),
        (call.id, episode.id, "hm", "reasoning"),
        (call.id, episode.id, '{"a"', "tool_call"),
        (simulation.id, episode.id, "step 1\n", "output"),
    ]
    assert [step.kind for step in logged()] == [
        "status_change",
        "model_call",
        "model_reply",
        "tool_call",
        "observation",
        "status_change",
    ]
    assert numbers(database) == list(range(len(numbers(database))))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", []),
        (None, []),
        ("tschüß 密码 🔑\n", ["tschüß 密码 🔑\n"]),
        ("a\ud800b\udc80", ["a\\ud800b\\udc80"]),
        (b"bytes \xff\xc3\xa9", ["bytes \\xffé"]),
        (b"", []),
        (17, ["17"]),
        (["a", None], ["['a', None]"]),
        (Hostile(), ["<Hostile whose repr raised RuntimeError>"]),
        (Loud("quiet"), ["quiet"]),
        ("\x00\x1b[31m", ["\x00\x1b[31m"]),
    ],
)
def test_any_text_is_shown_somehow(
    provider: ObservabilityProvider, database: Path, text: object, shown: list[str]
) -> None:
    """What is no text, and what UTF-8 cannot hold, is shown in a form that can; nothing raises."""
    with provider.episode("test"), model_call("small") as call:
        call.delta(text)  # type: ignore[arg-type]
        call.delta("!")

    assert [delta.text for delta in deltas(database)] == [*shown, "!"]


@pytest.mark.parametrize(
    "text",
    ["x" * (DELTA_CHARACTERS_MAX + 1), "\ud800" * DELTA_CHARACTERS_MAX, b"\xff" * DELTA_CHARACTERS_MAX],
    ids=["letters", "surrogates", "bytes"],
)
def test_a_piece_that_is_too_long_is_cut_and_the_last(
    provider: ObservabilityProvider, database: Path, text: str
) -> None:
    """Of a piece that is too long the beginning is shown, and nothing behind it, where half a secret may stand."""
    before = not_shown()
    with provider.episode("test"), tool_call("simulate") as call:
        call.delta("x" * DELTA_CHARACTERS_MAX)
        call.delta(text)
        call.delta("the rest")

    assert [len(delta.text) for delta in deltas(database)] == [DELTA_CHARACTERS_MAX] * 2
    assert not_shown() == before + 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda call: call.observe(1),
        lambda call: call.fail(ValueError("x")),
        lambda call: call.end_with(None),
        lambda call: call.__exit__(None, None, None),
    ],
    ids=["observe", "fail", "end_with", "exit"],
)
def test_nothing_is_shown_outside_of_an_open_call(
    provider: ObservabilityProvider, database: Path, answer: Callable[[OpenCall], object]
) -> None:
    """Before its block and behind its answer a call shows nothing; that is counted and does not raise."""
    before = not_shown()
    with provider.episode("test") as episode:
        call = episode.tool_call("simulate")
        call.delta("early")
        call.__enter__()
        call.delta("in time")
        answer(call)
        call.delta("late")

    assert [delta.text for delta in deltas(database)] == ["in time"]
    assert not_shown() == before + 2


def test_an_unknown_part_is_noted(provider: ObservabilityProvider, database: Path) -> None:
    """A part that there is not loses its piece, and raises nothing."""
    with provider.episode("test"), model_call("small") as call:
        call.delta("a", "nonsense")  # type: ignore[arg-type]
        call.delta("b", [])  # type: ignore[arg-type]
        call.delta("c", "reasoning")  # type: ignore[arg-type]

    assert [(delta.text, delta.part) for delta in deltas(database)] == [("c", DeltaPart.REASONING)]


def test_strict_watching_raises(database: Path) -> None:
    """Where tests ask for it, an unknown part raises."""
    with (
        ObservabilityProvider(database, committer="none", strict=True) as provider,
        provider.episode("test"),
        model_call("small") as call,
        pytest.raises(ValueError, match="nonsense"),
    ):
        call.delta("a", "nonsense")  # type: ignore[arg-type]


def test_nothing_is_offered_while_recording_is_refused(database: Path) -> None:
    """While there is no room, deltas are neither written nor counted as steps that are missing."""
    with (
        ObservabilityProvider(database, committer="none", disk_free_bytes_min=2**62) as provider,
        provider.episode("test") as episode,
        episode.tool_call("simulate") as call,
    ):
        refused = provider.refused
        for _ in range(10):
            call.delta("word ")

        assert refused > 0
        assert provider.refused == refused


def test_what_comes_behind_a_piece_that_was_refused_is_not_shown(database: Path) -> None:
    """A piece that finds the disk full is the last one of its call, for a secret may have begun in it."""
    with (
        ObservabilityProvider(database, committer="none", segment_bytes_max=16 * 1024) as provider,
        provider.episode("test") as episode,
        episode.tool_call("simulate") as call,
    ):
        call.delta("first")
        provider._writer._recorder._settings = provider.settings.model_copy(
            update={"disk_free_bytes_min": 2**62}
        )  # type: ignore[union-attr]
        call.delta("x" * 20_000)
        provider._writer._recorder._settings = provider.settings  # type: ignore[union-attr]
        provider._writer._recorder._check(2**62)  # type: ignore[union-attr]
        with episode.tool_call("another") as other:
            call.delta("second")
            other.delta("third")

    assert [delta.text for delta in deltas(database)] == ["first", "third"]


def test_a_delta_does_not_wait_for_the_disk(database: Path) -> None:
    """With durability=power steps wait until the disk has them, and deltas, which nobody stores, do not."""
    with (
        ObservabilityProvider(database, committer="none", durability="power") as provider,
        provider.episode("test"),
        model_call("small") as call,
    ):
        recorder = provider._writer._recorder
        assert recorder is not None
        assert recorder._synced == recorder.next_number
        call.delta("word ")
        assert recorder._synced == recorder.next_number - 1
        call.reply("word")
        assert recorder._synced == recorder.next_number


def test_threads_may_show_pieces_of_one_call(provider: ObservabilityProvider, database: Path) -> None:
    """Pieces that several threads show are all there, and each is whole."""
    with provider.episode("test") as episode, episode.tool_call("simulate") as call:
        threads = [
            threading.Thread(
                target=lambda name=name: [call.delta(f"{name}{number} ") for number in range(200)]
            )
            for name in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    told = [delta.text for delta in deltas(database)]
    for name in "abcd":
        assert [text for text in told if text.startswith(name)] == [
            f"{name}{number} " for number in range(200)
        ]


def test_after_the_provider_was_closed_nothing_is_shown(
    provider: ObservabilityProvider, database: Path
) -> None:
    """A delta opens no segment of its own."""
    with provider.episode("test"), tool_call("simulate") as call:
        provider.close()
        frames = len(numbers(database))
        call.delta("word ")
        assert len(numbers(database)) == frames
