"""Power cuts at any moment: what was promised to outlast them is there, and nothing is there twice."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.ledger import History, drain
from tests.support.nursery import ROOT, child_environment
from tests.support.power import Cut, Recording, load

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

AT_ONCE = 4


def record(directory: Path, scenario: str, committer: str = "sound") -> Recording:
    """Run a scenario on a recorded disk."""
    place = directory / "place"
    place.mkdir()
    target = directory / "recording"
    subprocess.run(
        [sys.executable, "-m", "tests.support.outage", scenario, committer, str(place), str(target)],
        env=child_environment(),
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    recording = load(target)
    check_recording(recording, directory / "mirror")
    return recording


def check_recording(recording: Recording, mirror: Path) -> None:
    """The recording is whole: replayed to its end it makes the files that are there."""
    Cut(recording, len(recording.events), None).make(mirror)
    for path in Path(recording.root).rglob("*"):
        if path.is_file() and not path.name.endswith(("-shm", "ballast")):
            found = mirror / path.relative_to(recording.root)
            assert found.read_bytes() == path.read_bytes(), path.name


class Aftermath:
    """What is found after a cut, once a committer of the next boot has done its work."""

    def __init__(self, cut: Cut, place: Path) -> None:
        self.cut = cut
        self.gone = cut.make(place)
        self.cursor = _found_before(place / "history.db")
        drain(place)
        self.history = History(place / "history.db")
        self.stored: defaultdict[str, list[int]] = defaultdict(list)
        for row in self.history.rows:
            if row.kind == "thought":
                name, number, _ = str(row.payload["text"]).split(" ", 2)
                self.stored[name].append(int(number))

    def check(self) -> None:
        """Check what is promised of a power cut."""
        assert self.history.integrity == "ok"
        assert self.history.orphans == []
        self._check_sequences()
        told: defaultdict[str, set[int]] = defaultdict(set)
        deleted: defaultdict[str, set[int]] = defaultdict(set)
        for name, number, segment in self.cut.said("acknowledged"):
            told[name].add(number)
            if segment in self.gone:
                deleted[name].add(number)
        for name, numbers in self.stored.items():
            twice = [number for number, count in Counter(numbers).items() if count > 1]
            assert not twice, f"{name}: stored more than once: {twice}"
        for name, numbers in deleted.items():
            lost = numbers - set(self.stored[name])
            assert not lost, f"{name}: deleted from the spool and not stored: {sorted(lost)}"
        for name, numbers in told.items():
            if self.cut.is_kill or name.startswith("power"):
                lost = numbers - set(self.stored[name])
                assert not lost, f"{name}: promised to outlast the cut and lost: {sorted(lost)}"
        self._check_epoch()

    def _check_sequences(self) -> None:
        sequences: defaultdict[bytes, list[int]] = defaultdict(list)
        for row in self.history.rows:
            sequences[row.episode].append(row.sequence)
        for found in sequences.values():
            assert found == list(range(len(found)))

    def _check_epoch(self) -> None:
        """Cursors that somebody saw and that are given out again belong to another epoch."""
        taken_back = max(self.cut.published(), default=0) > self.cursor
        assert not taken_back or self.history.meta["epoch"] != self.cut.epoch(), (
            f"cursors after {self.cursor} were published and taken back, and the epoch is the same"
        )


def _found_before(database: Path) -> int:
    """The last cursor that outlasted the cut; the copy is also made to look like the file that it is of."""
    if not database.exists() or not database.stat().st_size:
        return 0
    connection = apsw.Connection(os.fspath(database))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    try:
        if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'step')").get < 2:
            return 0
        info = database.stat()
        for name, value in (("device", info.st_dev), ("inode", info.st_ino)):
            connection.execute("UPDATE meta SET value = ? WHERE name = ?", (str(value), name))
        return int(connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'step'").get or 0)
    finally:
        connection.close()


def cut_often(
    directory: Path,
    recording: Recording,
    moments: Iterable[int],
    *,
    deaf: tuple[str, ...] = (),
    kill: bool = False,
    seed: int = 0,
) -> list[str]:
    """Cut the power, or kill every process, at many moments; returns what was found wrong."""

    def cut(moment: int) -> str | None:
        place = directory / f"cut-{seed}-{moment}"
        chance = None if kill else random.Random(f"{seed} {moment}")
        try:
            Aftermath(Cut(recording, moment, chance, deaf=deaf), place).check()
        except AssertionError as wrong:
            return f"at event {moment}, seed {seed}: {wrong}"
        shutil.rmtree(place)
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [wrong for wrong in pool.map(cut, moments) if wrong is not None]


def moments_of(recording: Recording, count: int) -> list[int]:
    """Moments spread over a run, most of them right after something that matters."""
    events = recording.events
    telling = [
        index + 1
        for index, event in enumerate(events)
        if event.what in {"unlink", "rename", "sync", "create"}
        or (event.what == "said" and event.data[0] == "acknowledged")
    ]
    chance = random.Random(count)
    chosen = chance.sample(telling, min(len(telling), count * 2 // 3))
    return sorted({*chosen, *chance.sample(range(1, len(events) + 1), min(len(events), count // 3))})


def after_publishing(recording: Recording) -> list[int]:
    """The moments right after somebody was told of a commit."""
    bells = {e.data[1] for e in recording.events if e.what == "create" and e.data[0] == "bell"}
    return [
        index + 1
        for index, event in enumerate(recording.events)
        if event.what == "write" and event.target in bells
    ]


def told_too_early(recording: Recording) -> list[str]:
    """The acknowledgements that came before what they promise was flushed, whether a cut shows it or not."""
    written: dict[tuple[str, int], tuple[int | str, int]] = {}
    flushed: defaultdict[int | str, int] = defaultdict(int)
    early: list[str] = []
    for index, event in enumerate(recording.events):
        if event.what == "write":
            for name, number in re.findall(rb'"text":"([\w-]+) (\d+) ', event.data[1]):
                written[name.decode(), int(number)] = event.target, index
        elif event.what == "sync":
            flushed[event.target] = max(flushed[event.target], event.data[0])
        elif event.what == "said" and event.data[0] == "acknowledged":
            _, name, number, _ = event.data
            file, moment = written[name, number]
            if flushed[file] <= moment:
                early.append(f"{name} {number}")
    return early


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The recording of a day's work: two agents at a time, two boots, rotations, deletions, a clean end."""
    return record(tmp_path_factory.mktemp("day"), "day-of-work")


def test_a_power_cut_loses_nothing_that_was_promised_to_outlast_it(
    tmp_path: Path, day: Recording, rounds: int
) -> None:
    """After a cut at any moment the database is sound, nothing promised is lost and nothing is doubled."""
    wrong = cut_often(tmp_path, day, moments_of(day, 150 * rounds))

    assert not wrong, "\n".join(wrong)


def test_cursors_that_a_cut_takes_back_belong_to_another_epoch(
    tmp_path: Path, day: Recording, rounds: int
) -> None:
    """Whoever heard of a commit that a cut took back sees by the epoch that its cursor means nothing now."""
    wrong = [
        each
        for seed in range(2 * rounds)
        for each in cut_often(tmp_path, day, after_publishing(day), seed=seed)
    ]

    assert not wrong, "\n".join(wrong)


def test_killing_everybody_at_any_moment_loses_nothing(tmp_path: Path, day: Recording, rounds: int) -> None:
    """When every process dies between two operations on the disk, all that was acknowledged is stored."""
    wrong = cut_often(tmp_path, day, moments_of(day, 60 * rounds), kill=True)

    assert not wrong, "\n".join(wrong)


def test_threads_that_share_a_recorder_lose_nothing_to_a_power_cut(tmp_path: Path, rounds: int) -> None:
    """A promise to outlast a cut holds for every thread, whoever flushes and whatever is rotated meanwhile."""
    places = [tmp_path / str(number) for number in range(6 * rounds)]
    for place in places:
        place.mkdir()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        crowds = list(pool.map(lambda place: record(place, "crowd-of-threads"), places))

    assert [told_too_early(crowd) for crowd in crowds] == [[]] * len(crowds)
    told = [index + 1 for index, event in enumerate(crowds[0].events) if event.what == "said"]
    wrong = cut_often(tmp_path, crowds[0], told[::8])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", ["-wal", ".segment.new"])
def test_the_cuts_find_a_disk_that_does_not_flush(tmp_path: Path, day: Recording, file: str) -> None:
    """Where flushes of the log, or of the segments, are not heeded, the cuts show what is lost."""
    wrong = cut_often(tmp_path, day, moments_of(day, 90), deaf=(file,))

    assert any("lost" in each or "not stored" in each for each in wrong)


@pytest.mark.parametrize("committer", ["sound", "deletes-at-once"])
def test_the_cuts_find_segments_that_are_deleted_too_early(tmp_path: Path, committer: str) -> None:
    """A committer that deletes a segment before the log is flushed is caught losing steps, ours is not."""
    life = record(tmp_path, "short-life", committer)
    unlinked = [index + 1 for index, event in enumerate(life.events) if event.what == "unlink"]
    moments = {*unlinked, len(life.events)}

    wrong = [each for seed in range(8) for each in cut_often(tmp_path, life, moments, seed=seed)]

    assert any("not stored" in each for each in wrong) == (committer != "sound")
