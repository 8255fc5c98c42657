"""Subscribing: every committed step once, in order, across every seam there is."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import HistoryBuilder

from stepstream.bus.bell import Bell
from stepstream.errors import Corrupt, NotADatabase
from stepstream.reading.feed import PAGE_BYTES, PAGE_STEPS
from stepstream.reading.history import History
from stepstream.reading.rows import PAYLOAD
from stepstream.reading.subscription import Subscription
from stepstream.schemas.event import Event, Reset, ResetReason, StepRecorded
from stepstream.schemas.kinds import Observation, Thought
from stepstream.spool.directory import SpoolDirectory

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def spool(database: Path) -> Iterator[SpoolDirectory]:
    directory = SpoolDirectory(database)
    yield directory
    directory.close()


@pytest.fixture
def bell(spool: SpoolDirectory) -> Iterator[Bell]:
    hung = Bell(spool)
    yield hung
    hung.close()


def cursors(events: list[Event]) -> list[int]:
    return [event.cursor for event in events if isinstance(event, StepRecorded)]


def descriptors(builder: HistoryBuilder, spool: SpoolDirectory) -> int:
    """How many files this process holds open when a subscription has come and gone.

    In the writer's own process SQLite puts one descriptor aside for its next connection.
    """
    with Subscription(builder.path, spool, 0) as subscription:
        subscription._feed.fetch()
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def take(subscription: Subscription, count: int) -> list[Event]:
    return list(islice(subscription, count))


def test_catching_up_goes_on_live(builder: HistoryBuilder, spool: SpoolDirectory, bell: Bell) -> None:
    """Steps that were there come first, pages of them, and then those that are committed."""
    episode = builder.episode()
    for _ in range(PAGE_STEPS * 2 + 10):
        episode.log(Thought(text="before"))
    last = builder.commit()

    with Subscription(builder.path, spool, 0) as subscription:
        early = take(subscription, last)
        episode.log(Thought(text="now"))
        bell.publish(builder.commit())
        (live,) = take(subscription, 1)

    assert cursors(early) == list(range(1, last + 1))
    assert isinstance(live, StepRecorded)
    assert (live.cursor, live.epoch, live.step.payload) == (
        last + 1,
        builder.store.epoch,
        Thought(text="now"),
    )
    assert StepRecorded.model_validate_json(live.model_dump_json()) == live


def test_a_cursor_is_resumed_behind(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """A subscriber that comes back with the last cursor and epoch it saw goes on behind it."""
    episode = builder.episode()
    for _ in range(9):
        episode.log(Thought(text="x"))
    builder.commit()

    with Subscription(builder.path, spool, 4, epoch=builder.store.epoch) as subscription:
        assert cursors(take(subscription, 6)) == [5, 6, 7, 8, 9, 10]


def test_only_new_means_from_now_on(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """Without a cursor nothing that was committed before is told, and all that comes after."""
    episode = builder.episode()
    builder.commit()
    with Subscription(builder.path, spool, None) as subscription:
        episode.log(Thought(text="first"))
        episode.log(Thought(text="second"))
        builder.commit()

        assert cursors(take(subscription, 2)) == [2, 3]


def test_a_database_that_does_not_exist_yet_is_waited_for(database: Path, spool: SpoolDirectory) -> None:
    """A subscriber that was there first gets everything, also what it asked for as only new."""
    everything = Subscription(database, spool, 0)
    new = Subscription(database, spool, None)
    arrived: list[list[Event]] = []
    threads = [threading.Thread(target=lambda s=s: arrived.append(take(s, 2))) for s in (everything, new)]
    for thread in threads:
        thread.start()
    # An empty file is what an SQLite database is for a moment when it is made.
    database.touch()
    time.sleep(0.08)
    with HistoryBuilder(database) as builder:
        builder.episode().log(Thought(text="x"))
    for thread in threads:
        thread.join(10)

    assert [cursors(events) for events in arrived] == [[1, 2], [1, 2]]
    everything.close()
    new.close()


def test_what_is_no_history_is_refused(database: Path, spool: SpoolDirectory) -> None:
    """A file of another program is not waited for."""
    apsw.Connection(str(database)).execute("CREATE TABLE recipe (name TEXT)")

    with Subscription(database, spool, 0) as subscription, pytest.raises(NotADatabase):
        next(subscription)
    with pytest.raises(NotADatabase):
        Subscription(database, spool, None)


def test_commits_of_another_process_arrive_once_in_order(database: Path, spool: SpoolDirectory) -> None:
    """Three subscribers, one of them slow and one that reconnects, see each of a thousand commits once."""
    command = [sys.executable, "-m", "tests.support.live_writer", str(database), "200", "5", "0.001"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as writer:
        seen: dict[str, list[int]] = {"steady": [], "slow": [], "reconnecting": []}

        def follow(name: str, pause_s: float) -> None:
            with Subscription(database, spool, 0) as subscription:
                for event in subscription:
                    seen[name].append(event.cursor)
                    time.sleep(pause_s)
                    if event.cursor == 1001:
                        return

        def reconnect() -> None:
            mine = seen["reconnecting"]
            while not mine or mine[-1] < 1001:
                with Subscription(database, spool, mine[-1] if mine else 0) as subscription:
                    mine.extend(event.cursor for event in islice(subscription, 7))

        threads = [
            threading.Thread(target=follow, args=("steady", 0)),
            threading.Thread(target=follow, args=("slow", 0.001)),
            threading.Thread(target=reconnect),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        writer.wait(10)

    assert seen == {name: list(range(1, 1002)) for name in seen}


def test_a_live_step_arrives_at_once(builder: HistoryBuilder, spool: SpoolDirectory, bell: Bell) -> None:
    """The bell wakes a waiting subscriber long before it would look by itself."""
    episode = builder.episode()
    builder.commit()
    waits: list[float] = []
    with Subscription(builder.path, spool, None) as subscription:
        for _ in range(20):
            woken: list[float] = []
            thread = threading.Thread(
                target=lambda w=woken: w.append(next(subscription) and time.perf_counter())
            )
            thread.start()
            time.sleep(0.005)
            episode.log(Thought(text="x"))
            bell.publish(builder.commit())
            committed = time.perf_counter()
            thread.join(5)
            waits.append(woken[0] - committed)

    assert sorted(waits)[10] < 0.015


def test_without_a_bell_the_backstop_finds_steps(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """Where nobody rings a subscriber still sees a commit within a fraction of a second."""
    episode = builder.episode()
    builder.commit()
    with Subscription(builder.path, spool, None) as subscription:
        episode.log(Thought(text="x"))
        builder.commit()
        began = time.perf_counter()
        next(subscription)

    assert time.perf_counter() - began < 1


@pytest.mark.anyio
async def test_an_event_loop_subscribes_too(
    builder: HistoryBuilder, spool: SpoolDirectory, bell: Bell
) -> None:
    """With async for, catching up and live, while other tasks of the loop go on."""
    episode = builder.episode()
    for _ in range(PAGE_STEPS + 10):
        episode.log(Thought(text="x"))
    last = builder.commit()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async def commit_more() -> None:
        for _ in range(5):
            await asyncio.sleep(0.01)
            episode.log(Thought(text="y"))
            bell.publish(builder.commit())

    beside = [asyncio.create_task(tick()), asyncio.create_task(commit_more())]
    seen: list[int] = []
    with Subscription(builder.path, spool, 0) as subscription:
        async for event in subscription:
            seen.append(event.cursor)
            if event.cursor == last + 5:
                break
    for task in beside:
        task.cancel()

    assert seen == list(range(1, last + 6))
    assert ticks > 5


@pytest.mark.anyio
async def test_a_cancelled_wait_leaves_the_subscription_usable(
    builder: HistoryBuilder, spool: SpoolDirectory
) -> None:
    """After a timeout around one event the next one is still told, and a second reader is refused."""
    episode = builder.episode()
    builder.commit()
    with Subscription(builder.path, spool, None) as subscription:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(subscription), 0.02)
        waiting = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="read already"):
            await anext(subscription)
        episode.log(Thought(text="x"))
        builder.commit()

        assert (await asyncio.wait_for(waiting, 5)).cursor == 2


@pytest.mark.anyio
async def test_closing_ends_an_asynchronous_iteration(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """A task that waits inside async for ends when somebody closes the subscription."""
    subscription = Subscription(builder.path, spool, 0)

    async def follow() -> list[Event]:
        return [event async for event in subscription]

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.02)
    subscription.close()

    assert await asyncio.wait_for(task, 5) == []


def test_closing_from_another_thread_ends_the_iteration(
    builder: HistoryBuilder, spool: SpoolDirectory
) -> None:
    """Whoever waits stops, the descriptors go, and a closed subscription stays at its end."""
    builder.commit()
    before = descriptors(builder, spool)
    subscription = Subscription(builder.path, spool, 0)
    ended: list[list[Event]] = []
    thread = threading.Thread(target=lambda: ended.append(list(subscription)))
    thread.start()
    time.sleep(0.02)
    subscription.close()
    thread.join(5)

    assert ended == [[]]
    assert list(subscription) == []
    assert descriptors(builder, spool) == before


def test_a_forgotten_subscription_leaks_nothing(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """Leaving a for loop by break, which closes nothing, keeps no descriptor once the object is gone."""
    builder.episode()
    builder.commit()
    before = descriptors(builder, spool)
    for _ in range(20):
        for _event in Subscription(builder.path, spool, 0):
            break

    assert descriptors(builder, spool) == before


def test_an_unknown_epoch_resets(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """A cursor of another life of the database gives a Reset and then everything."""
    builder.episode().log(Thought(text="x"))
    builder.commit()
    with Subscription(builder.path, spool, 1, epoch="another") as subscription:
        reset, *rest = take(subscription, 3)

    assert reset == Reset(epoch=builder.store.epoch, cursor=0, reason=ResetReason.EPOCH_CHANGED)
    assert cursors(rest) == [1, 2]


def test_a_cursor_that_was_never_given_out_resets(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """A cursor beyond the last one belongs to a life that was rolled back."""
    builder.episode()
    builder.commit()
    with Subscription(builder.path, spool, 50) as subscription:
        reset, *rest = take(subscription, 2)

    assert isinstance(reset, Reset)
    assert reset.reason is ResetReason.EPOCH_CHANGED
    assert cursors(rest) == [1]


def test_a_pruned_cursor_resets(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """What was pruned is never skipped in silence: the Reset says where the log begins."""
    episode = builder.episode()
    for _ in range(9):
        episode.log(Thought(text="x"))
    builder.commit()
    connection = apsw.Connection(str(builder.path))
    connection.execute("DELETE FROM step WHERE cursor <= 6; INSERT INTO meta VALUES ('pruned_to', '6')")
    connection.close()

    with Subscription(builder.path, spool, 3) as subscription:
        reset, *rest = take(subscription, 5)
    with Subscription(builder.path, spool, 6) as subscription:
        kept = take(subscription, 4)

    assert reset == Reset(epoch=builder.store.epoch, cursor=6, reason=ResetReason.PRUNED)
    assert cursors(rest) == cursors(kept) == [7, 8, 9, 10]


def test_a_changed_epoch_resets_a_live_subscriber(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """When the database begins another life under a subscriber, it is told and starts over."""
    builder.episode()
    builder.commit()
    with Subscription(builder.path, spool, 0) as subscription:
        take(subscription, 1)
        connection = apsw.Connection(str(builder.path))
        connection.execute("UPDATE meta SET value = 'second' WHERE name = 'epoch'")
        connection.close()

        reset, first = take(subscription, 2)

    assert reset == Reset(epoch="second", cursor=0, reason=ResetReason.EPOCH_CHANGED)
    assert isinstance(first, StepRecorded)
    assert (first.cursor, first.epoch) == (1, "second")


def test_a_replaced_file_resets_a_live_subscriber(
    builder: HistoryBuilder, spool: SpoolDirectory, tmp_path: Path
) -> None:
    """A database that is removed is waited for, and the one that comes in its place starts with a Reset."""
    builder.episode("old").log(Thought(text="old"))
    builder.commit()
    with HistoryBuilder(tmp_path / "other.db") as other:
        other.episode("new")
    with Subscription(builder.path, spool, 0) as subscription:
        take(subscription, 2)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{builder.path}{suffix}").unlink()
        timer = threading.Timer(0.1, os.rename, (tmp_path / "other.db", builder.path))
        timer.start()

        reset, first = take(subscription, 2)

    assert isinstance(reset, Reset)
    assert (reset.reason, reset.epoch) == (ResetReason.EPOCH_CHANGED, other.store.epoch)
    assert isinstance(first, StepRecorded)
    assert first.epoch == other.store.epoch


def test_a_page_of_large_steps_is_a_short_one(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """However large the steps are, a subscriber holds a few megabytes of them at a time."""
    episode = builder.episode()
    rows = [f"{number:06} " * 5 for number in range(30_000)]
    for _ in range(12):
        episode.log(Observation(result=rows))
    last = builder.commit()
    with Subscription(builder.path, spool, 0) as subscription:
        held = []
        seen = []
        for event in islice(subscription, last):
            seen.append(event.cursor)
            held.append(sum(len(row[PAYLOAD]) for row in subscription._feed._rows))

    assert seen == list(range(1, last + 1))
    assert max(held) < 2 * PAGE_BYTES


def test_a_damaged_step_is_told_once(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """A step that cannot be read raises, and the next call goes on behind it."""
    episode = builder.episode()
    episode.log_raw("thought", 1, b'{"nonsense":1}')
    episode.log(Thought(text="fine"))
    builder.commit()
    with Subscription(builder.path, spool, 0) as subscription:
        next(subscription)
        with pytest.raises(Corrupt, match="thought at cursor 2"):
            next(subscription)

        assert next(subscription).cursor == 3


def test_a_subscriber_that_never_reads_holds_nobody_up(
    builder: HistoryBuilder, spool: SpoolDirectory
) -> None:
    """While a subscriber sleeps after one event, commits go on and the log can be emptied."""
    episode = builder.episode()
    for _ in range(PAGE_STEPS * 2):
        episode.log(Thought(text="x"))
    builder.commit()
    with Subscription(builder.path, spool, 0) as subscription:
        next(subscription)
        episode.log(Thought(text="y"))
        last = builder.commit()
        connection = apsw.Connection(str(builder.path))
        # A connection knows of the log once it has read.
        connection.execute("SELECT count(*) FROM meta")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.close()

        assert builder.store.log_bytes() == 0
        assert cursors(take(subscription, last - 1))[-1] == last


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_by_itself(builder: HistoryBuilder, spool: SpoolDirectory, bell: Bell) -> None:
    """After a fork parent and child each get every further event, from where the subscription was."""
    episode = builder.episode()
    for _ in range(4):
        episode.log(Thought(text="x"))
    builder.commit()
    subscription = Subscription(builder.path, spool, 0)
    take(subscription, 2)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        seen: list[int] = []
        try:
            os.write(writable, b"ready")
            seen = cursors(take(subscription, 4))
        finally:
            os._exit(0 if seen == [3, 4, 5, 6] else 1)
    os.read(readable, 5)
    episode.log(Thought(text="y"))
    bell.publish(builder.commit())

    assert cursors(take(subscription, 4)) == [3, 4, 5, 6]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    subscription.close()
    os.close(readable)
    os.close(writable)


def test_a_subscription_and_a_history_tell_the_same(builder: HistoryBuilder, spool: SpoolDirectory) -> None:
    """The steps of events are those that reading gives."""
    episode = builder.episode()
    episode.log(Thought(text="x" * 5000))
    last = builder.commit()
    with Subscription(builder.path, spool, 0) as subscription, History.open(builder.path) as history:
        assert [
            event.step for event in take(subscription, last) if isinstance(event, StepRecorded)
        ] == history.steps()
