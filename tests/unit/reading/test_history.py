"""Episodes and steps: which ones, in which order, from which file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from dirty_equals import IsPartialDict
from pydantic_core import to_json
from tests.support.history_builder import EPOCH_NS, MILLISECOND, HistoryBuilder

from stepstream.errors import Corrupt, EpisodeNotFound, NotADatabase, NotOpen, StoreError
from stepstream.reading.condition import step_condition
from stepstream.reading.filter import Filter
from stepstream.reading.history import History
from stepstream.reading.matcher import StepMatcher
from stepstream.reading.scan import StepScan
from stepstream.schemas.episode import CodeVersion, DataUse, MetadataRef
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import id_bytes
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.payload import StepPayload, UnknownPayload, upcast
from stepstream.schemas.record import JsonObject
from stepstream.schemas.step import Step

OpenHistory = Callable[[], History]


class Weight(StepPayload, kind="weight_read", version=2):
    grams: float


@upcast("weight_read", 1)
def _grams(old: JsonObject) -> JsonObject:
    return {"grams": float(str(old["kilograms"])) * 1000}


def test_a_step_comes_back_as_it_was_logged(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Every field of a step is read, and the object is one that validation would have made."""
    episode = builder.episode()
    call = episode.log(
        ToolCall(tool="run_sim", arguments={"thickness_mm": 4.0}), agent="coder", role="engineer"
    )
    answer = episode.log(Observation(result={"max_stress_mpa": 180.0}), closes=call, parent=call)

    step = open_history().steps()[2]

    assert step.model_dump() == IsPartialDict(
        id=answer.id,
        episode_id=episode.id,
        sequence=2,
        cursor=3,
        kind="observation",
        occurred_at=EPOCH_NS + 3 * MILLISECOND,
        agent="planner",
        role="planner",
        parent_id=call.id,
        closes=call.id,
        schema_version=1,
        after_end=False,
        origin=IsPartialDict(pid=4711, host="workshop"),
    )
    assert step.payload == Observation(result={"max_stress_mpa": 180.0})
    assert Step.model_validate_json(step.model_dump_json()) == step
    assert step.model_copy() == step


def test_steps_come_in_cursor_order_page_by_page(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Going on behind the last cursor seen gives every step once, in all and for an episode."""
    first, second = builder.episode("first"), builder.episode("second")
    for number in range(40):
        (first if number % 3 else second).log(Thought(text=str(number)))
    history = open_history()

    for episode in (None, first.id, second.id):
        expected = [step.cursor for step in history.steps() if episode in (None, step.episode_id)]
        seen: list[int] = []
        while page := history.steps(episode=episode, after=seen[-1] if seen else 0, limit=7):
            seen += [step.cursor for step in page]
        assert seen == expected


def test_any_cursor_is_a_place_in_any_episode(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A cursor that belongs to another episode, or to none, still divides an episode's steps."""
    first, second = builder.episode("first"), builder.episode("second")
    for number in range(17):
        (first if number % 5 in (1, 2) else second).log(Thought(text=str(number)))
    history = open_history()
    cursors = [step.cursor for step in history.steps() if step.episode_id == first.id]

    for after in range(-1, 22):
        found = [step.cursor for step in history.steps(episode=first.id, after=after)]
        assert found == [cursor for cursor in cursors if cursor > after], after


def test_steps_are_narrowed_by_kind_and_filter(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Kind, filter, cursor and limit hold together."""
    episode = builder.episode()
    for number in range(6):
        episode.log(Thought(text=f"thought {number}"))
        episode.log(ErrorReport(message=f"error {number}"))
    history = open_history()

    assert len(history.steps(kind="error_report")) == 6
    assert len(history.steps(kind="error_report", episode=episode.id)) == 6
    assert [step.sequence for step in history.steps(kind="error_report", filter="seq>5", limit=2)] == [6, 8]
    assert [step.sequence for step in history.steps(filter="thought", after=9, episode="@last")] == [9, 11]
    assert history.steps(kind="nothing") == []
    assert history.steps(limit=0) == []


@pytest.mark.parametrize("question", [StepScan(), StepScan(kind="thought")], ids=["all", "kind"])
@pytest.mark.parametrize("by_episode", [False, True], ids=["by cursor", "by episode"])
def test_a_page_is_found_by_an_index(
    builder: HistoryBuilder, open_history: OpenHistory, question: StepScan, by_episode: bool
) -> None:
    """Reading a page walks an index from a place on, and so costs the same in a history of any length."""
    raw = id_bytes(builder.episode().id)
    open_history()
    scan = StepScan(episode=raw if by_episode else None, kind=question.kind)
    sql, arguments = scan._query(5, 10, 3)

    with apsw.Connection(str(builder.path), flags=apsw.SQLITE_OPEN_READONLY) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)]

    place = (
        "SEARCH step USING INDEX sqlite_autoindex_step_2 (episode=? AND sequence>? AND sequence<?)"
        if by_episode
        else "SEARCH step USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    )
    assert plan[0] == place
    assert not any("TEMP B-TREE" in line for line in plan)


def test_an_episode_comes_back_as_it_was_stated(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Every field of an episode is read, its code version from where equal ones are kept once."""
    parent = builder.episode("Parent")
    stated = {
        "problem": "bracket-17",
        "attempt": 3,
        "parent_id": parent.id,
        "tags": ("demo", "cad"),
        "metadata": MetadataRef(model="bench.Item", value={"level": 2}),
        "code_version": CodeVersion(
            git_commit="c0ffee",
            python="3.11.7",
            platform="Linux",
            host="workshop",
            program="agent",
            packages=(),
        ),
        "data_use": DataUse(split="train"),
    }
    child = builder.episode("Child", **stated)
    child.finish(reason="done", outcome="accepted", score=0.5)
    history = open_history()

    found = history.episode(child.id)

    assert found.model_dump() == IsPartialDict(
        name="Child",
        status="completed",
        reason="done",
        outcome="accepted",
        score=0.5,
        steps=2,
        errors=0,
        attempt=3,
    )
    assert {name: getattr(found, name) for name in stated} == stated
    assert history.episodes(parent=parent.id) == [found]


def test_episodes_come_latest_first_page_by_page(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """The list goes on behind an episode, also between those that started in the same nanosecond."""
    for number in range(7):
        builder.episode(str(number), at=EPOCH_NS + number // 3)
    history = open_history()

    first = history.episodes(limit=3)
    second = history.episodes(limit=3, before=first[-1].id)
    third = history.episodes(before=second[-1].id[:-1] + second[-1].id[-1])

    assert [episode.name for episode in first + second + third] == ["6", "5", "4", "3", "2", "1", "0"]
    assert len(history.episodes()) == 7


ONE = "019a0000-0000-7000-8000-00000000000a"
TWO = "019a0000-0000-7000-8000-00000000000b"
OTHER = "019b0000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ONE, ONE),
        (TWO.upper(), TWO),
        ("019b", OTHER),
        ("019", None),
        ("019b0000-0", OTHER),
        (OTHER.replace("-", "")[:21], OTHER),
        (" @last ", TWO),
        (ONE[:-1], None),
        (ONE + "0", None),
        ("7", None),
        ("", None),
        ("%", None),
        ("nonsense", None),
    ],
)
def test_an_id_is_known_by_its_beginning(
    builder: HistoryBuilder, open_history: OpenHistory, wanted: str, found: str | None
) -> None:
    """A full id, its unique beginning with or without dashes and @last name an episode; nothing else does."""
    for known in (ONE, OTHER, TWO):
        builder.episode(id=known)
    history = open_history()

    if found is None:
        with pytest.raises(EpisodeNotFound):
            history.episode(wanted)
    else:
        assert history.episode(wanted).id == found


def test_an_ambiguous_beginning_names_the_candidates(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """The error for a beginning that fits several episodes names them."""
    for known in (ONE, OTHER, TWO):
        builder.episode(id=known)

    with pytest.raises(EpisodeNotFound) as caught:
        open_history().steps(episode="019a")

    assert caught.value.candidates == (ONE, TWO)


def test_old_versions_are_upcast_and_unknown_kinds_kept(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """A payload of an older version is read as the newest, and one without a class as raw JSON."""
    episode = builder.episode()
    episode.log_raw("weight_read", 1, b'{"kilograms":0.12}')
    episode.log_raw("weight_read", 3, b'{"newtons":1.18}')
    episode.log_raw("torque_read", 1, b'{"nm":3}')

    _, old, newer, unknown = (step.payload for step in open_history().steps())

    assert old == Weight(grams=120.0)
    assert newer == UnknownPayload(unknown_kind="weight_read", unknown_version=3, raw={"newtons": 1.18})
    assert unknown == UnknownPayload(unknown_kind="torque_read", unknown_version=1, raw={"nm": 3})


def test_what_is_read_of_an_old_version_can_be_read_again(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """A step says the version that its payload has now, so that its JSON reads back as the same step."""
    episode = builder.episode()
    episode.log_raw("weight_read", 1, b'{"kilograms":0.12}')
    episode.log_raw("weight_read", 3, b'{"newtons":1.18}')
    episode.log_raw("torque_read", 5, b'{"nm":3}')

    steps = open_history().steps()

    assert [step.schema_version for step in steps] == [1, 2, 3, 5]
    assert [Step.model_validate_json(step.model_dump_json()) for step in steps] == steps
    old = {**steps[1].model_dump(), "schema_version": 1, "payload": {"kilograms": 0.12}}
    assert Step.model_validate_json(to_json(old)) == steps[1]


def test_a_damaged_step_is_named(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A payload that does not fit its class is an error that names the step and what to run."""
    episode = builder.episode()
    episode.log_raw("thought", 1, b'{"txt":"x"}')

    with pytest.raises(Corrupt, match=f"step 1 of episode {episode.id}, thought at cursor 2") as caught:
        open_history().steps()

    assert "stepstream verify --deep" in str(caught.value)


def test_a_failing_upcast_is_named(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """An upcast that raises is told with its step, and is no damage of the file."""
    builder.episode().log_raw("weight_read", 1, b'{"stones":1}')

    with pytest.raises(
        StoreError, match=r"weight_read at cursor 2, version 1.*KeyError.*mend the upcast"
    ) as caught:
        open_history().steps()

    assert not isinstance(caught.value, Corrupt)


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    """A missing file, a text file and another program's database are told apart at opening."""
    with pytest.raises(FileNotFoundError):
        History.open(tmp_path / "nothing.db")
    (tmp_path / "text.db").write_text("not a database " * 100)
    with pytest.raises(NotADatabase, match="not SQLite's"):
        History.open(tmp_path / "text.db")
    apsw.Connection(str(tmp_path / "other.db")).execute("CREATE TABLE recipe (name TEXT)")
    with pytest.raises(NotADatabase, match="another program"):
        History.open(tmp_path / "other.db")


def test_a_closed_history_answers_no_more(builder: HistoryBuilder) -> None:
    """After its block a history refuses questions, and closing again is harmless."""
    with History.open(builder.path) as history:
        assert history.path == builder.path
    history.close()

    with pytest.raises(NotOpen, match=r"History\.open"):
        history.episodes()


def test_a_replaced_file_is_read_from_the_next_question_on(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """When another history is put in the place of the open one, its episodes are the answer."""
    builder.episode("old")
    history = open_history()
    assert [episode.name for episode in history.episodes()] == ["old"]
    other = builder.path.with_name("other.db")
    with HistoryBuilder(other) as building:
        building.episode("new")

    for suffix in ("", "-wal", "-shm"):
        Path(f"{other}{suffix}").rename(f"{builder.path}{suffix}")

    assert [episode.name for episode in history.episodes()] == ["new"]


def test_a_restored_file_is_read_without_its_log(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A single file, as a snapshot or a restore leaves it, is read and nothing is put beside it for good."""
    builder.episode("kept").log(Thought(text="x"))
    open_history()
    restored = builder.path.with_name("restored") / "history.db"
    restored.parent.mkdir()
    apsw.Connection(str(builder.path), flags=apsw.SQLITE_OPEN_READONLY).execute(
        "VACUUM INTO ?", (str(restored),)
    )

    with History.open(restored) as history:
        assert history.verify(deep=True).is_whole
        assert len(history.steps()) == 2


def forked(question: Callable[[], bool]) -> bool:
    """Whether something holds in a forked child."""
    child = os.fork()
    if child == 0:
        answer = False
        try:
            answer = question()
        finally:
            os._exit(0 if answer else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_threads_read_at_once(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Threads share one history, and see what is committed meanwhile."""
    episode = builder.episode()
    for number in range(300):
        episode.log(Thought(text=str(number)))
    history = open_history()
    counts: list[int] = []

    def read() -> None:
        for _ in range(20):
            counts.append(len(history.steps(episode=episode.id)))
            counts.append(len(history.steps(filter="kind:thought")) + 1)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [301] * 320


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_through_connections_of_its_own(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """After a fork both processes go on reading, and the child never closes what it inherited."""
    builder.episode().log(Thought(text="x"))
    history = open_history()
    inherited = history._pool._idle[0].connection
    assert len(history.steps()) == 2

    def read_in_child() -> bool:
        own = history.steps()
        ours = history._pool._idle[0].connection
        history.close()
        return len(own) == 2 and ours is not inherited and inherited.execute("SELECT 1").get == 1

    assert forked(read_in_child)
    assert len(history.steps()) == 2


def test_the_other_half_of_a_step_is_found(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A history is the surroundings of a filter: it knows openers, closers and ends."""
    episode, other = builder.episode(), builder.episode()
    call = episode.log(ToolCall(tool="run_sim"))
    episode.log(Observation(result=1), closes=call)
    episode.log(Observation(result=2), closes=call)
    other.log(ToolCall(tool="mesh"))
    other.finish()
    history = open_history()
    _, opened, closed, late = history.steps(episode=episode.id)

    assert history.closer(opened) == closed
    assert history.opener(late) == opened
    assert (history.opener(opened), history.closer(closed)) == (None, None)
    assert (history.has_ended(episode.id), history.has_ended(other.id)) == (False, True)
    for text in ("status:cut_off", "tool:run_sim", "dur>=2ms", "status:ok tool:run*"):
        matches = StepMatcher(Filter.parse(text), 0, history)
        assert [step for step in history.steps() if matches(step)] == history.steps(filter=text)


def test_reading_never_writes(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """Not even a filter's SQL could write: the connection cannot."""
    history = open_history()
    with history._pool.reader() as reader, pytest.raises(StoreError, match="ReadOnlyError"):
        reader.select("DELETE FROM step")


def test_every_filter_is_one_short_read(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """A filter that nothing passes reads window after window, so that no read transaction grows long."""
    episode = builder.episode()
    for _ in range(30):
        episode.log(Thought(text="x"))
    history = open_history()
    scan = StepScan(condition=step_condition(Filter.parse("kind:thought seq:29"), 0))

    sql, arguments = scan._query(0, 10, 5)

    assert "step.cursor > ? AND step.cursor <= ?" in sql
    assert arguments[:2] == (0, 10)
    assert [step.sequence for step in history.steps(filter="seq:29")] == [29]
